"""`applejack prompts`: mine questions from code."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from config.prompts import write
from producer.commands.options import Json
from producer.mining.mine import by_category, mine
from producer.output import Output


def prompts(
    workspaces: Annotated[list[Path], typer.Argument(metavar="WORKSPACE...", help="Directories with Python code.")],
    count: Annotated[int, typer.Option(help="Number of prompts to write.", min=1)],
    out: Annotated[Path, typer.Option(help="File to write, such as prompts.jsonl.")],
    seed: Annotated[int, typer.Option(help="Random seed; the same seed and code give the same file.")] = 0,
    no_tools: Annotated[
        float, typer.Option(help="Share of general questions, which need no tools.", min=0, max=1)
    ] = 0.3,
    as_json: Json = False,
) -> None:
    """Mine questions with known answers from code.

    Each line of the file contains a prompt, its category, whether it needs tools, and the facts that a correct answer
    must contain, computed from the code. Example: applejack prompts ~/src/celery --count 500 --out prompts.jsonl
    """
    mined = mine(workspaces, count=count, seed=seed, no_tools_share=no_tools)
    write(mined, out)
    output = Output(as_json)
    table = Table("category", "prompts")
    for category, number in by_category(mined).items():
        table.add_row(category, str(number))
    output.console.print(table)
    output.console.print(f"{len(mined)} prompts in {out}")
    output.result({"prompts": len(mined), "by_category": dict(by_category(mined)), "out": str(out)})
