"""An evaluation with what most tests of it leave out."""

from collections.abc import Callable, Sequence
from pathlib import Path

from config.records import Prompt, Spec
from config.report.model import Report
from worker.evaluate.evaluator import Progress, evaluate
from worker.tools.workspace import Workspace


def evaluated(
    prompts: Sequence[Prompt],
    student: Path,
    out: Path,
    *,
    spec: Spec,
    unseen: Sequence[Prompt] = (),
    adapter: Path | None = None,
    workspace_for: Callable[[Prompt], Workspace | None] = lambda _: None,
    on_progress: Progress = lambda *_: None,
    concurrency: int | None = None,
) -> Report:
    """The report of evaluate(), or its error."""
    return evaluate(
        prompts,
        unseen=unseen,
        spec=spec,
        student=student,
        adapter=adapter,
        workspace_for=workspace_for,
        out=out,
        on_progress=on_progress,
        worker="test",
        concurrency=concurrency,
    )
