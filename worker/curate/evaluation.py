"""How a run evaluates, written into its dataset, so that `applejack evaluate` can repeat the evaluation from it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from config.address import without_secret
from config.errors import UsageError
from config.records import JsonObject, Pin, Prompt, Record, Spec

FILE = "evaluation.json"
UNSEEN = "unseen.jsonl"
FIELDS = frozenset({"run_id", "workspace", "tools", "allow_commands", "system_prompt"}) | {
    name for name in Spec.model_fields if name.startswith("evaluate_")
}


@dataclass(frozen=True)
class Evaluation:
    """What curation adds to the dataset of a run for its evaluation."""

    spec: Spec
    unseen: Sequence[Prompt] = ()
    """questions about code that the student never saw"""


class RecordedSettings(Record):
    """The content of evaluation.json."""

    spec: JsonObject
    """the fields of the run's Spec that an evaluation reads"""
    pins: tuple[Pin, ...] = ()
    """the code that the examples are about"""

    @classmethod
    def of(cls, spec: Spec, pins: Iterable[Pin]) -> Self:
        """The settings of a run; the order of the pins does not matter."""
        known = {(pin.origin, pin.content): pin.model_copy(update={"dirty": False}) for pin in pins}
        shared = spec.model_copy(update={"workspace": without_secret(spec.workspace) if spec.workspace else None})
        fields = shared.model_dump(mode="json", include=set(FIELDS))
        return cls(spec=fields, pins=tuple(known[key] for key in sorted(known)))

    @classmethod
    def read(cls, dataset: Path) -> Self | None:
        """The settings in a dataset's directory; None if it has none. UsageError if they cannot be read."""
        file = dataset / FILE
        try:
            found = cls.model_validate_json(file.read_bytes())
            found.run()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UsageError(f"{str(file)!r} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ".".join(map(str, fault["loc"])) or "the file"
            raise UsageError(
                f"{str(file)!r} is not the settings of an evaluation: {where}: {fault['msg']}; "
                "fetch the dataset again, or use the version of applejack that made it"
            ) from error
        return found

    def run(self) -> Spec:
        """The run's Spec, as far as an evaluation reads it."""
        return Spec.model_validate(self.spec)

    def pin(self, workspace: str) -> Pin | None:
        """The pin of a workspace PATH, PATH@REV or URL@REV; None if it is not one of the run's, or has several."""
        found = [pin for pin in self.pins if workspace == pin.origin or workspace.startswith(f"{pin.origin}@")]
        return found[0] if len(found) == 1 else None


def write(place: Path, evaluation: Evaluation, pins: Iterable[Pin], *, unseen: bool) -> None:
    """Write evaluation.json, and unseen.jsonl if `unseen` and there are such questions. Each has its own job_id."""
    settings = RecordedSettings.of(evaluation.spec, pins)
    text = json.dumps(settings.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (place / FILE).write_text(f"{text}\n", encoding="utf-8")
    if unseen and evaluation.unseen:
        lines = (_unseen_line(number, prompt) for number, prompt in enumerate(evaluation.unseen, 1))
        (place / UNSEEN).write_text("".join(lines), encoding="utf-8")


def _unseen_line(number: int, prompt: Prompt) -> str:
    body = {**prompt.model_dump(mode="json"), "job_id": f"unseen-{number:03d}-{prompt.content_hash[:8]}"}
    return json.dumps(body, ensure_ascii=False) + "\n"
