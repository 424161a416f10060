"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from config.address import http_parts, without_secret
from config.did_you_mean import did_you_mean
from config.errors import UsageError
from config.records import TOOL_NAMES
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
Notify = Annotated[
    list[str] | None,
    typer.Option(
        "--notify",
        metavar="URL|COMMAND|@FILE",
        help="Where to tell that a run ends, stalls or fails: a webhook of Slack, Mattermost or Discord (/slack), a "
        "command, or a file of mode 600 with one a line, because a webhook's URL is a secret; repeat for more "
        "[default: $APPLEJACK_NOTIFY].",
    ),
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of the run, as listed by `applejack status`.")]

ReportName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Id of the run, or RUN@vN for its adapter of version N, as in `status RUN`."),
]


def require_url(endpoint: str) -> None:
    """UsageError if the endpoint is not a valid HTTP URL."""
    if http_parts(endpoint) is None:
        raise UsageError(
            f"the endpoint {without_secret(endpoint)!r} is not of the form http://HOST:PORT/PATH; "
            "give an --endpoint such as http://127.0.0.1:8080/v1"
        )


def tool_names(text: str) -> list[str]:
    """The tools in a comma-separated list. UsageError if one is not a tool."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in TOOL_NAMES:
            raise UsageError(f"unknown tool {name!r}{did_you_mean(name, TOOL_NAMES)}")
    return names


def settings_with_dir(folder: Path | None) -> Settings:
    """The settings; --dir overrides $APPLEJACK_DIR."""
    return settings().model_copy(update={"dir": folder}) if folder else settings()
