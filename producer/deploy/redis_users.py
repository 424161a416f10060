"""The users of the deployed Redis: one for each role of a machine, with its own password (config/deploy/users.acl)."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from producer.deploy.env_file import values

REDIS_PORT = 6379  # of config/deploy/redis.conf
URL, PASSWORD = "APPLEJACK_REDIS_URL", "REDIS_PASSWORD"
USERS = ("PRODUCER", "GENERATE", "CURATE", "TRAIN", "MONITOR")  # with PASSWORD_USER; applejack has PASSWORD itself
USER_OF = {"generate": "generate", "curate": "curate", "train": "train", "flower": "producer"}
"""service -> its user"""
ROLE_ENV = (
    f"# The user of Redis of this service alone. What is here counts more than what is in the file env.\n{URL}=\n"
)


def url_here(users_file: Path, user: str) -> SecretStr | None:
    """URL of a user of the Redis on this machine; None if it does not run here."""
    password = values(users_file).get(f"{PASSWORD}_{user.upper()}")
    return SecretStr(f"redis://{user}:{password}@127.0.0.1:{REDIS_PORT}/0") if password else None


def user_of(url: SecretStr) -> str:
    """The user of Redis in a URL; "" for none."""
    return urlsplit(url.get_secret_value()).username or ""


def wrong_user(role: str, used: str) -> tuple[str, ...]:
    """A note if a service would use the user of another role."""
    if used == USER_OF[role] or used.upper() not in USERS:
        return ()
    return (
        f"{URL} is that of the user {used!r}, but {role} needs that of {USER_OF[role]!r}: export it, and repeat this",
    )
