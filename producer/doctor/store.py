"""The doctor's look at Redis: version, what a full memory and a crash would lose, who can reach it, its clock."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import redis
from pydantic import SecretStr

from config.address import is_loopback
from config.diagnostics import CannotCheckError, Check, Diagnosis
from config.ledger.store import redis_errors
from producer.stack.redis_binary import OLDEST
from producer.stack.redis_server import short_lived_client, without_password

SECONDS = 5.0  # for one answer
FULL = 0.8  # share of the memory from which on a night's trajectories may not fit
CRAMPED = 0.95
SKEW_SECONDS = 60.0  # kombu restores messages by each worker's own clock, against a timeout of 900 s
OPEN = "set requirepass (or an ACL user) and put the password into APPLEJACK_REDIS_URL, or bind 127.0.0.1"

Info = dict[str, object]


@dataclass(frozen=True)
class Store:
    """One Redis, by its url; `clock` gives this machine's seconds since the epoch."""

    url: SecretStr
    clock: Callable[[], float] = time.time

    @property
    def shown(self) -> str:
        """The url without its password."""
        return without_password(self.url)

    def checks(self) -> list[Check]:
        """What is looked at, reachability first."""
        return [
            Check("redis answers", self.answers),
            Check("redis version", self.version),
            Check("redis eviction", self.eviction),
            Check("redis persistence", self.persistence),
            Check("redis exposure", self.exposure),
            Check("redis memory", self.memory),
            Check("clock", self.skew),
        ]

    def info(self, section: str) -> Info:
        """One section of INFO; StoreError when the server does not give it."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            return cast(Info, client.info(section))

    def answers(self) -> Iterator[Diagnosis]:
        """Whether it is there, and takes the password."""
        try:
            with short_lived_client(self.url, SECONDS) as client:
                client.ping()
        except redis.AuthenticationError as error:
            yield Diagnosis("redis_password", "error", f"{self.shown} refuses: {error}", "correct APPLEJACK_REDIS_URL")
        except redis.RedisError as error:
            yield Diagnosis(
                "redis_unreachable",
                "error",
                f"no Redis answers at {self.shown}: {error}",
                "start it, or correct APPLEJACK_REDIS_URL; a firewall or a bind to loopback on its host stops others",
            )

    def version(self) -> Iterator[Diagnosis]:
        """Older than every feature was tried on."""
        told_ = str(self.info("server").get("redis_version", ""))
        numbers = tuple(int(part) for part in told_.split(".")[:2] if part.isdigit())
        if numbers < OLDEST:
            wanted = ".".join(str(part) for part in OLDEST)
            yield Diagnosis(
                "redis_old", "warning", f"Redis {told_!r} is older than {wanted}", "take a newer Redis or Valkey"
            )

    def eviction(self) -> Iterator[Diagnosis]:
        """A full memory must refuse writes, not drop jobs."""
        seen = self.info("memory")
        policy = str(seen.get("maxmemory_policy", "unknown"))
        if policy != "noeviction":
            limit = number(seen, "maxmemory")
            yield Diagnosis(
                "redis_eviction",
                "error" if limit else "warning",
                f"maxmemory-policy is {policy!r}"
                + (
                    ": a full memory drops jobs and trajectories without a word" if limit else ", with no maxmemory yet"
                ),
                "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf",
            )

    def persistence(self) -> Iterator[Diagnosis]:
        """Without the append-only file a restart loses what came since the last snapshot, or everything."""
        seen = self.info("persistence")
        if not number(seen, "aof_enabled"):
            yield Diagnosis(
                "redis_no_aof",
                "error",
                "the append-only file is off: a restart of Redis loses queued jobs and finished trajectories",
                "CONFIG SET appendonly yes, and the same in redis.conf",
            )
        failing = [key for key in ("aof_last_write_status", "rdb_last_bgsave_status") if seen.get(key) == "err"]
        if failing:
            yield Diagnosis(
                "redis_disk",
                "error",
                f"Redis cannot write to its disk ({', '.join(failing)}): it refuses writes, or loses them at a restart",
                "make room where its data lies, and look into its log",
            )

    def exposure(self) -> Iterator[Diagnosis]:
        """Reachable from other machines without a password, or with one that crosses the network in the clear."""
        parts = urlsplit(self.url.get_secret_value())
        if parts.scheme not in {"redis", "rediss"}:
            return  # a socket: the file's mode guards it
        distant = not is_loopback(parts.hostname or "127.0.0.1")
        if self.open() and (distant or self.wide()):
            yield Diagnosis("redis_open", "error", f"{self.shown} lets in whoever reaches it, without a password", OPEN)
        elif distant and parts.scheme == "redis":
            yield Diagnosis(
                "redis_plain",
                "warning",
                f"{self.shown} is reached without TLS: password and conversations can be read on the way",
                "use rediss://, or a network of your own (WireGuard, Tailscale)",
            )

    def open(self) -> bool:
        """Whether a client without any password is let in from here."""
        parts = urlsplit(self.url.get_secret_value())
        port = f":{parts.port}" if parts.port else ""
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        bare = parts._replace(netloc=f"{host or '127.0.0.1'}{port}").geturl()
        try:
            with short_lived_client(SecretStr(bare), SECONDS) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def wide(self) -> bool:
        """Whether it listens to other machines; StoreError where CONFIG is forbidden."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            said = cast(dict[str, str], client.config_get("bind", "protected-mode"))
        addresses = [address.lstrip("-") for address in said.get("bind", "").split()]
        narrow = bool(addresses) and all(is_loopback(address) for address in addresses)
        return not narrow and said.get("protected-mode") != "yes"  # protected: others are refused while it is open

    def memory(self) -> Iterator[Diagnosis]:
        """The share used of what it may use, or of the machine."""
        seen = self.info("memory")
        used, limit = number(seen, "used_memory"), number(seen, "maxmemory")
        room = limit or number(seen, "total_system_memory")
        if not room:
            raise CannotCheckError("the server tells neither maxmemory nor its machine's memory")
        if used > FULL * room:
            of = "maxmemory" if limit else "its machine's memory"
            yield Diagnosis(
                "redis_memory",
                "error" if used > CRAMPED * room else "warning",
                f"Redis uses {used / 1e6:.0f} MB, {used / room:.0%} of {of}",
                "raise maxmemory, or fetch and remove old runs",
            )

    def skew(self) -> Iterator[Diagnosis]:
        """This machine's clock against the server's, half the way of the question subtracted."""
        with redis_errors(), short_lived_client(self.url, SECONDS) as client:
            client.ping()  # the connection is there: only the question itself takes time now
            before = self.clock()
            seconds, micros = client.time()
            after = self.clock()
        ahead = (before + after) / 2 - (seconds + micros / 1e6)
        if abs(ahead) > SKEW_SECONDS:
            yield Diagnosis(
                "clock_skew",
                "error",
                f"this machine's clock is {off_by(ahead)} the Redis server's",
                "let both set their time over the network; a worker this far off takes over messages others still hold",
            )


def off_by(ahead: float) -> str:
    """Seconds of one clock against another, in words."""
    return f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"


def number(seen: Info, key: str) -> int:
    """A whole number of INFO, 0 where it is missing."""
    value = seen.get(key, 0)
    return int(value) if isinstance(value, int | float) else 0
