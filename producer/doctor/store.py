"""Health checks of Redis: version, eviction, persistence, network exposure, certificate, memory and clock."""

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import redis
from pydantic import SecretStr

from config.address import is_loopback
from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.ledger.server import evicted_by
from config.ledger.store import redis_errors
from config.local_network import local_network_hint
from producer.stack.redis_binary import OLDEST
from producer.stack.redis_server import short_lived_client, without_password

SECONDS = 5.0  # timeout of one request
MEMORY_WARNING = 0.8  # share of memory in use above which one night's trajectories may not fit
MEMORY_ERROR = 0.95
DAY = 86_400.0  # seconds
CERTIFICATE_DAYS = 30  # before its end: time to renew it between two runs
SKEW_SECONDS = 60.0  # jobs do not depend on it, log lines and TLS certificates do
FOREIGN_QUEUE = "_kombu.binding.celery"  # Celery's default queue, which applejack does not use
OPEN = "set requirepass (or an ACL user) and add the password to APPLEJACK_REDIS_URL, or bind 127.0.0.1"

Info = dict[str, object]


@dataclass(frozen=True)
class Store:
    """A Redis server; `clock` returns this machine's seconds since the epoch."""

    url: SecretStr
    clock: Callable[[], float] = time.time

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return without_password(self.url)

    def checks(self) -> list[Check]:
        """The checks; the first one shows whether the server is reachable."""
        return [
            Check("redis answers", self.answers),
            Check("redis version", self.version),
            Check("redis eviction", self.eviction),
            Check("redis persistence", self.persistence),
            Check("redis exposure", self.exposure),
            Check("redis certificate", self.certificate),
            Check("redis memory", self.memory),
            Check("redis is applejack's own", self.shared),
            Check("clock", self.skew),
        ]

    def info(self, section: str) -> Info:
        """One section of INFO; StoreError if the server does not return it."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            return cast(Info, client.info(section))

    def answers(self) -> Iterator[Diagnosis]:
        """The server is reachable and accepts the password."""
        try:
            with short_lived_client(self.url, SECONDS) as client:
                client.ping()
        except redis.AuthenticationError as error:
            yield Diagnosis(
                "redis_password", "error", f"{self.shown} refuses the login: {error}", "correct APPLEJACK_REDIS_URL"
            )
        except redis.RedisError as error:
            yield Diagnosis(
                "redis_unreachable",
                "error",
                f"cannot connect to Redis at {self.shown}: {error}",
                "start it, or correct APPLEJACK_REDIS_URL; if it runs, check the firewall and `bind` on its host"
                f"{local_network_hint(error)}",
            )

    def version(self) -> Iterator[Diagnosis]:
        """The version is one that applejack is tested with, or newer."""
        version = str(self.info("server").get("redis_version", ""))
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers < OLDEST:
            oldest = ".".join(str(part) for part in OLDEST)
            yield Diagnosis(
                "redis_old", "warning", f"Redis {version!r} is older than {oldest}", "install a newer Redis or Valkey"
            )

    def eviction(self) -> Iterator[Diagnosis]:
        """When memory is full, Redis must refuse writes instead of dropping jobs."""
        info = self.info("memory")
        policy = str(info.get("maxmemory_policy", "unknown"))
        if policy != "noeviction":
            limit = number(info, "maxmemory")
            yield Diagnosis(
                "redis_eviction",
                "error" if limit else "warning",
                f"maxmemory-policy is {policy!r}"
                + (
                    f": when memory is full, Redis silently drops {evicted_by(policy)}"
                    if limit
                    else ", though no maxmemory is set yet"
                ),
                "run CONFIG SET maxmemory-policy noeviction, and set the same in redis.conf",
            )

    def persistence(self) -> Iterator[Diagnosis]:
        """Without the append-only file, a restart loses all data since the last snapshot, or all data."""
        info = self.info("persistence")
        if not number(info, "aof_enabled"):
            yield Diagnosis(
                "redis_no_aof",
                "error",
                "the append-only file is off: a restart of Redis loses queued jobs and finished trajectories",
                "run CONFIG SET appendonly yes, and set the same in redis.conf",
            )
        failing = [key for key in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(key) == "err"]
        if failing:
            yield Diagnosis(
                "redis_disk",
                "error",
                f"Redis cannot write to disk ({', '.join(failing)}): it refuses writes, or loses them at a restart",
                "free some disk space in its data directory, and check its log",
            )

    def exposure(self) -> Iterator[Diagnosis]:
        """The server must not be reachable over the network without a password, or without encryption."""
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme not in {"redis", "rediss"}:
            return  # a Unix socket: file permissions protect it
        remote = not is_loopback(parts.hostname or "127.0.0.1")
        if self.accepts_no_password() and (remote or self.accepts_other_machines()):
            yield Diagnosis("redis_open", "error", f"{self.shown} is open to the network without a password", OPEN)
        elif remote and parts.scheme == "redis":
            yield Diagnosis(
                "redis_plain",
                "warning",
                f"{self.shown} is used without TLS: the password and all data can be read on the network",
                "use rediss://, or a private network (WireGuard, Tailscale)",
            )

    def accepts_no_password(self) -> bool:
        """Whether the server accepts a client from this machine without a password."""
        parts = urlsplit(self.url.get_secret_value())
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        bare = parts._replace(netloc=f"{host or '127.0.0.1'}{port}").geturl()
        try:
            with short_lived_client(SecretStr(bare), SECONDS) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def accepts_other_machines(self) -> bool:
        """Whether the server accepts clients from other machines; StoreError if CONFIG is forbidden."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            config = cast(dict[str, str], client.config_get("bind", "protected-mode"))
        addresses = [address.lstrip("-") for address in config.get("bind", "").split()]
        loopback_only = bool(addresses) and all(is_loopback(address) for address in addresses)
        return not loopback_only and config.get("protected-mode") != "yes"  # which refuses others without a password

    def certificate(self) -> Iterator[Diagnosis]:
        """The server's certificate is valid for some weeks; one that has ended is `redis_unreachable`."""
        if urlsplit(self.url.get_secret_value()).scheme != "rediss":
            return
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            connection = client.connection_pool.get_connection()
            socket = cast(ssl.SSLSocket, connection._sock)  # redis-py does not show it elsewhere
            seen = socket.getpeercert()  # {} where nothing is checked
            client.connection_pool.release(connection)
        if not seen:
            return
        end = str(seen["notAfter"])
        days = (ssl.cert_time_to_seconds(end) - self.clock()) / DAY
        if days < CERTIFICATE_DAYS:
            yield Diagnosis(
                "redis_certificate",
                "warning",
                f"the certificate of {self.shown} ends in {days:.0f} days ({end}); then no machine connects",
                "renew it on the server's host (`applejack deploy tls` with the same hosts), and restart Redis",
            )

    def memory(self) -> Iterator[Diagnosis]:
        """Used share of maxmemory, or of the machine's memory."""
        info = self.info("memory")
        used, limit = number(info, "used_memory"), number(info, "maxmemory")
        available = limit or number(info, "total_system_memory")
        if not available:
            raise CannotCheckError("the server reports neither maxmemory nor its machine's memory")
        if used > MEMORY_WARNING * available:
            of = "maxmemory" if limit else "its machine's memory"
            yield Diagnosis(
                "redis_memory",
                "error" if used > MEMORY_ERROR * available else "warning",
                f"Redis uses {used / 1e6:.0f} MB, {used / available:.0%} of {of}",
                "raise maxmemory, or archive old runs",
            )

    def shared(self) -> Iterator[Diagnosis]:
        """Another Celery application in this database: both restore each other's messages, by the shorter timeout."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            found = client.exists(FOREIGN_QUEUE)
        if found:
            yield Diagnosis(
                "redis_shared",
                "error",
                f"another Celery application uses this database of {self.shown} (it has the queue 'celery'): its "
                "workers redeliver applejack's messages by their own visibility timeout",
                "give applejack a database of its own: end APPLEJACK_REDIS_URL with another number, such as /1",
            )

    def skew(self) -> Iterator[Diagnosis]:
        """Compare this machine's clock with the server's, corrected by half the round-trip time."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            client.ping()  # connect first, so that the round trip below does not include connecting
            before = self.clock()
            seconds, micros = client.time()
            after = self.clock()
        ahead = (before + after) / 2 - (seconds + micros / 1e6)
        if abs(ahead) > SKEW_SECONDS:
            yield Diagnosis(
                "clock_skew",
                "error",
                f"this machine's clock is {off_by(ahead)} the Redis server's",
                "turn on network time on both; the fleet goes by the server's clock, logs and certificates by this one",
            )


def off_by(ahead: float) -> str:
    """Clock skew in words: "90 s ahead of"."""
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"


def number(info: Info, key: str) -> int:
    """An integer from INFO; 0 if it is missing."""
    value = info.get(key, 0)
    return int(value) if isinstance(value, int | float) else 0
