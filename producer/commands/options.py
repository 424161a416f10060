"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from config.settings import Settings, settings

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line; text for people goes to stderr.")
]
Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="Where runs, models and the embedded server's data live [default: $APPLEJACK_DIR, else ./data]."
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, as `applejack status` lists it.")]


def chosen(folder: Path | None) -> Settings:
    """The settings, with --dir over the environment's."""
    return settings().model_copy(update={"dir": folder}) if folder else settings()
