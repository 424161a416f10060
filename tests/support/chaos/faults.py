"""What goes wrong, and when: a schedule drawn from a seed; pure."""

import random
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """One way in which a fleet's night is disturbed."""

    KILL_WORKER = "kill worker"  # SIGKILL; started again after a moment
    KILL_RECONCILER = "kill reconciler"  # the same, of whichever worker is elected
    SUSPEND_WORKER = "suspend worker"  # SIGSTOP past the lease, then SIGCONT
    KILL_SERVER = "kill model server"  # SIGKILL; its worker starts it again
    SUSPEND_SERVER = (
        "suspend model server"  # SIGSTOP, its port open, past what a probe waits; SIGCONT if it still lives
    )
    CUT_NETWORK = "cut network"  # connections reset and refused for a while
    STALL_NETWORK = "stall network"  # connections open and silent, then everything arrives
    LOSE_NETWORK = "lose network"  # the same, then reset: what was under way never arrives
    KILL_BROKER = "kill broker"  # SIGKILL; started again on its append-only file
    POWER_CUT = "power cut"  # the same, and what it wrote in its last second is gone from the disk
    FLUSH_QUEUE = "flush queue"  # messages nobody has taken yet are lost
    FLUSH_UNACKED = "flush unacked"  # messages in hand are lost, from the broker's point of view
    CANCEL_RUN = "cancel run"  # by a person, who resumes it after a moment
    PAUSE_RUN = "pause run"  # the same
    PAUSE_WORKER = "pause worker"  # the same
    FLUSH_ALL = "flush everything"  # FLUSHALL; a person recovers the run from the journals that are left
    OLDER_SNAPSHOT = "restore older snapshot"  # the broker starts again with what it had earlier in the run; the same
    LOSE_DISK = "lose disk"  # a worker is killed, and its directory with its journal is gone when it starts again


WEIGHTS = {
    Kind.KILL_WORKER: 5,
    Kind.KILL_RECONCILER: 3,
    Kind.SUSPEND_WORKER: 4,
    Kind.KILL_SERVER: 5,
    Kind.SUSPEND_SERVER: 4,
    Kind.CUT_NETWORK: 3,
    Kind.STALL_NETWORK: 3,
    Kind.LOSE_NETWORK: 2,
    Kind.KILL_BROKER: 2,
    Kind.POWER_CUT: 2,
    Kind.FLUSH_QUEUE: 2,
    Kind.FLUSH_UNACKED: 2,
    Kind.CANCEL_RUN: 3,
    Kind.PAUSE_RUN: 2,
    Kind.PAUSE_WORKER: 3,
    Kind.FLUSH_ALL: 1,  # what only a lost disk had is generated again: with three workers up to a third of the run
    Kind.OLDER_SNAPSHOT: 1,
    Kind.LOSE_DISK: 1,
}


@dataclass(frozen=True)
class Fault:
    """One disturbance of the run."""

    kind: Kind
    at: int
    """injected when so many jobs are terminal"""
    target: int
    """which of the workers, counted on from this one until one that lives is found"""
    share: float
    """how long it lasts, 0 to 1 of what its kind may last"""


def schedule(seed: int, *, faults: int, jobs: int) -> list[Fault]:
    """`faults` faults spread over a run of `jobs`, each kind at least once when there are enough; by time."""
    rng = random.Random(seed)
    kinds = list(Kind)[:faults]
    kinds += rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=faults - len(kinds))
    rng.shuffle(kinds)
    times = sorted(rng.randrange(1, max(2, int(jobs * 0.95))) for _ in kinds)
    return [Fault(kind, at, rng.randrange(1000), rng.random()) for kind, at in zip(kinds, times, strict=True)]


def between(bounds: tuple[float, float], share: float) -> float:
    """The number at a share of the way from the first to the second."""
    low, high = bounds
    return low + (high - low) * share
