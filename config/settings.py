"""Every knob, read from APPLEJACK_* in the environment; the only reader of the environment."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Frozen; secrets are masked wherever the object is printed."""

    model_config = SettingsConfigDict(env_prefix="APPLEJACK_", frozen=True, extra="ignore")

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
    keeper_seconds: float = Field(5.0, gt=0, description="how often a generate worker looks at its endpoint and disk")
    probe_seconds: float = Field(
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
    """The settings of this process, read once."""
    return Settings()
