"""The ledger's Redis connection, its Lua scripts and the translation of its errors."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Final, TypeVar, cast

import redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from config.errors import StoreDeniedError, StoreError, StoreUnavailableError
from config.local_network import local_network_hint

SOCKET_TIMEOUT = 10.0  # seconds; detects a half-open connection, tolerates a slow disk
Arg = str | int | bytes
T = TypeVar("T")
DISK = "MISCONF"  # error code when Redis cannot write to its disk; redis-py has no class for it
CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
DENIED = "ACL failure in script"  # when a command inside a script is denied; redis-py has no class for it
NEEDED: Final = (
    "submitting and controlling runs needs the user producer, a worker the user of its role; see APPLEJACK_REDIS_URL"
)
RETRIES = 6  # about 8 s in total with the backoff below; the caller handles longer outages


def ledger_client(url: str) -> redis.Redis:
    """Create a client that connects on first use and retries after connection errors."""
    return LedgerRedis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=5,
        socket_keepalive=True,
        health_check_interval=10,
        retry=NoRetryOnRefusedPassword(ExponentialBackoff(cap=3, base=0.1), RETRIES),
        retry_on_error=[redis.ConnectionError, redis.TimeoutError],
    )


class LedgerRedis(redis.Redis):
    """Names its user and the command when the server denies one."""

    def parse_response(self, connection: redis.Connection, command_name: str | bytes, **options: object) -> object:
        """Like redis-py's."""
        try:
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            if not (isinstance(error, NoPermissionError) or DENIED in str(error)):
                raise
            user = self.connection_pool.connection_kwargs.get("username") or "default"
            raise NoPermissionError(f"the user {user!r} may not run {decode(command_name)}: {error}") from error


class NoRetryOnRefusedPassword(Retry):
    """Retries connection errors except a rejected password, which redis-py treats as a connection error."""

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., object],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Like redis-py's, but raises AuthenticationError at once."""

        def failed(error: Exception, *count: int) -> None:
            fail(error, *count)
            if isinstance(error, redis.AuthenticationError):
                raise error

        return super().call_with_retry(do, failed, is_retryable, with_failure_count)


def is_unavailable(error: redis.RedisError) -> bool:
    """Whether a retry may help: Redis is unreachable, loading, full, temporarily a replica, or cannot write."""
    temporary = (redis.ConnectionError, redis.TimeoutError, redis.OutOfMemoryError, redis.ReadOnlyError)
    return isinstance(error, temporary) or DISK in str(error)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate Redis errors: StoreUnavailableError if a retry may help, StoreError otherwise."""
    try:
        yield
    except redis.AuthenticationError as error:
        raise StoreUnavailableError(
            f"Redis rejected the password: {without_period(error)}; check APPLEJACK_REDIS_URL"
        ) from error
    except NoPermissionError as error:
        raise StoreDeniedError(f"Redis refuses: {without_period(error)}; {NEEDED}") from error
    except redis.OutOfMemoryError as error:
        raise StoreUnavailableError(
            f"Redis is out of memory; nothing was stored: {error}; raise maxmemory or archive runs"
        ) from error
    except redis.RedisError as error:
        if is_unavailable(error):
            if CERTIFICATE in str(error):
                raise StoreUnavailableError(
                    f"the certificate of Redis is not accepted: {certificate_fault(error)}; name the fleet's authority "
                    "in the URL: rediss://...?ssl_ca_certs=FILE"
                ) from error
            if DISK in str(error):
                raise StoreUnavailableError(f"Redis cannot write to its disk; nothing was stored: {error}") from error
            raise StoreUnavailableError(
                f"Redis is unavailable: {without_period(error)}; start it, or check APPLEJACK_REDIS_URL"
                f"{local_network_hint(error)}"
            ) from error
        raise StoreError(f"Redis: {error}") from error


def certificate_fault(error: redis.RedisError) -> str:
    """What is wrong with a server's certificate, from OpenSSL's text."""
    return str(error).partition(f"{CERTIFICATE}] ")[2].partition(" (_ssl")[0] or str(error)


def without_period(error: redis.RedisError) -> str:
    """An error's text without the final period, for use inside a message."""
    return str(error).rstrip(".")


@cache
def source(name: str) -> str:
    """Lua source of one script, with the common prelude in front."""
    folder = files("config.ledger") / "lua"
    return (folder / "prelude.lua").read_text() + (folder / f"{name}.lua").read_text()


def run_script(client: redis.Redis, name: str, keys: Sequence[str], args: Sequence[Arg]) -> object:
    """Run one script atomically and return redis-py's reply: bytes, int or a list of these."""
    with redis_errors():
        try:
            return cast(object, client.register_script(source(name))(keys=list(keys), args=list(args)))
        except NoPermissionError as error:  # the name says more than the command, which is EVALSHA
            raise NoPermissionError(str(error).replace("EVALSHA", f"{name!r} of the ledger")) from error


def decode(value: object) -> str:
    """Convert a Redis reply to text; None becomes ""."""
    return value.decode() if isinstance(value, bytes) else "" if value is None else str(value)


def decode_name(value: object) -> str:
    """Like `decode`; bytes that are not UTF-8 become escapes, which name nothing, so that they do not hide the rest."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else decode(value)


def decode_list(value: object) -> list[str]:
    """Convert a Redis list reply to a list of texts."""
    return [decode(item) for item in value] if isinstance(value, list) else []
