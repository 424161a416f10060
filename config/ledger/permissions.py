"""What this process's Redis user may do. Asking leaves no trace in the server's log of denied commands."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import redis

from config.errors import StoreDeniedError, StoreError, StoreUnavailableError
from config.ledger.store import decode, redis_errors
from config.topology import QUEUE_CURATE, QUEUE_GENERATE, QUEUE_TRAIN, Stage, run_key

Command = tuple[str, ...]
ANY: Final = "x"  # a run's or job's id: the users file does not tell them apart

SERVES: Final[Mapping[str, Sequence[Command]]] = {
    QUEUE_GENERATE: (
        ("BRPOP", QUEUE_GENERATE, "1"),
        ("SMOVE", run_key(ANY, "queued"), run_key(ANY, "running"), ANY),
        ("SETNX", run_key(ANY, f"trajectory:{ANY}:1"), ""),
    ),
    QUEUE_CURATE: (
        ("BRPOP", QUEUE_CURATE, "1"),
        ("HSET", run_key(ANY, f"stage:{Stage.CURATE}"), "state", ""),
        ("HSET", run_key(ANY, "verdicts:new"), ANY, ""),
    ),
    QUEUE_TRAIN: (
        ("BRPOP", QUEUE_TRAIN, "1"),
        ("HSET", run_key(ANY, f"stage:{Stage.TRAIN}"), "state", ""),
        ("HSET", run_key(ANY, f"stage:{Stage.EVALUATE}"), "state", ""),
    ),
}
"""queue -> what a worker of it does; a user who may do this has the rights of the role of that name"""
CONTROLS_RUNS: Final[Command] = ("HSET", run_key(ANY, "run"), "control", "")


class Permissions:
    """Asks the server once; the answer stays until the process ends. StoreUnavailableError if it cannot be asked."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._served: frozenset[str] | None = None

    def refusal(self, *commands: Command) -> str:
        """What the server says against the first command that the user may not run; "" if it may run all.

        Also "" for a server that cannot tell, or does not let the user ask: then one user has all rights.
        """
        try:
            with redis_errors():
                user = decode(self._redis.acl_whoami())
                answers = [decode(self._redis.acl_dryrun(user, *command)) for command in commands]
        except StoreUnavailableError:
            raise
        except StoreError:
            return ""
        return next((answer for answer in answers if answer != "OK"), "")

    def served(self) -> frozenset[str]:
        """The queues that the user may serve."""
        if self._served is None:
            self._served = frozenset(queue for queue, commands in SERVES.items() if not self.refusal(*commands))
        return self._served

    def require(self, queues: Iterable[str]) -> None:
        """StoreDeniedError if the user may not serve one of the queues."""
        for queue in queues:
            if why := self.refusal(*SERVES[queue]):
                raise StoreDeniedError(
                    f"a worker of the queue {queue!r} cannot use this Redis user: {why}; give it the "
                    f"APPLEJACK_REDIS_URL of the user {queue}, or of applejack for several queues"
                )
