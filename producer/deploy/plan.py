"""What `applejack deploy ROLE` writes on this machine, and the commands that start it. Changes nothing.

The file is long because every role's files and commands are put together here.
"""

import math
import os
import re
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

import config
from config.errors import UsageError
from config.settings import Settings
from producer.deploy.env_file import values
from producer.deploy.monitoring import TOKEN, Monitoring
from producer.deploy.redis_users import (
    PASSWORD,
    REDIS_PORT,
    ROLE_ENV,
    URL,
    USER_OF,
    USERS,
    url_here,
    user_of,
    wrong_user,
)
from producer.deploy.service import TEMPLATES, Service, System, search_path
from producer.stack.redis_binary import find_binary

Role = Literal["generate", "curate", "train", "flower", "redis", "compose", "monitoring", "tls"]
WORKERS = ("generate", "curate", "train")

STOP_MARGIN = 30  # seconds after the drain: to release jobs and to stop the model server, which takes up to 10 s
PROTECTED = ("Desktop", "Documents", "Downloads")  # macOS keeps background agents out of these without a question
HUB = "HF_HOME"
CLOSED = (
    "runs may read public git URLs, and no folder or private repository: --workspace-root DIR or URL allows one, or "
    "APPLEJACK_WORKSPACE_ROOTS in the file of secrets"
)
COMPOSE = ("REDIS_PASSWORD", "FLOWER_USER", "FLOWER_PASSWORD")


@dataclass(frozen=True)
class File:
    """A file to write. One with `known`, the values of its secrets, is private, and is kept if it exists."""

    path: Path
    text: str
    mode: int = 0o644
    known: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Plan:
    """The files of a role in the order of writing; `commands` start it, `notes` are for people."""

    files: tuple[File, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Request:
    """The options of the command; `settings.dir` is absolute."""

    role: Role
    settings: Settings
    system: System
    name: str | None = None
    serve: str | None = None
    endpoint: str | None = None
    bind: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    """options of the worker's owner, such as --workspace-root DIR"""
    home: Path = field(default_factory=Path.home)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    checkout: Path = Path(config.__file__).resolve().parents[1]

    def __post_init__(self) -> None:
        if (self.serve or self.endpoint) and self.role != "generate":
            raise UsageError(f"--serve and --endpoint are for the role generate, not for {self.role!r}; leave them out")
        if self.serve and self.endpoint:
            raise UsageError("--serve starts a model server and --endpoint uses another one; give one of them")
        if self.bind and self.role != "redis":
            raise UsageError(f"--bind is for the role redis, not for {self.role!r}; leave it out")
        if self.allowed and self.role not in WORKERS:
            raise UsageError(
                f"{self.allowed[0]} is for the roles {', '.join(WORKERS)}, not for {self.role!r}; remove it"
            )
        if self.name is not None and (self.role not in WORKERS or not re.fullmatch(r"\w[\w.-]*", self.name, re.ASCII)):
            raise UsageError(
                f"--name {self.name!r} must name a worker with letters, digits, '.', '_' and '-'; "
                f"it is for the roles {', '.join(WORKERS)}"
            )

    @property
    def users_file(self) -> Path:
        """The file with the passwords of Redis' users, on the machine that runs Redis."""
        return self.env_file.parent / "redis" / "users.env"

    def role_file(self, service: str) -> Path:
        """A service's own secrets, which count more than those of `env_file`."""
        return self.env_file.parent / f"{service}.env"

    @property
    def env_file(self) -> Path:
        """The file with the secrets of this machine's services."""
        return self.home / ".config" / "applejack" / "env"


def plan(request: Request) -> Plan:
    """The files and commands of the role. Raises UsageError if this machine cannot run it as asked."""
    if request.role == "compose":
        return compose(request.checkout)
    if request.role == "redis":
        return redis(request)
    if request.role == "monitoring":
        return monitoring(request)
    command = Path(sys.executable).parent / "applejack"
    if not command.is_file():
        raise UsageError(f"{str(command)!r} is missing; install applejack in this environment: pip install -e .")
    folder = str(request.settings.dir)
    if request.role == "flower":
        arguments = [str(command), "flower", "--dir", folder]
    else:
        arguments = [str(command), "worker", request.role, "--name", request.name or request.role, "--dir", folder]
    arguments += ["--serve", request.serve] if request.serve else []
    arguments += ["--endpoint", request.endpoint] if request.endpoint else []
    arguments += request.allowed
    user, url = USER_OF[request.role], request.settings.redis_url
    own = url if url and user_of(url) == user else url_here(request.users_file, user)
    known = {URL: shared.get_secret_value()} if (shared := url or own) else {}
    known |= {"APPLEJACK_ENDPOINT_KEY": key.get_secret_value()} if (key := request.settings.endpoint_key) else {}
    known |= {HUB: hub} if (hub := request.environment.get(HUB)) else {}  # else the service downloads the model again
    made = with_service(request, request.name or request.role, arguments, request.settings.dir, known, needs=URL)
    if request.role in WORKERS and "--workspace-root" not in request.allowed:
        made = replace(made, notes=(*made.notes, CLOSED))
    if own is None:
        used = values(request.env_file).get(URL) or known.get(URL, "")
        return replace(made, notes=(*made.notes, *wrong_user(request.role, user_of(SecretStr(used)))))
    env, *rest = made.files
    file = File(
        request.role_file(request.role), ROLE_ENV.format(role=request.role), 0o600, {URL: own.get_secret_value()}
    )
    return replace(made, files=(env, file, *rest))


def redis(request: Request) -> Plan:
    """Redis with its users, started by redis-start.sh with the server program of `applejack up`."""
    folder, data = request.users_file.parent, request.settings.dir / "fleet-redis"
    files = [File(folder / name, (TEMPLATES / name).read_text()) for name in ("redis.conf", "users.acl")]
    files.append(File(folder / "redis-start.sh", (TEMPLATES / "redis-start.sh").read_text(), 0o755))
    passwords = {f"{PASSWORD}_{user}": secrets.token_hex(24) for user in USERS}
    host = {"HOST": request.bind[0] if request.bind else "127.0.0.1"}
    users = File(request.users_file, (TEMPLATES / "users.env.example").read_text(), 0o600, {**passwords, **host})
    bind = dict.fromkeys(["127.0.0.1", *request.bind])
    arguments = ["/bin/sh", str(folder / "redis-start.sh"), "--dir", str(data), "--bind", *bind]
    producer = values(users.path).get(f"{PASSWORD}_PRODUCER") or passwords[f"{PASSWORD}_PRODUCER"]
    known = {URL: f"redis://producer:{producer}@127.0.0.1:{REDIS_PORT}/0"}
    made = with_service(
        request, "redis", arguments, data, known, needs=URL, environment={"REDIS_SERVER": str(find_binary().path)}
    )
    notes = [f"{str(users.path)!r} has the {URL} of each machine: one for each role, with its own password"]
    if values(request.env_file).get(PASSWORD):
        notes.append(
            f"the user applejack stays, with the {PASSWORD} of {str(request.env_file)!r}: give each machine the URL of "
            f"its role, restart its service, then remove {PASSWORD} there and restart Redis"
        )
    if not request.bind:
        notes.append("Redis listens on 127.0.0.1 only; --bind ADDRESS opens it to a trusted network")
    env, service = made.files
    return Plan((env, users, *files, service), made.commands, (*made.notes, *notes), made.folders)


def with_service(
    request: Request,
    name: str,
    arguments: list[str],
    directory: Path,
    known: Mapping[str, str],
    *,
    needs: str,
    environment: Mapping[str, str] | None = None,
) -> Plan:
    """A service and the file of its secrets. `needs` is the variable without which it does not start."""
    written = values(request.env_file)
    service = Service(
        name=name,
        arguments=arguments,
        directory=directory,
        env_file=request.env_file,
        role_file=request.role_file(request.role),
        log=request.home / "Library" / "Logs" / f"applejack-{name}.log",
        stop_seconds=math.ceil(drain_seconds(request.settings, written)) + STOP_MARGIN,
        environment={"PATH": search_path(request.system), **(environment or {})},
    )
    env = File(request.env_file, (TEMPLATES / "env.example").read_text(), 0o600, known)
    available = written if request.env_file.exists() else known
    edit = () if available.get(needs) else (f"$EDITOR {shlex.quote(str(request.env_file))}   # set {needs}",)
    if request.system == "launchd":
        target = request.home / "Library" / "LaunchAgents" / f"{service.label}.plist"
        domain = f"gui/{os.getuid()}"
        unload = f"launchctl bootout {domain}/{service.label}   # if it runs; it ends within {service.stop_seconds} s"
        again = (unload,) if target.exists() else ()
        commands = (*edit, *again, f"launchctl bootstrap {domain} {shlex.quote(str(target))}")
        notes = (
            f"state: launchctl print {domain}/{service.label}; stop: launchctl bootout {domain}/{service.label}",
            f"log: {service.log}",
            *protected(request.home, directory, Path(sys.executable)),
        )
        folders = [directory, target.parent, service.log.parent]
    else:
        target = request.home / ".config" / "systemd" / "user" / service.unit
        commands = (
            *edit,
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {service.unit}",
            *((f"systemctl --user restart {service.unit}",) if target.exists() else ()),
            "loginctl enable-linger   # keep it running after you log out",
        )
        notes = (f"log: journalctl --user -u {service.unit} -f; stop: systemctl --user disable --now {service.unit}",)
        folders = [directory, target.parent]
    return Plan((env, File(target, service.render(request.system))), commands, notes, tuple(folders))


def monitoring(request: Request) -> Plan:
    """Prometheus' configuration, alert rules and token, and a Grafana dashboard. Flower must know the same token."""
    made = Monitoring(request.env_file.parent / "monitoring")
    written, setting = values(request.env_file), request.settings.metrics_token
    given = setting.get_secret_value() if setting else ""
    token = made.known_token() or given or written.get(TOKEN) or secrets.token_urlsafe(32)
    private = File(made.token_file, f"@{TOKEN}@", 0o600, {TOKEN: token})
    files = (private, *(File(made.folder / name, text) for name, text in made.texts().items()))
    add = () if written.get(TOKEN) == token else (made.give_token_to(request.env_file),)
    flower = Service("flower", [], made.folder, request.env_file, request.role_file("flower"), made.folder, 0)
    again = {
        "launchd": f"launchctl kickstart -k gui/{os.getuid()}/{flower.label}",
        "systemd": f"systemctl --user restart {flower.unit}",
    }[request.system]
    restart = (f"{again}   # so that Flower knows the token",) if add else ()
    return Plan(files, (*add, *restart, made.start()), made.notes())


def compose(root: Path) -> Plan:
    """Redis and Flower in Docker, built from the checkout. Their passwords are generated."""
    file, env = root / "docker-compose.yml", root / ".env"
    if not file.is_file():
        raise UsageError(
            f"{str(file)!r} is missing: compose needs a checkout of applejack, installed with `pip install -e .`; "
            "or use the roles redis and flower"
        )
    known = {name: secrets.token_hex(24) for name in (PASSWORD, *(f"{PASSWORD}_{user}" for user in USERS))}
    known |= {"FLOWER_USER": "applejack", "FLOWER_PASSWORD": secrets.token_hex(24)}
    written = values(env)
    missing = [name for name in COMPOSE if env.exists() and not written.get(name)]
    edit = (f"$EDITOR {shlex.quote(str(env))}   # set {', '.join(missing)}",) if missing else ()
    files = (File(file, file.read_text()), File(env, (TEMPLATES / "compose.env.example").read_text(), 0o600, known))
    return Plan(files, (*edit, f"cd {shlex.quote(str(root))} && docker compose up -d --wait"))


def drain_seconds(settings: Settings, written: Mapping[str, str]) -> float:
    """The drain time that the service will have: of its env file, else the setting."""
    text = written.get("APPLEJACK_DRAIN_SECONDS", "")
    try:
        return float(text) if text else settings.drain_seconds
    except ValueError:
        raise UsageError(
            f"APPLEJACK_DRAIN_SECONDS is {text!r} in ~/.config/applejack/env; correct it to a number of seconds"
        ) from None


def protected(home: Path, *used: Path) -> tuple[str, ...]:
    """A note for each path that macOS hides from background agents."""
    folders = [home / name for name in PROTECTED]
    return tuple(
        f"macOS refuses background agents {str(folder)!r}, where {str(path)!r} is; move it, or the service cannot start"
        for path in used
        for folder in folders
        if path.is_relative_to(folder)
    )


def default_system() -> System:
    """launchd on macOS, systemd elsewhere."""
    return "launchd" if sys.platform == "darwin" else "systemd"
