"""What a worker process gets from `applejack worker`: its environment variables and its directory."""

from pathlib import Path

from config.errors import UsageError
from config.settings import Settings
from config.trainer_command import parse_command


def worker_environment(settings: Settings) -> dict[str, str]:
    """Environment variables for a child process; they keep the password out of its arguments."""
    assert settings.redis_url is not None
    return {
        "APPLEJACK_REDIS_URL": settings.redis_url.get_secret_value(),
        "APPLEJACK_DIR": str(settings.dir.resolve()),
    }


def trainer_settings(settings: Settings, allowed: list[str]) -> dict[str, str]:
    """Environment variables for the trainers of a worker, which itself runs in its log folder."""
    for command in allowed:
        parse_command(command)
        if ";" in command:
            raise UsageError(
                f"--allow-trainer is {command!r}; a command with ';' cannot be allowed, put it into a script"
            )
    trainers = {"APPLEJACK_TRAINERS": ";".join(allowed)} if allowed else {}
    return {**trainers, "APPLEJACK_TRAINER_DIR": str(settings.trainer_dir.resolve())}


def workdir(settings: Settings) -> Path:
    """applejack's log folder. `-m` puts the working directory first on sys.path, and a user's may contain `worker`."""
    logs = settings.dir.resolve() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return logs
