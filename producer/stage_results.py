"""What the reports and results of stages hold, read with care: other versions may have written them."""

from collections.abc import Sequence
from dataclasses import dataclass

from config.errors import RejectionReason
from config.records import JsonObject


@dataclass(frozen=True)
class EvaluationProgress:
    """A running evaluation: `done` of `total` prompts of one phase, such as "before" or "after"."""

    phase: str
    done: int
    total: int


def train_losses(reports: object) -> tuple[float, ...]:
    """The training losses among progress reports or the losses of an Adapter."""
    lines = [line for line in reports if isinstance(line, dict)] if isinstance(reports, list) else []
    return tuple(float(loss) for line in lines if isinstance(loss := line.get("train_loss"), int | float))


def evaluation_progress(reports: Sequence[JsonObject]) -> EvaluationProgress | None:
    """The newest report of an evaluation; None without any."""
    match reports[-1] if reports else {}:
        case {"phase": str(phase), "done": int(done), "total": int(total)}:
            return EvaluationProgress(phase, done, total)
    return None


def rejections(reasons: object) -> dict[str, int]:
    """Rejected trajectories per reason; failed generations are counted per kind already."""
    found = reasons.items() if isinstance(reasons, dict) else ()
    failed = RejectionReason.FAILED_GENERATION.value
    return {str(name): count for name, count in found if isinstance(count, int) and name != failed}


def int_or_none(value: object) -> int | None:
    """The value if it is an int, else None."""
    return value if isinstance(value, int) else None


def counted(value: object) -> dict[str, int] | None:
    """The counts {"count", "of"} of a curation; None if it stored none, as earlier versions did."""
    if not isinstance(value, dict):
        return None
    return {key: number for key in ("count", "of") if isinstance(number := value.get(key), int)}


def skip_reason(result: JsonObject) -> str:
    """Why a stage that ended did nothing; "" if it did its work. Curation counts skipped lines under the same name."""
    reason = result.get("skipped")
    return reason if isinstance(reason, str) else ""
