"""All settings, read from APPLEJACK_* environment variables. No other module reads the environment."""

import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final, Literal, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.address import without_secret
from config.environment import PREFIX
from config.errors import UsageError
from config.owner_policy import Policy
from config.terminal import say

RUN_LOCK: Final = Path("/run/lock")
REDIS: Final = ("redis", "rediss")
FORM: Final = "expected redis://:PASSWORD@HOST:PORT/0"
OWN: Final = (  # directories and files in `dir`
    *("archive", "cache", "fleet-redis", "journal", "logs", "models", "redis", "runs"),
    *("flower", "flower.*", "flower-*", "stack.*"),
)


def default_lock_dir() -> Path:
    """`/Users/Shared/applejack` on macOS; on Linux `/run/lock/applejack`, or `/tmp/applejack`.

    It is the same for every user of a machine.
    """
    if sys.platform == "darwin":
        return Path("/Users/Shared/applejack")
    everyone = RUN_LOCK.is_dir() and RUN_LOCK.stat().st_mode & stat.S_IWOTH  # asks for all users, not for this one
    return RUN_LOCK / "applejack" if everyone else Path("/tmp/applejack")  # noqa: S108 - shared on purpose


class Settings(BaseSettings):
    """Frozen; secrets are masked wherever the object is printed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: SecretStr | None = Field(
        None, description="Redis for broker, results and ledger; unset: the embedded server"
    )
    dir: Path = Field(Path("data"), description="directory of runs, models, caches and the embedded server's data")
    endpoint: str = Field("http://127.0.0.1:8080/v1", description="OpenAI-compatible server that this worker uses")
    endpoint_key: SecretStr | None = Field(None, description="API key of the endpoint, if it requires one")
    model: str = Field(
        "default_model", description="model name sent to the endpoint; for mlx_lm the default means the loaded model"
    )
    serve: str | None = Field(
        None, description="model of a child mlx_lm server that this worker manages: directory or hub id"
    )
    serve_port: int = Field(0, ge=0, le=65535, description="port of that server; 0: any free port")
    endpoint_serves: str | None = Field(
        None,
        description="model that the mlx_lm server at `endpoint` has loaded; by this name it would load it again",
    )
    lock_dir: Path = Field(
        default_factory=default_lock_dir,
        description="directory of the device lock; must be the same for all users and services of a machine",
    )
    cuda_devices: str = Field(
        "0", validation_alias="CUDA_VISIBLE_DEVICES", description="CUDA's own variable; each first device has its lock"
    )
    concurrency: int | None = Field(None, ge=1, description="parallel jobs; unset: adapted to the measured latency")
    lease_seconds: float = Field(
        20.0, gt=1, description="after this time without a heartbeat, a worker's jobs run elsewhere"
    )
    health_check_seconds: float = Field(
        5.0, gt=0, description="interval of a generate worker's checks of endpoint and disk"
    )
    health_check_timeout: float = Field(
        15.0, gt=0, description="deadline for one token; an endpoint that needs longer counts as hung"
    )
    visibility_seconds: float = Field(
        900.0, gt=1, description="kombu's visibility timeout; must be the same in the whole fleet"
    )
    drain_seconds: float = Field(
        60.0, ge=0, description="time that running jobs have to finish when a worker shuts down"
    )
    trainers: str | None = Field(
        None,
        description="commands that this worker may run as trainers, separated by ';'; others are refused",
    )
    trainer_dir: Path = Field(Path(), description="directory in which they start, for relative paths in their words")
    workspace_roots: str | None = Field(
        None,
        description="folders, separated by ';', in which a worker's runs may read code, and git URLs below which they "
        "may use this user's git credentials; unset: none, and any for a worker of the embedded server, where only "
        "this user can submit",
    )
    commands: str | None = Field(
        None,
        description="programs, separated by ';', that a worker's runs may start with run_command; '*': all that they "
        "name; unset: as for workspace_roots",
    )
    unsandboxed: bool = Field(
        False, description="run the programs that runs allow outside a sandbox, with everything this user may do"
    )
    caffeinate: bool = Field(True, description="on macOS, keep the machine awake while this worker has work")
    flower_user: str | None = Field(None, description="Flower's basic-auth user")
    flower_password: SecretStr | None = Field(None, description="Flower's basic-auth password")
    metrics_token: SecretStr | None = Field(
        None, description="bearer token with which Prometheus may read Flower's /metrics; unset: only the login"
    )
    notify: SecretStr | None = Field(
        None,
        description="default of --notify: webhook URLs, commands or @FILE (mode 600, one a line), separated by ';'",
    )
    notify_stall_minutes: float | None = Field(
        None,
        gt=0,
        description="minutes without a finished job that count as a stall; unset: 10 times the run's mean, at least 10",
    )
    notify_failure_share: float = Field(
        0.2, gt=0, le=1, description="share of failed jobs, of at least 20 finished ones, that is worth a notice"
    )
    log_format: Literal["auto", "pretty", "json"] = Field(
        "auto", description="auto, pretty or json; auto is pretty on a terminal and JSON lines elsewhere"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="debug, info, warning or error: the least severe messages that are logged"
    )

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            require_redis(url.get_secret_value())
        return url

    @property
    def loaded_model(self) -> str | None:
        """The model that this worker's mlx_lm server has loaded and serves as "default_model", where it is known."""
        return self.serve or self.endpoint_serves

    @property
    def allowed_trainers(self) -> tuple[str, ...]:
        """The commands that this worker may run as trainers."""
        return tuple(text for part in (self.trainers or "").split(";") if (text := part.strip()))

    @property
    def own_places(self) -> list[Path]:
        """What applejack writes into `dir`, as far as it is there; `dir` itself may be a directory of the user's."""
        return [place for pattern in OWN for place in self.dir.glob(pattern)]

    @property
    def policy(self) -> Policy:
        """What runs may touch on this machine."""
        return Policy.of_settings(self.workspace_roots, self.commands)

    def of_worker(self) -> Self:
        """These settings for a worker: what its owner has not allowed is refused."""
        strict = {"workspace_roots": self.workspace_roots or "", "commands": self.commands or ""}
        return self.model_copy(update=strict)

    @property
    def runs(self) -> Path:
        """One folder per run: datasets, adapter, report."""
        return self.dir / "runs"

    @property
    def journal(self) -> Path:
        """What this machine's workers made, until its run is archived."""
        return self.dir / "journal"

    @property
    def models(self) -> Path:
        """Student models created or converted on this machine."""
        return self.dir / "models"

    @property
    def cache(self) -> Path:
        """Pinned workspaces and built libraries; safe to delete at any time."""
        return self.dir / "cache"


@cache
def settings() -> Settings:
    """The settings of this process, read once. Prints a warning for each misspelt name to stderr.

    UsageError names the variable that has an invalid value.
    """
    for warning in misspelt(os.environ):
        say(f"applejack: {warning}", file=sys.stderr)
    try:
        return Settings()
    except ValidationError as error:
        details = error.errors()[0]
        variable, value = f"{PREFIX}{str(details['loc'][0]).upper()}", details["input"]
        message = details["msg"].removeprefix("Value error, ")
        # our own validators quote the value themselves, without its secrets
        quoted = "" if message != details["msg"] else f" is {value!r}"
        raise UsageError(f"{variable}{quoted}: {message}; correct it or unset it") from None


def require_redis(url: str) -> None:
    """Raise ValueError unless the text is a Redis URL; the message omits the password."""
    with suppress(ValueError):  # a bad port, or an unclosed IPv6 bracket
        parts = urlsplit(url)
        database = parts.path.removeprefix("/")
        hidden = "password" not in parse_qs(
            parts.query
        )  # redis-py would take it there; Celery and Flower would show it
        place = parts.hostname and parts.port != 0 and (database.isdecimal() or not database)
        if parts.scheme in REDIS and place and hidden:
            return
    shown = without_secret(url) if "://" in url else url.rpartition("@")[2]
    raise ValueError(f"{shown!r} is not a Redis URL; {FORM}")


def misspelt(names: Iterable[str]) -> list[str]:
    """A warning for each APPLEJACK_ variable whose name is close to a setting's name."""
    known = [f"{PREFIX}{field.upper()}" for field in Settings.model_fields]
    unknown = sorted(name for name in names if name.startswith(PREFIX) and name not in known)
    matches = {name: get_close_matches(name, known, n=1, cutoff=0.8) for name in unknown}
    return [
        f"{name} is not a setting and is ignored; did you mean {close[0]}?" for name, close in matches.items() if close
    ]
