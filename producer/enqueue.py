"""The chord, by task name; the only caller of Celery here."""

from collections.abc import Sequence

import redis
from celery import Celery, chain, chord, uuid
from celery.utils.nodenames import anon_nodename
from kombu.exceptions import KombuError

from config.broker import make_app
from config.errors import StoreError
from config.ledger import Ledger
from config.records import Prompt, Spec
from config.settings import Settings
from config.topology import CURATE, EVALUATE, GENERATE, ROUTES, TRAIN, Stage

CHORD_LIMIT = 1_000  # jobs: a chord takes 1 to 2 s a thousand to send, and 5 KB of memory a job
BATCH = 1_000  # messages sent in one round trip: 1 MB
SHOWN = 120  # characters of a prompt that Flower shows; events are cut at about 1,024


def submit(ledger: Ledger, settings: Settings, spec: Spec, prompts: Sequence[Prompt]) -> tuple[bool, int]:
    """Create a run and queue its jobs; (whether it is new, how many jobs it has).

    The same run again queues nothing: what it still owes and no queue holds, the fleet's reconciler sends. Raises
    UsageError when the id is taken by another run, StoreError when Redis cannot be reached or is full.
    """
    created = ledger.create(spec, prompts)
    if created.new:
        enqueue(settings, spec, created.job_ids, prompts)
    return created.new, len(created.job_ids)


def enqueue(settings: Settings, spec: Spec, job_ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
    """Queue jobs as a chord whose body is the rest of the run; above CHORD_LIMIT as plain messages.

    After plain messages the ledger alone owes curation when the last job is finished, and the reconciler starts it.
    Raises StoreError when Redis takes the run but not all of its messages; nothing is lost then.
    """
    try:
        app = make_app(settings)
        if len(job_ids) <= CHORD_LIMIT:
            _enqueue_chord(app, spec, job_ids, prompts)
            return
        assert settings.redis_url is not None  # make_app has seen to it
        with Ledger.connect(settings.redis_url.get_secret_value()).sending(spec.run_id):
            _enqueue_without_chord(app, spec.run_id, job_ids, prompts)
    except (KombuError, redis.RedisError) as error:
        raise StoreError(
            f"run {spec.run_id!r} is stored, but not all of its jobs could be queued ({error}); "
            "submit it again to follow it: workers queue what is missing"
        ) from error


def _enqueue_chord(app: Celery, spec: Spec, job_ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
    with app.connection_for_write():
        headers = [
            job_signature(app, spec.run_id, job_id, prompt) for job_id, prompt in zip(job_ids, prompts, strict=True)
        ]
        chord(headers)(stage_chain(app, spec)).forget()


def _enqueue_without_chord(app: Celery, run_id: str, job_ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
    app.conf.task_send_sent_event = False  # as costly as the message itself; `status` counts what waits
    origin = anon_nodename()
    with app.producer_pool.acquire(block=True) as publisher, publisher.batch(BATCH):
        for job_id, prompt in zip(job_ids, prompts, strict=True):
            # what signature.apply_async comes to, in a third of the time: nothing is declared again for each message,
            # and what would come out the same each time (kwargsrepr, origin) is said, not found out
            message = app.amqp.create_task_message(
                uuid(), GENERATE, (run_id, job_id), {}, ignore_result=True, argsrepr=shown(job_id, prompt),
                kwargsrepr="{}", origin=origin,
            )  # fmt: skip
            publisher.publish(
                message.body,
                routing_key=ROUTES[GENERATE]["queue"],  # the exchange without a name puts it in the queue of that name
                serializer="json",
                headers=message.headers,
                **message.properties,
            )


def enqueue_stage(settings: Settings, run_id: str, stage: Stage) -> None:
    """Queue one stage; the one behind it is owed when it ends, and the reconciler sends that."""
    app = make_app(settings)
    app.send_task(stage.value, args=(run_id,), queue=ROUTES[stage.value]["queue"], ignore_result=True)


def job_signature(app: Celery, run_id: str, job_id: str, prompt: Prompt):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """The message of one job: two ids, and the prompt where people look at it."""
    return app.signature(
        GENERATE,
        args=(run_id, job_id),
        immutable=True,
        queue=ROUTES[GENERATE]["queue"],
        argsrepr=shown(job_id, prompt),
    )


def shown(job_id: str, prompt: Prompt) -> str:
    """What Flower shows of a job."""
    return f"{job_id} {' '.join(prompt.prompt.split())[:SHOWN]!r}"


def stage_chain(app: Celery, spec: Spec):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """curate -> train -> evaluate, as far as the run asks for them."""
    wanted = [CURATE, *([TRAIN] if spec.train else []), *([EVALUATE] if spec.train and spec.evaluate else [])]
    return chain(
        app.signature(task, args=(spec.run_id,), immutable=True, queue=ROUTES[task]["queue"]) for task in wanted
    )
