"""Examples and marks for tests of the review."""

from worker.curate.review.examples import Example
from worker.curate.review.marks import Mark


def example(number: int, kept: bool | None = True, content: str = "c") -> Example:
    return Example(job_id=f"{number:06d}-a", run_id="run", kept=kept, content=content)


def marked(one: Example, mark: str, by: str = "ann", **fields: object) -> Mark:
    known = {"job_id": one.job_id, "run_id": one.run_id, "content": one.content, "kept": one.kept}
    return Mark.model_validate({**known, "mark": mark, "by": by, **fields})


def population(kept: int, rejected: int) -> list[Example]:
    return [example(n, n < kept) for n in range(kept + rejected)]
