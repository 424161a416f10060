"""`applejack prompts`: mine questions from code."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from config.errors import UsageError
from config.prompts import write
from config.questions.answering_tools import answerable, can_answer, needed
from config.questions.wording import CODE_CATEGORIES, GENERAL_FORMS
from config.records import TOOL_NAMES
from producer.commands.options import Json, tool_names
from producer.mining.mine import NO_TOOLS_SHARE, by_category, mine, require_categories
from producer.output import Output


def prompts(
    workspaces: Annotated[list[Path], typer.Argument(metavar="WORKSPACE...", help="Directories with Python code.")],
    count: Annotated[int, typer.Option(help="Number of prompts to write.", min=1)],
    out: Annotated[Path, typer.Option(help="File to write, such as prompts.jsonl.")],
    seed: Annotated[int, typer.Option(help="Random seed; the same seed and code give the same file.")] = 0,
    categories: Annotated[
        list[str] | None,
        typer.Option(
            "--category",
            metavar="CATEGORY",
            help="Only questions of this category; repeat for more. General questions are then left out, unless one of "
            "their categories is named or --no-tools is given.",
        ),
    ] = None,
    tools: Annotated[
        str, typer.Option(help="Tools of the run, comma-separated: questions that they cannot answer are left out.")
    ] = ",".join(TOOL_NAMES),
    no_tools: Annotated[
        float | None,
        typer.Option(help="Share of general questions, which need no tools  [default: 0.3]", min=0, max=1),
    ] = None,
    as_json: Json = False,
) -> None:
    """Mine questions with known answers from code.

    Each line of the file contains a prompt, its category, whether it needs tools, and the facts that a correct answer
    must contain, computed from the code. Example: applejack prompts ~/src/celery --count 500 --out prompts.jsonl
    """
    share = share_without_tools(categories or []) if no_tools is None else no_tools
    chosen = choose(categories or [], tool_names(tools), share=share)
    mined = mine(workspaces, count=count, seed=seed, no_tools_share=share, categories=chosen)
    write(mined, out)
    output = Output(as_json)
    table = Table("category", "prompts")
    for category, number in by_category(mined).items():
        table.add_row(category, str(number))
    output.console.print(table)
    output.console.print(f"{len(mined)} prompts in {out}")
    output.result({"prompts": len(mined), "by_category": dict(by_category(mined)), "out": str(out)})


def choose(categories: Sequence[str], tools: Sequence[str], *, share: float) -> list[str]:
    """The categories to mine: the named ones, else all, without those that the tools cannot answer.

    Raises UsageError for an unknown category, for a named one that the tools cannot answer, and if none is left.
    """
    require_categories(categories)
    for category in categories:
        if not can_answer(category, tools):
            raise UsageError(
                f"questions of category {category!r} need {needed(category)}; add that to --tools, or omit it"
            )
    about_code = [name for name in categories if name in CODE_CATEGORIES] or answerable(tools)
    if not about_code and share < 1:
        raise UsageError(f"no question about code can be answered with --tools {','.join(tools)!r}; name more tools")
    return [*about_code, *(name for name in categories if name in GENERAL_FORMS)]


def share_without_tools(categories: Sequence[str]) -> float:
    """The share of general questions unless one is given: none or all if the categories are of one kind."""
    kinds = {category in GENERAL_FORMS for category in categories}
    return float(kinds.pop()) if len(kinds) == 1 else NO_TOOLS_SHARE
