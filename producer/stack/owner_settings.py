"""The environment variables with which a worker gets what its owner allows."""

from collections.abc import Sequence
from pathlib import Path

from config.errors import UsageError
from config.owner_policy import EVERY, SEPARATOR, Policy
from config.settings import Settings


def owner_settings(
    settings: Settings, *, roots: Sequence[Path] = (), commands: Sequence[str] = (), unsandboxed: bool = False
) -> dict[str, str]:
    """The variables of a worker's environment; folders are absolute, because a worker runs in its log folder.

    Options come before settings. Without either a worker of the embedded server allows everything, because only this
    user can submit there, and a worker of a Redis with a URL allows no folder and no program.

    Raises:
        UsageError: a root is not a folder, or a name has a ';', which separates them.
    """
    alone = settings.redis_url is None
    places = [place.expanduser().absolute() for place in roots]
    places = places or list(Policy.of_settings(settings.workspace_roots or "", None).roots or ())
    if not places and settings.workspace_roots is None and alone:
        places = [Path("/")]
    for place in places:
        if not place.is_dir():
            raise UsageError(
                f"the workspace root {str(place)!r} is not a folder on this machine; give the folder below which runs "
                "may read code"
            )
    programs = list(commands) or [settings.commands if settings.commands is not None else EVERY if alone else ""]
    for text in (*map(str, places), *commands):
        if SEPARATOR in text:
            raise UsageError(f"{text!r} cannot be allowed: a name with {SEPARATOR!r} is not possible here")
    return {
        "APPLEJACK_WORKSPACE_ROOTS": SEPARATOR.join(map(str, places)),
        "APPLEJACK_COMMANDS": SEPARATOR.join(programs),
        **({"APPLEJACK_UNSANDBOXED": "1"} if unsandboxed else {}),
    }
