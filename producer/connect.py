"""Which Redis a command talks to: the one in APPLEJACK_REDIS_URL, else the embedded server of --dir."""

from collections.abc import Iterator
from contextlib import contextmanager

from config.errors import UsageError
from config.ledger import Ledger
from config.ledger.store import redis_errors
from config.settings import Settings
from producer.stack.redis_server import Server, find_live, short_lived_client

ANSWER_SECONDS = 5.0  # what listens there and says nothing for so long is no Redis, or of no use now


@contextmanager
def open_ledger(settings: Settings, *, stopped: bool = False) -> Iterator[tuple[Ledger, Settings]]:
    """The ledger, and the settings with its URL in them.

    `stopped` allows an embedded server that is not running: it is started on its data for the length of the block,
    which is enough to read. Raises UsageError when there is no server to talk to, StoreError when it does not answer.
    """
    url = settings.redis_url or find_live(settings.dir)
    if url is not None:
        with_url = settings.model_copy(update={"redis_url": url})
        with (
            redis_errors(),
            short_lived_client(url, ANSWER_SECONDS) as client,
        ):  # not the ledger's own client: it asks for a minute
            client.ping()
        yield Ledger.connect(url.get_secret_value()), with_url
    elif stopped and (settings.dir / "redis").is_dir():
        with Server.start(settings.dir) as server:
            yield Ledger.connect(server.url.get_secret_value()), settings.model_copy(update={"redis_url": server.url})
    else:
        raise UsageError(
            f"no stack runs in {str(settings.dir)!r}: start one with `applejack up --dir {settings.dir}`, "
            "or set APPLEJACK_REDIS_URL to the fleet's Redis"
        )
