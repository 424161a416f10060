"""Asks the live workers which models they have, before a run is queued. A wrong name costs a night otherwise."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import redis
from kombu.exceptions import OperationalError

from config.broker import make_app
from config.errors import UsageError
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.owner_policy import Policy
from config.records import DEFAULT_MODEL, JsonObject, Prompt, Spec
from config.settings import Settings
from config.topology import MODELS_COMMAND, QUEUE_CURATE, QUEUE_GENERATE, QUEUE_TRAIN
from producer.run_status import SILENT_SECONDS

SECONDS = 4.0  # for all answers; a worker asks its endpoint for one second and the hub for another
SHOWN = 6  # models of one endpoint in a message
FORCE = "; --force queues the run anyway"


@dataclass(frozen=True)
class FleetModels:
    """Answers of the live workers; a worker that did not answer in time is not among them."""

    live: dict[str, list[str]]
    """live worker -> its queues"""
    answers: dict[str, JsonObject] = field(default_factory=dict)

    def of(self, part: str, *queues: str) -> dict[str, JsonObject | None]:
        """The answers about "teacher" or "student" of the live workers of these queues; None without an answer."""
        found: dict[str, JsonObject | None] = {}
        for name, consumed in self.live.items():
            if set(queues) & set(consumed):
                answer = self.answers.get(name, {}).get(part)
                found[name] = answer if isinstance(answer, dict) else None
        return found


def ask_workers(ledger: Ledger, settings: Settings, *, teacher: str | None, student: str | None) -> FleetModels:
    """Ask all live workers at once."""
    live = {view.name: queues_of(view) for view in ledger.fleet.workers() if view.silent_seconds <= SILENT_SECONDS}
    fleet = FleetModels(live)
    if not live:
        return fleet
    try:
        with make_app(settings) as app:
            replies = app.control.broadcast(
                MODELS_COMMAND,
                arguments={"teacher": teacher, "student": student},
                destination=sorted(live),
                reply=True,
                timeout=SECONDS,
                limit=len(live),  # returns with the last answer
            )
    except (OperationalError, redis.RedisError):  # the run's own messages will say so
        return fleet
    fleet.answers.update({name: answer for reply in replies or () for name, answer in reply.items()})
    return fleet


def queues_of(view: WorkerView) -> list[str]:
    """The queues that a worker consumes."""
    queues = view.fields.get("queues")
    return [str(queue) for queue in queues] if isinstance(queues, list) else []


def require_teacher(fleet: FleetModels, model: str) -> None:
    """UsageError if every live generate worker answers that its endpoint does not serve the model."""
    answers = fleet.of("teacher", QUEUE_GENERATE)
    if not answers or any(answer is None or answer.get("serves") is not False for answer in answers.values()):
        return
    served = "; ".join(f"{name} serves {models(answer)}" for name, answer in answers.items() if answer)
    if model == DEFAULT_MODEL:
        raise UsageError(f"no live worker has a default model, so give --model NAME: {served}{FORCE}")
    raise UsageError(f"no live worker serves --model {model!r}: {served}{FORCE}")


def require_student(fleet: FleetModels, student: str, *, curate: bool = True, train: bool = True) -> None:
    """UsageError if every live worker of a later stage answers that it does not have the student."""
    for queue in [*([QUEUE_CURATE] if curate else []), *([QUEUE_TRAIN] if train else [])]:
        answers = fleet.of("student", queue)
        if answers and all(answer is not None and answer.get("here") is False for answer in answers.values()):
            missing = "; ".join(f"{name}: {answer.get('why')}" for name, answer in answers.items() if answer)
            raise UsageError(f"no live {queue} worker has --student {student!r}: {missing}{FORCE}")


def require_allowed(ledger: Ledger, spec: Spec, prompts: Iterable[Prompt]) -> None:
    """UsageError if the owner of no live worker lets the run read one of its workspaces, or start its programs.

    Curation only replays less without the code, so that its workers are not among them.
    """
    live = [view for view in ledger.fleet.workers() if view.silent_seconds <= SILENT_SECONDS]
    workspaces = dict.fromkeys(prompt.workspace or spec.workspace for prompt in prompts)
    for queue in [QUEUE_GENERATE, *([QUEUE_TRAIN] if spec.train and spec.evaluate else [])]:
        policies = {view.name: Policy.of_heartbeat(view.fields) for view in live if queue in queues_of(view)}
        for named in filter(None, workspaces):
            objections = {name: policy.objection(named, spec.allow_commands) for name, policy in policies.items()}
            if objections and all(objections.values()):
                raise UsageError(
                    f"no live {queue} worker may run this, by its owner's word: "
                    + "; ".join(f"{name} allows {why}" for name, why in objections.items())
                    + f". Start one with --workspace-root or --allow-command, or give a public URL@REV{FORCE}"
                )


def models(answer: JsonObject) -> str:
    """The models of an endpoint, for a message."""
    listed = answer.get("models")
    names = [repr(name) for name in listed] if isinstance(listed, list) else []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "no model that it lists"


def no_workers(fleet: FleetModels, queues: Iterable[str]) -> list[str]:
    """The queues that no live worker consumes."""
    return [queue for queue in queues if not any(queue in consumed for consumed in fleet.live.values())]
