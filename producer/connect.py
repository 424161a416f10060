"""Connect a command to its Redis: APPLEJACK_REDIS_URL, or else the embedded server in --dir."""

from collections.abc import Iterator
from contextlib import contextmanager

from config.errors import StoreError, StoreUnavailableError, UsageError
from config.ledger import Ledger
from config.ledger.server import evicted_by
from config.ledger.store import redis_errors
from config.settings import Settings
from producer.stack.redis_server import Server, find_live, short_lived_client

ANSWER_SECONDS = 5.0  # a server that takes longer to answer a ping is not Redis, or is not usable


@contextmanager
def open_ledger(settings: Settings, *, stopped: bool = False) -> Iterator[tuple[Ledger, Settings]]:
    """Open the ledger; also yields the settings with the ledger's URL.

    With `stopped`, an embedded server that is not running is started for the duration of the block, to read its data.
    Raises UsageError if there is no server to connect to, StoreError if it does not answer.
    """
    url = settings.redis_url or find_live(settings.dir)
    if url is not None:
        with_url = settings.model_copy(update={"redis_url": url})
        # Not the ledger's own client, which retries for a minute.
        with redis_errors(), short_lived_client(url, ANSWER_SECONDS) as client:
            client.ping()
        yield Ledger.connect(url.get_secret_value()), with_url
    elif stopped and (settings.dir / "redis").is_dir():
        with Server.start(settings.dir) as server:
            yield Ledger.connect(server.url.get_secret_value()), settings.model_copy(update={"redis_url": server.url})
    else:
        raise UsageError(
            f"no stack is running in {str(settings.dir)!r}: start one with `applejack up --dir {settings.dir}`, "
            "or set APPLEJACK_REDIS_URL to the fleet's Redis"
        )


def require_no_eviction(ledger: Ledger) -> None:
    """UsageError if Redis drops keys when its memory is full. Without the right to read that, nothing is known."""
    try:
        policy = ledger.server.eviction()
    except StoreUnavailableError:
        raise
    except StoreError:
        return
    if policy:
        raise UsageError(
            f"maxmemory-policy of Redis is {policy!r}: when memory is full, it drops {evicted_by(policy)}. Run "
            "CONFIG SET maxmemory-policy noeviction, and set the same in redis.conf; --force queues the run anyway"
        )
