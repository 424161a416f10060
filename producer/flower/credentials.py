"""Who may open Flower: what the settings say, else a user and a password made once and kept in a private file."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from config.errors import UsageError
from config.files import write_text
from config.settings import Settings

USER = "applejack"
PASSWORD_FILE = "flower-password.json"  # noqa: S105  # a file's name, mode 600


@dataclass(frozen=True)
class Credentials:
    """A basic-auth user."""

    user: str
    password: SecretStr
    file: Path | None
    """where a password of our own making is kept; None when the settings give one"""

    @property
    def pair(self) -> str:
        """USER:PASSWORD, as Flower wants it."""
        return f"{self.user}:{self.password.get_secret_value()}"


def find_credentials(settings: Settings, folder: Path) -> Credentials:
    """The settings' credentials, else the ones kept in the folder, made now if there are none.

    UsageError when the settings hold half of them, or a user name that basic auth cannot carry.
    """
    user, password = settings.flower_user, settings.flower_password
    if user and password and password.get_secret_value():
        if ":" in user:
            raise UsageError(f"APPLEJACK_FLOWER_USER={user!r}: a basic-auth user cannot hold a colon; choose another")
        return Credentials(user, password, None)
    if user or password:
        missing = "APPLEJACK_FLOWER_PASSWORD" if user else "APPLEJACK_FLOWER_USER"
        raise UsageError(f"{missing} is not set; set both APPLEJACK_FLOWER_USER and APPLEJACK_FLOWER_PASSWORD, or none")
    return _kept(folder / PASSWORD_FILE)


def _kept(file: Path) -> Credentials:
    try:
        kept = json.loads(file.read_text())
        return Credentials(str(kept["user"]), SecretStr(str(kept["password"])), file)
    except FileNotFoundError:
        made = {"user": USER, "password": secrets.token_urlsafe(18)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(made) + "\n", private=True)
        return Credentials(made["user"], SecretStr(made["password"]), file)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot read {str(file)!r} ({error}); remove it, and a new password will be made") from error
