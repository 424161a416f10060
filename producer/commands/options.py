"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from config.address import http_parts, without_secret
from config.errors import UsageError
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


def require_url(endpoint: str) -> None:
    """UsageError for an endpoint that cannot be asked, whatever runs there."""
    if http_parts(endpoint) is None:
        raise UsageError(
            f"the endpoint {without_secret(endpoint)!r} is not of the form http://HOST:PORT/PATH; "
            "give --endpoint one, such as http://127.0.0.1:8080/v1"
        )


def settings_with_dir(folder: Path | None) -> Settings:
    """The settings, with --dir over the environment's."""
    return settings().model_copy(update={"dir": folder}) if folder else settings()
