"""Reads the held-out prompts of a dataset and selects some of them, in equal parts from each category."""

from collections.abc import Sequence
from pathlib import Path

from config.errors import UsageError
from config.records import Prompt
from worker.curate.dataset import HELD_OUT
from worker.curate.jsonlines import numbered_lines, parse_object


def read_prompts(path: Path, *, name: str = HELD_OUT) -> list[Prompt]:
    """Read the prompts of a file, or of the file `name` in a dataset's directory.

    UsageError names the file, line and fault of a bad one, or the file if it has none.
    """
    file = path / name if path.is_dir() else path
    try:
        with file.open("rb") as opened:
            prompts = [_prompt(line, f"{file}:{number}") for number, line in numbered_lines(opened)]
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error.strerror}") from error
    if not prompts:
        remedy = "; nothing was held out: raise --test-share when curating" if path.is_dir() else ""
        raise UsageError(f"{str(file)!r} contains no prompts{remedy}")
    return prompts


def select(prompts: Sequence[Prompt], most: int | None) -> list[Prompt]:
    """At most `most` of the prompts, in their order.

    Prompts that need tools and those that need none keep their shares. Among each, the categories take turns in
    alphabetical order, so that they are asked equally often as far as they have prompts.
    """
    if most is None or most >= len(prompts):
        return list(prompts)
    needing = [number for number, prompt in enumerate(prompts) if prompt.requires_tools]
    needless = [number for number, prompt in enumerate(prompts) if not prompt.requires_tools]
    share = int(most * len(needing) / len(prompts) + 0.5)
    if needing and needless and most > 1:
        share = min(max(share, 1), most - 1)  # each kind has its own rates
    chosen = [*_in_turns(prompts, needing)[:share], *_in_turns(prompts, needless)[: most - share]]
    return [prompts[number] for number in sorted(chosen)]


def _in_turns(prompts: Sequence[Prompt], numbers: Sequence[int]) -> list[int]:
    """The numbers, one of each category in turn."""
    turns: dict[str, int] = {}
    order: list[tuple[int, str, int]] = []
    for number in numbers:
        category = prompts[number].category
        turns[category] = turns.get(category, 0) + 1
        order.append((turns[category], category, number))
    return [number for _, _, number in sorted(order)]


def _prompt(line: bytes, where: str) -> Prompt:
    try:
        return Prompt.model_validate(parse_object(line))
    except ValueError as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from error
