"""The adapters of a run. Training it again with other hyperparameters keeps the adapter and the report of before.

The newest has the version of the run. An earlier one is named RUN@vN; its files are adapter@vN and report@vN.
"""

import json
import re
from dataclasses import dataclass

import redis

from config.errors import UsageError
from config.ledger.stages import Stages
from config.ledger.store import decode, redis_errors
from config.records import JsonObject, Spec, StageState
from config.topology import Stage, run_key

NAME = re.compile(r"(?P<run>.+)@v(?P<version>\d+)")


@dataclass(frozen=True)
class AdapterVersion:
    """One adapter of a run."""

    version: int
    current: bool
    """whether it is the run's newest, whose files have no version in their names"""
    lora: JsonObject
    """its overrides of config/lora.yaml"""
    adapter: JsonObject
    """the Adapter, as the train stage recorded it"""
    report: JsonObject
    """the Report; empty if it was not evaluated"""

    def file_name(self, name: str) -> str:
        """Name of its "adapter" or "report" among the run's files."""
        return name if self.current else f"{name}@v{self.version}"

    def as_json(self) -> JsonObject:
        """What `applejack status --json` lists."""
        losses = self.adapter.get("losses")
        trained = [line["train_loss"] for line in losses if isinstance(line, dict) and line.get("train_loss")] \
            if isinstance(losses, list) else []  # fmt: skip
        return {
            "version": self.version,
            "current": self.current,
            "lora": self.lora,
            "iterations": self.adapter.get("iterations"),
            "train_loss": trained[-1] if trained else None,
            "seconds": self.adapter.get("seconds"),
            "report": bool(self.report),
        }


class Adapters:
    """The adapters of every run."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._stages = Stages(client)

    def all(self, run_id: str, spec: Spec, version: int) -> list[AdapterVersion]:
        """The adapters of a run, oldest first; `spec` and `version` are the run's."""
        with redis_errors():
            stored = self._redis.hgetall(run_key(run_id, "adapters"))
        fields = {decode(key): json.loads(decode(value) or "{}") for key, value in stored.items()}
        kept = [
            AdapterVersion(
                version=number,
                current=False,
                lora=fields[f"{number}:spec"].get("lora", {}),
                adapter=fields[f"{number}:train"],
                report=fields.get(f"{number}:evaluate", {}),
            )
            for number in sorted(int(name.split(":")[0]) for name in fields if name.endswith(":train"))
        ]
        trained, evaluated = (self._stages.view(run_id, stage) for stage in (Stage.TRAIN, Stage.EVALUATE))
        if trained.state is StageState.DONE:
            report = evaluated.result if evaluated.state is StageState.DONE else {}
            kept.append(AdapterVersion(version, True, spec.lora, trained.result, report))
        return kept


def split_name(name: str) -> tuple[str, int | None]:
    """The run and the version in RUN or RUN@vN; None for the run's newest adapter. UsageError for another "@"."""
    if "@" not in name:
        return name, None
    found = NAME.fullmatch(name)
    if found is None:
        raise UsageError(
            f"{name!r} is not RUN or RUN@vN, such as night-1@v2; `applejack status RUN` lists the versions"
        )
    return found["run"], int(found["version"])
