"""Names on the wire, written once: queues, tasks, routes, stages, Redis keys."""

from enum import StrEnum
from typing import Final

# Task names must be plain str: Celery turns a StrEnum member into its member name without a word.
GENERATE: Final = "generate"
CURATE: Final = "curate"
TRAIN: Final = "train"
EVALUATE: Final = "evaluate"

QUEUE_GENERATE: Final = "generate"  # any Mac
QUEUE_CURATE: Final = "curate"  # any machine with the student's tokenizer
QUEUE_TRAIN: Final = "train"  # the GPU host; evaluate follows there when training has let go

QUEUES: Final = (QUEUE_GENERATE, QUEUE_CURATE, QUEUE_TRAIN)

ROUTES: Final = {
    GENERATE: {"queue": QUEUE_GENERATE},
    CURATE: {"queue": QUEUE_CURATE},
    TRAIN: {"queue": QUEUE_TRAIN},
    EVALUATE: {"queue": QUEUE_TRAIN},
}


class Stage(StrEnum):
    """What follows generation, in this order; each member is also its task's name."""

    CURATE = "curate"
    TRAIN = "train"
    EVALUATE = "evaluate"


# Redis keys. Everything of one run starts with its run_key, so that a run can be archived or removed whole.
RUNS: Final = "applejack:runs"  # zset run_id -> created at, seconds
ACTIVE: Final = "applejack:active"  # set of run ids with something owed
WORKERS: Final = "applejack:workers"  # zset worker name -> last heartbeat, milliseconds
RECONCILER: Final = "applejack:reconciler"  # string: the elected worker, expires


def run_key(run_id: str, part: str) -> str:
    """The key of one part of a run; the parts are listed at the top of config/ledger.py."""
    return f"applejack:run:{run_id}:{part}"


def worker_key(worker: str) -> str:
    """The hash in which a worker says what it is doing."""
    return f"applejack:worker:{worker}"
