"""The Redis connection of the ledger, its Lua scripts, and one place where its errors are told."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import TypeVar, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from config.errors import StoreError, StoreUnavailableError

SOCKET_TIMEOUT = 10.0  # seconds; a half-open connection is noticed, a slow disk is not mistaken for one
Arg = str | int | bytes
T = TypeVar("T")
DISK = "MISCONF"  # with it Redis says that its disk is full; redis-py has no class for it
RETRIES = 6  # with the backoff below about 8 s in all; longer outages are the caller's business


def ledger_client(url: str) -> redis.Redis:
    """A client for the ledger; it connects on first use and repeats what a broken connection interrupted."""
    return redis.Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=10,
        retry=NoRetryOnRefusedPassword(ExponentialBackoff(cap=3, base=0.1), RETRIES),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


class NoRetryOnRefusedPassword(Retry):
    """Repeats what an outage interrupted, but no refused password, which redis-py counts among lost connections."""

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., object],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """As redis-py's, but a refused password is raised at once."""

        def failed(error: Exception, *count: int) -> None:
            fail(error, *count)
            if isinstance(error, redis.AuthenticationError):
                raise error

        return super().call_with_retry(do, failed, is_retryable, with_failure_count)


def is_unavailable(error: redis.RedisError) -> bool:
    """Whether the same again may do later: Redis is away, loading, full, a replica for now, or cannot write."""
    passing = (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError)
    return isinstance(error, passing) or DISK in str(error)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn a Redis error into a StoreError of one line; StoreUnavailableError where waiting helps."""
    try:
        yield
    except redis.AuthenticationError as error:
        raise StoreUnavailableError(
            f"Redis refused the password: {without_period(error)}; check APPLEJACK_REDIS_URL"
        ) from error
    except redis.OutOfMemoryError as error:
        raise StoreUnavailableError(
            f"Redis is out of memory, nothing was stored: {error}; raise maxmemory or archive runs"
        ) from error
    except redis.RedisError as error:
        if is_unavailable(error):
            if DISK in str(error):
                raise StoreUnavailableError(f"Redis cannot write to its disk, nothing was stored: {error}") from error
            raise StoreUnavailableError(
                f"Redis is away: {without_period(error)}; start it, or check APPLEJACK_REDIS_URL"
            ) from error
        raise StoreError(f"Redis: {error}") from error


def without_period(error: redis.RedisError) -> str:
    """What an error says, ready to go on behind it."""
    return str(error).rstrip(".")


@cache
def source(name: str) -> str:
    """The Lua text of one script, the common prelude in front."""
    folder = files("config.ledger") / "lua"
    return (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()


def run_script(client: redis.Redis, name: str, keys: Sequence[str], args: Sequence[Arg]) -> object:
    """Run one script atomically; its answer as redis-py gives it: bytes, int or a list of these."""
    with redis_errors():
        return cast(object, client.register_script(source(name))(keys=list(keys), args=list(args)))


def decode(value: object) -> str:
    """A Redis answer as text, "" for none."""
    return value.decode() if isinstance(value, bytes) else "" if value is None else str(value)


def decode_list(value: object) -> list[str]:
    """A Redis list answer as text."""
    return [decode(item) for item in value] if isinstance(value, list) else []
