"""The environment variables with which a worker gets what its owner allows."""

from collections.abc import Sequence

from config.errors import UsageError
from config.owner_policy import ANYWHERE, EVERY, FILE, SEPARATOR, Policy
from config.settings import Settings


def owner_settings(
    settings: Settings, *, roots: Sequence[str] = (), commands: Sequence[str] = (), unsandboxed: bool = False
) -> dict[str, str]:
    """The variables of a worker's environment; folders are absolute, because a worker runs in its log folder.

    Options come before settings. Without either a worker of the embedded server allows everything, because only this
    user can submit there, and a worker of a Redis with a URL allows no folder and no program.

    Raises:
        UsageError: a root is neither a folder nor a git URL, or a name has a ';', which separates them.
    """
    for text in (*roots, *commands):
        if SEPARATOR in text:
            raise UsageError(f"{text!r} cannot be allowed: a name with {SEPARATOR!r} is not possible here")
    alone = settings.redis_url is None
    named = SEPARATOR.join(roots) or settings.workspace_roots
    if named is None and alone:
        named = str(ANYWHERE)
    policy = Policy.of_settings(named or "", None)
    places = policy.roots or ()
    for url in policy.urls:
        if url.startswith(FILE):
            raise UsageError(f"the workspace root {url!r} is a folder: give it without {FILE!r}")
    for place in places:
        if not place.is_dir():
            raise UsageError(
                f"the workspace root {str(place)!r} is not a folder on this machine; give the folder below which runs "
                "may read code"
            )
    programs = list(commands) or [settings.commands if settings.commands is not None else EVERY if alone else ""]
    return {
        "APPLEJACK_WORKSPACE_ROOTS": SEPARATOR.join([*map(str, places), *policy.urls]),
        "APPLEJACK_COMMANDS": SEPARATOR.join(programs),
        **({"APPLEJACK_UNSANDBOXED": "1"} if unsandboxed else {}),
    }
