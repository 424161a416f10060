"""Names that processes share, defined once: queues, tasks, routes, stages, Redis keys."""

from collections.abc import Collection
from enum import StrEnum
from typing import Final

# Task names must be plain str: Celery silently uses the member name of a StrEnum.
GENERATE: Final = "generate"
CURATE: Final = "curate"
TRAIN: Final = "train"
EVALUATE: Final = "evaluate"

QUEUE_GENERATE: Final = "generate"  # any Mac
QUEUE_CURATE: Final = "curate"  # any machine that has the student's tokenizer
QUEUE_TRAIN: Final = "train"  # the GPU host; evaluation runs there too, after training

QUEUES: Final = (QUEUE_GENERATE, QUEUE_CURATE, QUEUE_TRAIN)

ROUTES: Final = {
    GENERATE: {"queue": QUEUE_GENERATE},
    CURATE: {"queue": QUEUE_CURATE},
    TRAIN: {"queue": QUEUE_TRAIN},
    EVALUATE: {"queue": QUEUE_TRAIN},
}


class Stage(StrEnum):
    """The stages after generation, in order; each value is also the task's name."""

    CURATE = "curate"
    TRAIN = "train"
    EVALUATE = "evaluate"


UNSEEN: Final = "unseen"  # files of a run in the ledger: questions about code that is not part of it

MODELS_COMMAND: Final = "applejack_models"  # control command: which models a worker has

# Redis keys. All keys of one run share a prefix, so that a run can be archived or removed completely.
RUNS: Final = "applejack:runs"  # zset run_id -> created at, seconds
ACTIVE: Final = "applejack:active"  # set of run ids with pending work
PAUSED: Final = "applejack:paused"  # set of active run ids that are paused
CONTROLS: Final = "applejack:controls"  # hash worker name -> what a person has asked of it; see fleet.py
ARCHIVED: Final = "applejack:archived"  # zset run_id -> when it was removed; workers then delete their journals of it
DEAD_LETTERS: Final = "applejack:dead-letters"  # list of values that could not be read; see dead_letters.py
WORKERS: Final = "applejack:workers"  # zset worker name -> last heartbeat, milliseconds
NOTICES: Final = "applejack:notices"  # hash of the notices about workers that were sent; see notices.py
RECONCILER: Final = "applejack:reconciler"  # string: the elected worker, expires; with :QUEUE that of one queue
FLOWERS: Final = "applejack:flowers"  # zset address of a running Flower, JSON -> last announcement, seconds; expires


def run_key(run_id: str, part: str) -> str:
    """Key of one part of a run; config/ledger/__init__.py lists the parts."""
    return f"applejack:run:{run_id}:{part}"


def reconciler_key(queues: Collection[str]) -> str:
    """Key of the worker that reconciles these queues: those that its Redis user may serve, usually all."""
    return RECONCILER if set(queues) == set(QUEUES) else f"{RECONCILER}:{'+'.join(sorted(queues))}"


def worker_key(worker: str) -> str:
    """Key of a worker's status, a JSON string."""
    return f"applejack:worker:{worker}"


def login_key(digest: str) -> str:
    """Key of a one-time login: the run to show, a string that expires. `digest` is the sha256 of its token."""
    return f"applejack:login:{digest}"
