"""Renders a service for launchd or systemd from the templates in config/deploy."""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Literal
from xml.sax.saxutils import escape

System = Literal["launchd", "systemd"]

TEMPLATES = files("config") / "deploy"
PATHS = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
HOMEBREW = "/opt/homebrew/bin"  # on Apple Silicon; on an Intel Mac it is /usr/local/bin
PROGRAMS = ("git", "redis-server")  # found where this command finds them


@dataclass(frozen=True)
class Service:
    """One long-running command of this machine. No field contains a secret; these are in `env_file`."""

    name: str
    arguments: Sequence[str]
    directory: Path
    env_file: Path
    role_file: Path
    """read after `env_file`, if it exists"""
    log: Path
    """of launchd; systemd writes to its journal"""
    stop_seconds: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """launchd's name of the service."""
        return f"com.applejack.{self.name}"

    @property
    def unit(self) -> str:
        """systemd's name of the service."""
        return f"applejack-{self.name}.service"

    def render(self, system: System) -> str:
        """The property list or unit file."""
        return self.property_list() if system == "launchd" else self.unit_file()

    def property_list(self) -> str:
        """launchd's file."""
        variables = [
            f"    <key>{escape(name)}</key><string>{escape(value)}</string>" for name, value in self.environment.items()
        ]
        return Template((TEMPLATES / "launchd" / "service.plist").read_text()).substitute(
            name=escape(self.name),
            label=escape(self.label),
            env_file=escape(str(self.env_file)),
            role_file=escape(str(self.role_file)),
            arguments="\n".join(f"    <string>{escape(word)}</string>" for word in self.arguments),
            environment="\n".join(variables),
            directory=escape(str(self.directory)),
            stop_seconds=self.stop_seconds,
            log=escape(str(self.log)),
        )

    def unit_file(self) -> str:
        """systemd's file."""
        variables = [f"Environment={quoted(percent(f'{name}={value}'))}" for name, value in self.environment.items()]
        return Template((TEMPLATES / "systemd" / "applejack.service").read_text()).substitute(
            name=percent(self.name),
            env_file=percent(str(self.env_file)),
            role_file=percent(str(self.role_file)),
            arguments=" ".join(quoted(percent(word).replace("$", "$$")) for word in self.arguments),
            environment="\n".join(variables),
            directory=percent(str(self.directory)),
            stop_seconds=self.stop_seconds,
        )


def percent(text: str) -> str:
    """Escape systemd's specifiers, such as %h."""
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    """A word of a systemd command line, in quotes if it needs them."""
    if re.fullmatch(r"[\w@%+=:,./$-]+", word):
        return word
    backslashed = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{backslashed}"'


def search_path(system: System) -> str:
    """PATH of a service: this environment, the folders of git and redis-server as found now, and the usual folders."""
    found = [Path(program).parent for name in PROGRAMS if (program := shutil.which(name))]
    homebrew = [HOMEBREW] if system == "launchd" else []
    return ":".join(dict.fromkeys([str(Path(sys.executable).parent), *map(str, found), *homebrew, *PATHS]))
