"""Flower's login: from the settings, or a user and password generated once and stored in a private file."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from config.atomic_files import write_text
from config.errors import UsageError
from config.settings import Settings

USER = "applejack"
PASSWORD_FILE = "flower-password.json"  # noqa: S105  # a file's name, mode 600


@dataclass(frozen=True)
class Credentials:
    """A basic-auth user."""

    user: str
    password: SecretStr
    file: Path | None
    """file with the generated password; None if the password comes from the settings"""

    @property
    def pair(self) -> str:
        """USER:PASSWORD, the format that Flower expects."""
        return f"{self.user}:{self.password.get_secret_value()}"


def find_credentials(settings: Settings, folder: Path) -> Credentials:
    """The settings' credentials, or those stored in the folder; generated if there are none.

    UsageError if only one of user and password is set, or if the user name contains a colon.
    """
    user, password = settings.flower_user, settings.flower_password
    if user and password and password.get_secret_value():
        if ":" in user:
            raise UsageError(
                f"APPLEJACK_FLOWER_USER={user!r}: a basic-auth user cannot contain a colon; choose another"
            )
        return Credentials(user, password, None)
    if user or password:
        missing = "APPLEJACK_FLOWER_PASSWORD" if user else "APPLEJACK_FLOWER_USER"
        raise UsageError(
            f"{missing} is not set; set both APPLEJACK_FLOWER_USER and APPLEJACK_FLOWER_PASSWORD, or neither"
        )
    return _stored(folder / PASSWORD_FILE)


def _stored(file: Path) -> Credentials:
    try:
        stored = json.loads(file.read_text())
        return Credentials(str(stored["user"]), SecretStr(str(stored["password"])), file)
    except FileNotFoundError:
        generated = {"user": USER, "password": secrets.token_urlsafe(18)}
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(generated) + "\n", private=True)
        return Credentials(generated["user"], SecretStr(generated["password"]), file)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"cannot read {str(file)!r} ({error}); remove it to generate a new password") from error
