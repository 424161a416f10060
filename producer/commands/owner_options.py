"""Options with which a worker's owner allows what runs may touch on this machine."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

DEFAULT = (
    "any for a worker of the embedded server, where only you can submit; otherwise {} [default: ${}, separated by ';']."
)

WorkspaceRoots = Annotated[
    list[Path] | None,
    typer.Option(
        "--workspace-root",
        metavar="DIR",
        help="Let runs read code in and below this folder; repeat for more. Git URLs need none: they are cloned into "
        "the worker's own cache. Unset: " + DEFAULT.format("none", "APPLEJACK_WORKSPACE_ROOTS"),
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


def owner_arguments(roots: Sequence[Path], commands: Sequence[str], *, unsandboxed: bool) -> tuple[str, ...]:
    """These options as words of a command line that starts in another directory."""
    places = [word for root in roots for word in ("--workspace-root", str(root.expanduser().absolute()))]
    programs = [word for name in commands for word in ("--allow-command", name)]
    return (*places, *programs, *(["--unsandboxed"] if unsandboxed else []))
