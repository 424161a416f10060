"""Every knob, read from APPLEJACK_* in the environment; the only reader of the environment."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from config.address import without_secret
from config.errors import UsageError

PREFIX: Final = "APPLEJACK_"
REDIS: Final = ("redis", "rediss")


class Settings(BaseSettings):
    """Frozen; secrets are masked wherever the object is printed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    redis_url: SecretStr | None = Field(None, description="broker, results and ledger; unset: the embedded server")
    dir: Path = Field(Path("data"), description="where runs, models, caches and the embedded server's data live")
    endpoint: str = Field("http://127.0.0.1:8080/v1", description="OpenAI-compatible server on the worker's machine")
    endpoint_key: SecretStr | None = Field(None, description="API key of the endpoint, if it wants one")
    model: str = Field("default_model", description="model name sent to the endpoint; mlx_lm: what --model loaded")
    serve: str | None = Field(
        None, description="model that this worker's own mlx_lm server serves: directory or hub id"
    )
    concurrency: int | None = Field(None, ge=1, description="jobs in flight; unset: found by measuring the endpoint")
    lease_seconds: float = Field(20.0, gt=1, description="a worker silent for this long has its jobs run elsewhere")
    health_check_seconds: float = Field(
        5.0, gt=0, description="how often a generate worker looks at its endpoint and disk"
    )
    health_check_timeout: float = Field(
        15.0, gt=0, description="a one-token answer that takes longer means that the endpoint hangs"
    )
    visibility_seconds: float = Field(
        900.0, gt=1, description="kombu's visibility timeout; must be the same in the whole fleet"
    )
    drain_seconds: float = Field(60.0, ge=0, description="what a worker that is asked to stop may still finish")
    flower_user: str | None = Field(None, description="Flower's basic-auth user")
    flower_password: SecretStr | None = Field(None, description="Flower's basic-auth password")
    log_format: Literal["auto", "pretty", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            require_redis(url.get_secret_value())
        return url

    @property
    def runs(self) -> Path:
        """One folder per run: datasets, adapter, report."""
        return self.dir / "runs"

    @property
    def models(self) -> Path:
        """Students made or converted here."""
        return self.dir / "models"

    @property
    def cache(self) -> Path:
        """Pinned workspaces and built libraries; may be deleted at any time."""
        return self.dir / "cache"


@cache
def settings() -> Settings:
    """The settings of this process, read once; a name that is nearly a setting's is told on stderr.

    UsageError names the variable whose value does not fit.
    """
    for warning in misspelt(os.environ):
        sys.stderr.write(f"applejack: {warning}\n")
    try:
        return Settings()
    except ValidationError as error:
        fault = error.errors()[0]
        field, value = str(fault["loc"][0]), fault["input"]
        told = fault["msg"].removeprefix("Value error, ")  # a check of our own quotes what may be shown
        raise UsageError(
            f"{PREFIX}{field.upper()}{'' if told != fault['msg'] else f' is {value!r}'}: {told}; mend it or unset it"
        ) from None


def require_redis(url: str) -> None:
    """ValueError, without the password, unless a text is the URL of a Redis."""
    with suppress(ValueError):  # a port that is no number or too large, half of an IPv6 address
        parts = urlsplit(url)
        database = parts.path.removeprefix("/")
        if parts.scheme in REDIS and parts.hostname and parts.port != 0 and (database.isdecimal() or not database):
            return
    shown = without_secret(url) if "://" in url else url.rpartition("@")[2]
    raise ValueError(f"{shown!r} is no URL of a Redis; it has the form redis://:PASSWORD@HOST:PORT/0")


def misspelt(names: Iterable[str]) -> list[str]:
    """A warning for each name with our prefix that is no setting, but nearly one."""
    known = [f"{PREFIX}{field.upper()}" for field in Settings.model_fields]
    strange = sorted(name for name in names if name.startswith(PREFIX) and name not in known)
    near = {name: get_close_matches(name, known, n=1, cutoff=0.8) for name in strange}
    return [f"{name} is no setting and is ignored; did you mean {close[0]}?" for name, close in near.items() if close]
