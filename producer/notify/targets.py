"""Where notices go: webhooks and commands, from --notify and $APPLEJACK_NOTIFY. A webhook's URL is a secret."""

import hashlib
import shlex
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from config.address import http_parts
from config.errors import UsageError

READABLE = stat.S_IRWXG | stat.S_IRWXO
SEPARATOR = ";"  # of several targets in the variable


@dataclass(frozen=True)
class Webhook:
    """A URL that takes a POST."""

    url: SecretStr

    @property
    def shown(self) -> str:
        """For messages: the host only, because the path holds the secret."""
        parts = http_parts(self.url.get_secret_value())
        return f"webhook at {parts.hostname if parts else '?'}"


@dataclass(frozen=True)
class Command:
    """A program that gets the JSON on stdin."""

    words: tuple[str, ...] = field(repr=False)

    @property
    def shown(self) -> str:
        """For messages: the program only, because its arguments may hold a secret."""
        return f"command {Path(self.words[0]).name!r}"


Target = Webhook | Command


def parse_targets(given: Sequence[str], variable: SecretStr | None) -> tuple[Target, ...]:
    """The targets of --notify, else of the variable. UsageError, without the secret, if one is not usable."""
    if given:
        return tuple(target for text in given for target in _parse(text, "--notify"))
    parts = variable.get_secret_value().split(SEPARATOR) if variable else []
    return tuple(target for part in parts if part.strip() for target in _parse(part, "APPLEJACK_NOTIFY"))


def fingerprint(target: Target) -> str:
    """Tells targets apart in the ledger; it does not reveal a secret."""
    text = target.url.get_secret_value() if isinstance(target, Webhook) else "\0".join(target.words)
    return hashlib.sha256(f"applejack notify {text}".encode()).hexdigest()[:12]


def _parse(text: str, source: str) -> list[Target]:
    text = text.strip()
    if text.startswith("@"):
        return _from_file(Path(text[1:]).expanduser(), source)
    if not text:
        raise UsageError(f"{source} is empty; give a webhook's URL, a command, or @FILE with one a line")
    if "://" in text.split(maxsplit=1)[0]:
        if http_parts(text) is None or any(not " " < character < "\x7f" for character in text):
            raise UsageError(f"{source} has a URL that is not of the form https://HOST/PATH; correct it")
        return [Webhook(SecretStr(text))]
    return [_command(text, source)]


def _command(text: str, source: str) -> Command:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{source} has a command that cannot be split into words: {error}") from error
    if not words or shutil.which(words[0]) is None:
        program = words[0] if words else ""
        raise UsageError(
            f"{source} has the command {program!r}, which is not a program on this machine; give its path, or a URL"
        )
    return Command((str(Path(str(shutil.which(words[0]))).absolute()), *words[1:]))


def _from_file(file: Path, source: str) -> list[Target]:
    try:
        mode = file.stat().st_mode
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{source} names the file {str(file)!r}, which cannot be read: {why}") from error
    if mode & READABLE:
        raise UsageError(f"{str(file)!r} can be read by other users of this machine; run `chmod 600 {file}`")
    texts = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if nested := [line for line in texts if line.lstrip().startswith("@")]:
        raise UsageError(f"{str(file)!r} names another file on a line of {len(nested[0])} characters; give URLs")
    return [target for line in texts for target in _parse(line, str(file))]
