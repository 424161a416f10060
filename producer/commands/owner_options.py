"""Options with which a worker's owner allows what runs may touch on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from config.owner_policy import URL

DEFAULT = (
    "any for a worker of the embedded server, where only you can submit; otherwise {} [default: ${}, separated by ';']."
)

WorkspaceRoots = Annotated[
    list[str] | None,
    typer.Option(
        "--workspace-root",
        metavar="DIR|URL",
        help="Let runs read code in and below this folder; repeat for more. Public git repositories need none. A URL "
        "such as git@host:me/ lets runs read what your git credentials open below it. Unset: "
        + DEFAULT.format("none", "APPLEJACK_WORKSPACE_ROOTS"),
    ),
]
AllowedCommands = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-command",
        metavar="NAME",
        help="Let runs that name this program start it in the sandbox; repeat for more, '*' for all that they name. "
        "Unset: " + DEFAULT.format("none", "APPLEJACK_COMMANDS"),
    ),
]
Unsandboxed = Annotated[
    bool,
    typer.Option(
        "--unsandboxed",
        help="Run these programs without a sandbox, with everything that this user may do [default: "
        "$APPLEJACK_UNSANDBOXED].",
    ),
]


def owner_arguments(roots: Sequence[str], commands: Sequence[str], *, unsandboxed: bool) -> tuple[str, ...]:
    """These options as words of a command line that starts in another directory."""
    absolute = [root if URL.match(root) else str(Path(root).expanduser().absolute()) for root in roots]
    places = [word for root in absolute for word in ("--workspace-root", root)]
    programs = [word for name in commands for word in ("--allow-command", name)]
    return (*places, *programs, *(["--unsandboxed"] if unsandboxed else []))
