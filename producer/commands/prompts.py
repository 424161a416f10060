"""`applejack prompts`: questions mined from code."""

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
    count: Annotated[int, typer.Option(help="How many prompts.", min=1)],
    out: Annotated[Path, typer.Option(help="The prompts.jsonl to write.")],
    seed: Annotated[int, typer.Option(help="The same seed and code give the same file.")] = 0,
    no_tools: Annotated[float, typer.Option(help="Share of general questions that need no tools.", min=0, max=1)] = 0.3,
    as_json: Json = False,
) -> None:
    """Mine questions with known answers from real code.

    Each line holds a prompt, its category, whether it needs tools, and the facts a right answer must contain, computed
    from the code. Example: applejack prompts ~/src/celery --count 500 --out prompts.jsonl
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
