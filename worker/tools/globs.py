"""Globs from a model, over the paths of a workspace."""

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache

from worker.tools import patterns
from worker.tools.patterns import RefusedError


def matching(glob: str, paths: Sequence[str]) -> list[str]:
    """A glob without "/" matches the file's name, one with "/" the whole path. "**" spans directories."""
    if glob == "*":
        return list(paths)
    if "/" in glob:
        whole = _path_glob(glob)
        return [path for path in paths if whole.fullmatch(path.encode()) is not None]
    name = _name_glob(glob)
    return [path for path in paths if name.match(path.rpartition("/")[2])]


@lru_cache(maxsize=64)
def _name_glob(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob))


@lru_cache(maxsize=64)
def _path_glob(glob: str) -> patterns.Pattern:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./"))
    regexes = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    try:
        return patterns.compiled("".join(regexes.get(piece) or re.escape(piece) for piece in pieces))
    except RefusedError:
        raise RefusedError(f"the glob {glob!r} is too long; give one like 'src/**/*.py'") from None
