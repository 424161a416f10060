"""The deployment files: services are health-checked and on loopback by default, and no file contains a password."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "config" / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
SECRET = re.compile(r"(?i)(password|_url|secret|token)\w*[\"']?\s*[:=]\s*(?P<value>\S+)")


def literal_secrets(text: str) -> list[str]:
    """Values of secrets that are neither empty nor taken from the environment."""
    found = [
        match["value"]
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
        for match in SECRET.finditer(line)
    ]
    return [value for value in found if not value.startswith(("${", "?", "@REDIS_")) and "${" not in value]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_is_health_checked_and_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_ports_are_published_on_loopback_by_default(name: str) -> None:
    for port in SERVICES[name]["ports"]:
        assert port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:"))


def test_flower_waits_for_a_healthy_redis() -> None:
    assert SERVICES["flower"]["depends_on"]["redis"]["condition"] == "service_healthy"


def test_compose_refuses_to_start_without_passwords() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("REDIS_PASSWORD", "FLOWER_USER", "FLOWER_PASSWORD"):
        assert f"${{{name}:?" in text


def test_mounted_and_built_files_exist() -> None:
    mounts = [volume.partition(":")[0] for service in SERVICES.values() for volume in service["volumes"]]
    files = [mount for mount in mounts if mount.startswith("./")] + [SERVICES["flower"]["build"]["dockerfile"]]
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_no_deployment_file_contains_a_secret() -> None:
    for path in [ROOT / "docker-compose.yml", *(path for path in DEPLOY.rglob("*") if path.suffix != ".md")]:
        if path.is_file():
            assert literal_secrets(path.read_text()) == [], path


@pytest.mark.parametrize(
    "planted",
    [
        "      REDIS_PASSWORD: hunter2",
        "APPLEJACK_REDIS_URL=redis://applejack:hunter2@host/0",
        "FLOWER_PASSWORD='hunter2'",
    ],
)
def test_a_planted_secret_is_found(planted: str) -> None:
    assert literal_secrets(planted)


def test_env_file_is_not_tracked() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_redis_persists_jobs_and_never_evicts_them() -> None:
    settings = dict(
        line.split(maxsplit=1) for line in (DEPLOY / "redis.conf").read_text().splitlines() if line[:1].isalpha()
    )
    assert (settings["appendonly"], settings["maxmemory-policy"]) == ("yes", "noeviction")


def test_users_have_a_hashed_password_and_no_command_of_an_administrator() -> None:
    users = re.split(r"(?m)^user ", (DEPLOY / "users.acl").read_text())[1:]
    named = {user.split()[0]: user.partition("\n\n")[0].split() for user in users}
    assert named.pop("default") == ["default", "off"]
    assert list(named) == ["applejack", "producer", "generate", "curate", "train", "monitor"]
    for words in named.values():
        assert words[1:3] == ["on", "#@PASSWORD_SHA256@"]
        assert "-@all" in words
        assert not [word for word in words if word.startswith((">", "+@")) or word in {"nopass", "allcommands"}]
