"""The private file with the secrets of this machine's services: KEY=value lines that a shell and systemd can read."""

import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from config.errors import UsageError


def values(file: Path) -> dict[str, str]:
    """The variables that the file sets; none if it does not exist.

    Raises UsageError if other users can read it.
    """
    try:
        mode, text = stat.S_IMODE(file.stat().st_mode), file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error}") from error
    if mode & 0o077:
        raise UsageError(
            f"{str(file)!r} has mode {mode:o}, so that other users can read its passwords; "
            f"run `chmod 600 {shlex.quote(str(file))}`"
        )
    pairs = [line.partition("=") for line in text.splitlines() if re.match(r"\s*\w+=", line)]
    return {name.strip(): value.strip().strip("'\"") for name, _, value in pairs}


def filled(template: str, known: Mapping[str, str]) -> str:
    """The template with the values of these variables; a variable in a comment is set too, and so is @NAME@."""
    for name, value in known.items():
        if f"@{name}@" in template:
            template = template.replace(f"@{name}@", value)
            continue
        before, _, after = re.split(rf"(?m)^(#?{name}=.*)$", template, maxsplit=1)
        template = f"{before}{name}={shlex.quote(value)}{after}"
    return template
