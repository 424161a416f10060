"""Send a run's jobs and stages to Celery, by task name. The producer's only module that sends messages."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import redis
from celery import Celery, chain, chord, uuid
from celery.utils.nodenames import anon_nodename
from kombu.exceptions import KombuError

from config.broker import make_app
from config.errors import StoreError
from config.ledger import Ledger
from config.prompts import write
from config.records import Prompt, Spec
from config.settings import Settings
from config.topology import CURATE, EVALUATE, GENERATE, ROUTES, TRAIN, UNSEEN, Stage

CHORD_LIMIT = 1_000  # jobs; sending a chord takes 1 to 2 s per thousand jobs and 5 KB of memory per job
BATCH = 1_000  # messages per round trip, about 1 MB
SHOWN = 120  # characters of a prompt in Flower's task list; Celery truncates events at about 1,024


def submit(
    ledger: Ledger, settings: Settings, spec: Spec, prompts: Sequence[Prompt], *, unseen: Sequence[Prompt] = ()
) -> tuple[bool, int]:
    """Create a run and queue its jobs; returns (whether the run is new, its number of jobs).

    `unseen` are questions about code that is not part of the run, stored with it for the evaluation.

    Submitting the same run again queues nothing; the fleet's reconciler requeues pending jobs that are in no queue.
    Raises UsageError if another run has this id, StoreError if Redis is unavailable or full.
    """
    created = ledger.create(spec, prompts)
    if unseen and not ledger.files.has(spec.run_id, UNSEEN):
        with tempfile.TemporaryDirectory() as folder:
            write(unseen, Path(folder) / f"{UNSEEN}.jsonl")
            ledger.files.put(spec.run_id, UNSEEN, Path(folder))
    if created.new:
        enqueue(settings, spec, created.job_ids, prompts)
    return created.new, len(created.job_ids)


def enqueue(settings: Settings, spec: Spec, job_ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
    """Queue jobs as a chord whose body is the run's stages; above CHORD_LIMIT, as plain messages.

    After plain messages, the reconciler starts curation once the ledger has recorded the last job.
    Raises StoreError if not all messages could be sent. No job is lost: the reconciler sends the missing ones.
    """
    try:
        app = make_app(settings)
        if len(job_ids) <= CHORD_LIMIT:
            _enqueue_chord(app, spec, job_ids, prompts)
            return
        assert settings.redis_url is not None  # make_app checks this
        with Ledger.connect(settings.redis_url.get_secret_value()).sending(spec.run_id):
            _enqueue_without_chord(app, spec.run_id, job_ids, prompts)
    except (KombuError, redis.RedisError) as error:
        raise StoreError(
            f"run {spec.run_id!r} is saved, but not all of its jobs could be queued ({error}); "
            "workers will queue the missing jobs, and submitting the run again follows it"
        ) from error


def _enqueue_chord(app: Celery, spec: Spec, job_ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
    with app.connection_for_write():
        headers = [
            job_signature(app, spec.run_id, job_id, prompt) for job_id, prompt in zip(job_ids, prompts, strict=True)
        ]
        chord(headers)(stage_chain(app, spec)).forget()


def _enqueue_without_chord(app: Celery, run_id: str, job_ids: Sequence[str], prompts: Sequence[Prompt]) -> None:
    app.conf.task_send_sent_event = False  # costs as much as the message itself; `status` counts the queued jobs
    origin = anon_nodename()
    with app.producer_pool.acquire(block=True) as publisher, publisher.batch(BATCH):
        for job_id, prompt in zip(job_ids, prompts, strict=True):
            # The same message as signature.apply_async, in a third of the time: queues are not declared for each
            # message, and constant fields (kwargsrepr, origin) are not computed again.
            message = app.amqp.create_task_message(
                uuid(), GENERATE, (run_id, job_id), {}, ignore_result=True, argsrepr=describe_job(job_id, prompt),
                kwargsrepr="{}", origin=origin,
            )  # fmt: skip
            publisher.publish(
                message.body,
                routing_key=ROUTES[GENERATE]["queue"],  # the default exchange routes by queue name
                serializer="json",
                headers=message.headers,
                **message.properties,
            )


def enqueue_stage(settings: Settings, run_id: str, stage: Stage) -> None:
    """Queue one stage. When it ends, the reconciler queues the next one."""
    app = make_app(settings)
    app.send_task(stage.value, args=(run_id,), queue=ROUTES[stage.value]["queue"], ignore_result=True)


def job_signature(app: Celery, run_id: str, job_id: str, prompt: Prompt):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Celery signature of a job: two ids, and a description with the prompt for Flower."""
    return app.signature(
        GENERATE,
        args=(run_id, job_id),
        immutable=True,
        queue=ROUTES[GENERATE]["queue"],
        argsrepr=describe_job(job_id, prompt),
    )


def describe_job(job_id: str, prompt: Prompt) -> str:
    """Description of a job in Flower's task list."""
    return f"{job_id} {' '.join(prompt.prompt.split())[:SHOWN]!r}"


def stage_chain(app: Celery, spec: Spec):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """curate -> train -> evaluate, up to the last stage that the run includes."""
    tasks = [CURATE, *([TRAIN] if spec.train else []), *([EVALUATE] if spec.train and spec.evaluate else [])]
    return chain(
        app.signature(task, args=(spec.run_id,), immutable=True, queue=ROUTES[task]["queue"]) for task in tasks
    )
