"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from config.address import http_parts, without_secret
from config.errors import UsageError
from config.settings import Settings, settings

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line of stdout; text goes to stderr.")
]
Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        help="Directory for runs, models and the embedded server's data [default: $APPLEJACK_DIR, else ./data].",
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, as listed by `applejack status`.")]


def require_url(endpoint: str) -> None:
    """UsageError if the endpoint is not a valid HTTP URL."""
    if http_parts(endpoint) is None:
        raise UsageError(
            f"the endpoint {without_secret(endpoint)!r} is not of the form http://HOST:PORT/PATH; "
            "give an --endpoint such as http://127.0.0.1:8080/v1"
        )


def settings_with_dir(folder: Path | None) -> Settings:
    """The settings; --dir overrides $APPLEJACK_DIR."""
    return settings().model_copy(update={"dir": folder}) if folder else settings()
