"""What `applejack deploy` writes: services that launchd and systemd accept, and secrets in one private file only."""

import configparser
import os
import plistlib
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import UsageError
from config.settings import Settings
from producer.commands.owner_options import owner_arguments
from producer.deploy.env_file import values
from producer.deploy.install import install
from producer.deploy.plan import CLOSED, Plan, Request, Role, plan
from producer.deploy.redis_users import USERS
from producer.deploy.service import System

SERVICES: list[Role] = ["generate", "curate", "train", "flower", "redis"]
SECRET = "hunter2hunter2"
URL = f"redis://applejack:{SECRET}@redis.local:6379/0"


def request(role: Role, system: System, home: Path, *, drain: float = 60.0, **options: object) -> Request:
    settings = Settings(dir=home / "da ta & 100%", redis_url=SecretStr(URL), drain_seconds=drain)
    return Request(role, settings, system, home=home, **options)  # type: ignore[arg-type]


def service_text(made: Plan) -> str:
    return made.files[-1].text


def plist(made: Plan) -> dict[str, object]:
    found = plistlib.loads(service_text(made).encode())
    assert isinstance(found, dict)
    return found


def unit(made: Plan) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(service_text(made))
    return parser


@pytest.mark.parametrize("role", SERVICES)
def test_a_launchd_agent_is_kept_alive_and_has_time_to_drain(role: Role, tmp_path: Path) -> None:
    made = plan(request(role, "launchd", tmp_path, drain=75.5))
    job = plist(made)
    assert made.files[-1].path == tmp_path / "Library" / "LaunchAgents" / f"{job['Label']}.plist"
    assert job["Label"] == f"com.applejack.{role}"
    assert job["KeepAlive"] is job["RunAtLoad"] is True
    assert job["ThrottleInterval"] == 30
    assert job["ExitTimeOut"] == 76 + 30  # launchd's default is 20 s
    assert job["ProcessType"] == "Interactive"
    assert job["SoftResourceLimits"] == {"NumberOfFiles": 4096}
    assert str(job["WorkingDirectory"]).startswith(str(tmp_path / "da ta & 100%"))
    path = job["EnvironmentVariables"]["PATH"].split(":")  # type: ignore[index]
    git = shutil.which("git")
    assert git is not None
    assert {str(Path(git).parent), "/opt/homebrew/bin", "/usr/bin", "/usr/sbin"} <= set(path)


@pytest.mark.parametrize("role", SERVICES)
def test_a_systemd_unit_drains_shares_tmp_and_restarts(role: Role, tmp_path: Path) -> None:
    parsed = unit(plan(request(role, "systemd", tmp_path)))["Service"]
    assert parsed["EnvironmentFile"] == f"-{tmp_path / '.config' / 'applejack' / role}.env"  # the later of two
    assert parsed["TimeoutStopSec"] == "90"
    assert parsed["KillMode"] == "mixed"
    assert parsed["OOMPolicy"] == "continue"  # systemd's default stops the worker with its trainer, which starts again
    assert parsed["Restart"] == "always"
    assert "PrivateTmp" not in parsed  # the device lock of a machine must be the same file for all its services


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd on this machine")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    home = tmp_path / "home with spaces"
    files = []
    for role in SERVICES:
        made = plan(request(role, "systemd", home))
        install(made, force=False)
        files.append(str(made.files[-1].path))
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    env = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(home)}
    done = subprocess.run(["systemd-analyze", "verify", "--user", *files], capture_output=True, text=True, env=env)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "applejack" in line]) == (0, [])


@pytest.mark.parametrize("system", ["launchd", "systemd"])
@pytest.mark.parametrize("role", SERVICES)
def test_only_the_private_file_contains_a_secret(role: Role, system: System, tmp_path: Path) -> None:
    made = plan(request(role, system, tmp_path))
    assert SECRET not in "".join((*made.commands, *made.notes, *(file.text for file in made.files), repr(made)))
    install(made, force=False)
    env = tmp_path / ".config" / "applejack" / "env"
    users = values(env.parent / "redis" / "users.env")
    known = {SECRET, *users.values()}
    with_password = {
        file for file in tmp_path.rglob("*")
        if file.is_file() and any(password in file.read_text() for password in known)
    }  # fmt: skip
    assert with_password == {env, *([env.parent / "redis" / "users.env"] if role == "redis" else [])}
    assert {stat.S_IMODE(file.stat().st_mode) for file in with_password} == {0o600}
    assert (stat.S_IMODE(env.stat().st_mode), stat.S_IMODE(env.parent.stat().st_mode)) == (0o600, 0o700)


def test_a_worker_gets_its_options_and_this_environments_program(tmp_path: Path) -> None:
    made = plan(request("generate", "launchd", tmp_path, serve="org/model", name="night"))
    arguments = plist(made)["ProgramArguments"]
    assert isinstance(arguments, list)
    program = str(Path(sys.executable).parent / "applejack")
    folder = str(tmp_path / "da ta & 100%")
    assert arguments[6:] == [program, "worker", "generate", "--name", "night", "--dir", folder, "--serve", "org/model"]
    endpoint = plan(request("generate", "systemd", tmp_path, endpoint="http://127.0.0.1:1234/v1"))
    assert unit(endpoint)["Service"]["ExecStart"].endswith("--endpoint http://127.0.0.1:1234/v1")
    assert '"' + folder.replace("%", "%%") + '"' in unit(endpoint)["Service"]["ExecStart"]


def test_the_drain_time_of_the_env_file_counts(tmp_path: Path) -> None:
    install(plan(request("train", "systemd", tmp_path)), force=False)
    with (tmp_path / ".config" / "applejack" / "env").open("a") as env:
        env.write("APPLEJACK_DRAIN_SECONDS='600'\n")
    assert unit(plan(request("train", "systemd", tmp_path)))["Service"]["TimeoutStopSec"] == "630"


def test_installing_again_changes_nothing_and_never_the_private_file(tmp_path: Path) -> None:
    first = install(plan(request("curate", "launchd", tmp_path)), force=False)
    assert [one.state for one in first] == ["written", "written"]
    env = first[0].file.path
    env.write_text("APPLEJACK_REDIS_URL=mine\n")
    second = install(plan(request("curate", "launchd", tmp_path)), force=True)
    assert [one.state for one in second] == ["kept", "unchanged"]
    assert env.read_text() == "APPLEJACK_REDIS_URL=mine\n"


def test_a_changed_file_is_overwritten_only_with_force(tmp_path: Path) -> None:
    made = plan(request("redis", "systemd", tmp_path))
    install(made, force=False)
    unit_file, env = made.files[-1].path, tmp_path / ".config" / "applejack" / "env"
    unit_file.write_text("mine")
    env.unlink()
    with pytest.raises(UsageError, match=r"applejack-redis\.service.*--force"):
        install(plan(request("redis", "systemd", tmp_path)), force=False)
    assert unit_file.read_text() == "mine"
    assert not env.exists()  # nothing else was written either
    install(plan(request("redis", "systemd", tmp_path)), force=True)
    assert unit_file.read_text() == service_text(made)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_private_file_that_others_can_read_is_refused(mode: int, tmp_path: Path) -> None:
    env = install(plan(request("train", "launchd", tmp_path)), force=False)[0].file.path
    env.chmod(mode)
    with pytest.raises(UsageError, match=f"mode {mode:o}.*chmod 600"):
        plan(request("train", "launchd", tmp_path))


def test_redis_gets_a_password_for_each_role_and_says_which_machine_needs_it(tmp_path: Path) -> None:
    made = plan(request("redis", "launchd", tmp_path, bind=("10.8.0.1",)))
    install(made, force=False)
    users = tmp_path / ".config" / "applejack" / "redis" / "users.env"
    passwords = values(users)
    assert sorted(passwords) == sorted(f"REDIS_PASSWORD_{user}" for user in USERS)
    assert {len(password) for password in passwords.values()} == {48}
    assert len(set(passwords.values())) == len(USERS)
    for user in USERS:
        url = f"redis://{user.lower()}:{passwords[f'REDIS_PASSWORD_{user}']}@10.8.0.1:6379/0"
        assert f"#APPLEJACK_REDIS_URL={url}\n" in users.read_text()
    written = values(tmp_path / ".config" / "applejack" / "env")
    producer = passwords["REDIS_PASSWORD_PRODUCER"]
    assert written == {
        "APPLEJACK_REDIS_URL": f"redis://producer:{producer}@127.0.0.1:6379/0",
        "APPLEJACK_LOG_FORMAT": "json",
    }
    arguments = plist(made)["ProgramArguments"]
    assert isinstance(arguments, list)
    assert arguments[-3:] == ["--bind", "127.0.0.1", "10.8.0.1"]
    assert os.access(tmp_path / ".config" / "applejack" / "redis" / "redis-start.sh", os.X_OK)


def test_a_service_beside_redis_gets_the_user_of_its_role(tmp_path: Path) -> None:
    install(plan(request("redis", "systemd", tmp_path)), force=False)
    folder = tmp_path / ".config" / "applejack"
    for role, user in (("curate", "curate"), ("flower", "producer")):
        made = plan(Request(role, Settings(dir=tmp_path), "systemd", home=tmp_path))  # type: ignore[arg-type]
        install(made, force=False)
        password = values(folder / "redis" / "users.env")[f"REDIS_PASSWORD_{user.upper()}"]
        own = folder / f"{role}.env"
        assert values(own) == {"APPLEJACK_REDIS_URL": f"redis://{user}:{password}@127.0.0.1:6379/0"}
        assert stat.S_IMODE(own.stat().st_mode) == 0o600
        files = [line for line in service_text(made).splitlines() if line.startswith("EnvironmentFile=")]
        assert files == [f"EnvironmentFile={folder / 'env'}", f"EnvironmentFile=-{own}"]  # the later one counts


def test_a_service_that_moves_to_its_own_user_gets_it_in_a_file_of_its_own(tmp_path: Path) -> None:
    env = install(plan(request("generate", "launchd", tmp_path)), force=False)[0].file.path  # of the user applejack
    mine = "redis://generate:other@redis.local:6379/0"
    settings = Settings(dir=tmp_path, redis_url=SecretStr(mine))
    install(plan(Request("generate", settings, "launchd", home=tmp_path)), force=True)
    assert values(env)["APPLEJACK_REDIS_URL"] == URL
    own = env.parent / "generate.env"
    read = subprocess.run(
        ["/bin/sh", *plist(plan(request("generate", "launchd", tmp_path)))["ProgramArguments"][1:6], "env"],  # type: ignore[index]
        capture_output=True, text=True, env={},
    ).stdout.splitlines()  # fmt: skip
    assert own.exists()
    assert f"APPLEJACK_REDIS_URL={mine}" in read


@pytest.mark.parametrize("role", ["generate", "train", "flower"])
def test_the_url_of_another_role_is_noted(role: Role, tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path, redis_url=SecretStr("redis://curate:other@redis.local:6379/0"))
    notes = plan(Request(role, settings, "launchd", home=tmp_path)).notes
    assert [note for note in notes if "is that of the user 'curate'" in note]
    assert not [note for note in plan(request(role, "launchd", tmp_path)).notes if "the user" in note]


def test_a_fleet_with_one_user_keeps_it_when_the_others_are_added(tmp_path: Path) -> None:
    """Fails if deploy rewrites the file env: Redis would start without the user that all workers have."""
    env = tmp_path / ".config" / "applejack" / "env"
    env.parent.mkdir(parents=True)
    old = f"APPLEJACK_REDIS_URL={URL}\nREDIS_PASSWORD={SECRET}\n"
    env.write_text(old)
    env.chmod(0o600)
    made = plan(request("redis", "systemd", tmp_path))
    install(made, force=False)
    assert env.read_text() == old
    assert [note for note in made.notes if "the user applejack stays" in note and "restart Redis" in note]


def test_a_missing_secret_is_the_first_command(tmp_path: Path) -> None:
    without = Request("flower", Settings(dir=tmp_path), "systemd", home=tmp_path)
    assert plan(without).commands[0] == f"$EDITOR {tmp_path}/.config/applejack/env   # set APPLEJACK_REDIS_URL"
    assert plan(request("flower", "systemd", tmp_path)).commands[0] == "systemctl --user daemon-reload"
    install(plan(without), force=False)  # with an empty APPLEJACK_REDIS_URL, which is not filled in later
    assert plan(request("flower", "systemd", tmp_path)).commands[0].startswith("$EDITOR")


def test_the_private_file_gets_what_this_shell_knows(tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path, redis_url=SecretStr(URL), endpoint_key=SecretStr("k'e y"))
    made = Request("generate", settings, "launchd", home=tmp_path, environment={"HF_HOME": "/Volumes/My Models"})
    env = install(plan(made), force=False)[0].file.path
    read = subprocess.run(
        ["/bin/sh", "-c", 'set -a; . "$1"; exec env', "sh", str(env)], capture_output=True, text=True, env={}
    ).stdout.splitlines()
    assert {f"APPLEJACK_REDIS_URL={URL}", "APPLEJACK_ENDPOINT_KEY=k'e y", "HF_HOME=/Volumes/My Models"} <= set(read)


def test_a_running_unit_is_restarted_with_its_new_file(tmp_path: Path) -> None:
    made = plan(request("train", "systemd", tmp_path))
    restart = "systemctl --user restart applejack-train.service"
    assert restart not in made.commands
    install(made, force=False)
    assert restart in plan(request("train", "systemd", tmp_path)).commands


def test_an_installed_agent_is_unloaded_before_it_is_loaded_again(tmp_path: Path) -> None:
    made = plan(request("train", "launchd", tmp_path))
    assert [command.split()[1] for command in made.commands] == ["bootstrap"]
    install(made, force=False)
    again = plan(request("train", "launchd", tmp_path)).commands
    assert [command.split()[1] for command in again] == ["bootout", "bootstrap"]


def test_a_folder_that_macos_hides_from_agents_is_noted(tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path / "Documents" / "applejack", redis_url=SecretStr(URL))
    notes = plan(Request("train", settings, "launchd", home=tmp_path)).notes
    assert [note for note in notes if "refuses background agents" in note and "Documents" in note]
    assert not [note for note in plan(request("train", "launchd", tmp_path)).notes if "refuses" in note]


def test_compose_gets_generated_passwords_in_a_private_file(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    made = plan(request("compose", "systemd", tmp_path, checkout=tmp_path))
    assert [one.state for one in install(made, force=False)] == ["unchanged", "written"]
    env = tmp_path / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert {name: bool(value) for name, value in values(env).items()} == dict.fromkeys(
        ("REDIS_PASSWORD", *(f"REDIS_PASSWORD_{user}" for user in USERS), "FLOWER_USER", "FLOWER_PASSWORD", "BIND"),
        True,
    )
    assert made.commands == (f"cd {tmp_path} && docker compose up -d --wait",)


@pytest.mark.parametrize(
    ("role", "options", "message"),
    [
        ("train", {"serve": "org/model"}, "--serve and --endpoint are for the role generate"),
        ("generate", {"serve": "org/model", "endpoint": "http://x/v1"}, "give one of them"),
        ("curate", {"bind": ("10.0.0.1",)}, "--bind is for the role redis"),
        ("generate", {"name": "a/b"}, "'a/b'"),
        ("flower", {"name": "flower2"}, "'flower2'"),
        ("compose", {"checkout": Path("/nowhere")}, "needs a checkout"),
    ],
)
def test_options_that_do_not_fit_the_role_are_refused(
    role: Role, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        plan(request(role, "launchd", tmp_path, **options))


@pytest.mark.parametrize("system", ["launchd", "systemd"])
def test_a_service_has_what_the_owner_allows(system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    allowed = owner_arguments(["my src", "git@host:me/"], ["git"], unsandboxed=True)
    roots = ("--workspace-root", str(tmp_path / "my src"), "--workspace-root", "git@host:me/")
    assert allowed == (*roots, "--allow-command", "git", "--unsandboxed")
    made = plan(request("train", system, tmp_path, allowed=allowed))
    assert str(tmp_path / "my src") in service_text(made)
    assert "--unsandboxed" in service_text(made)
    assert CLOSED not in made.notes
    assert CLOSED in plan(request("train", system, tmp_path)).notes
    with pytest.raises(UsageError, match="--workspace-root is for the roles generate"):
        request("flower", system, tmp_path, allowed=allowed)
