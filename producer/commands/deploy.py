"""`applejack deploy`: the service, Redis or compose files of a role, for this machine."""

from pathlib import Path
from typing import Annotated

import typer

from config.atomic_files import write_text
from config.errors import UsageError
from config.records import JsonObject
from producer.commands.model_options import absolute
from producer.commands.options import Dir, Json, require_url, settings_with_dir
from producer.commands.owner_options import AllowedCommands, Unsandboxed, WorkspaceRoots, owner_arguments
from producer.deploy.install import Installed, install, state
from producer.deploy.plan import Request, Role, default_system, plan
from producer.deploy.service import System
from producer.deploy.tls import DAYS, SERVER, FleetCertificates
from producer.output import Output

EPILOG = """\
Example, a Mac of the fleet: `export APPLEJACK_REDIS_URL=redis://applejack:PASSWORD@HOST:6379/0`, then
`applejack deploy generate --serve mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit --install`,
then the printed `launchctl bootstrap` command."""


def deploy(
    role: Annotated[Role, typer.Argument(help="What this machine shall run.")],
    write: Annotated[
        bool, typer.Option("--install", help="Write the files [default: print them and their places].")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="With --install, overwrite files that differ.")] = False,
    system: Annotated[
        System | None, typer.Option(help="Service manager [default: launchd on macOS, systemd elsewhere].")
    ] = None,
    serve: Annotated[
        str | None, typer.Option(metavar="MODEL", help="generate: the model that the worker serves itself.")
    ] = None,
    endpoint: Annotated[str | None, typer.Option(help="generate: URL of a model server that already runs.")] = None,
    bind: Annotated[
        list[str] | None, typer.Option(metavar="ADDRESS", help="redis: also listen here; repeatable.")
    ] = None,
    host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="tls: name or address by which machines reach Redis; repeatable."),
    ] = None,
    client: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="tls: also make a certificate of this client; repeatable.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the worker and its service [default: the role].")] = None,
    workspace_root: WorkspaceRoots = None,
    allow_command: AllowedCommands = None,
    unsandboxed: Unsandboxed = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Print or install the files that run a role on this machine as a service.

    generate, curate, train and flower become a launchd agent or a systemd user unit; redis also gets its configuration;
    compose runs Redis and Flower in Docker; monitoring is a configuration of Prometheus with alert rules, and a Grafana
    dashboard; tls makes a certificate authority of the fleet, which is kept, and a new certificate for Redis.
    Secrets are in ~/.config/applejack/env (compose: .env), which --install creates with mode 600 and never overwrites;
    those of Redis' users are in redis/users.env beside it. Nothing is started: the last lines are the commands that do.
    """
    if endpoint:
        require_url(endpoint)
    if role == "tls":
        tls(host or [], client or [], write=write, output=Output(as_json))
        return
    if host or client:
        raise UsageError(f"--host and --client are for the role tls, not for {role!r}; leave them out")
    settings = settings_with_dir(folder)
    settings = settings.model_copy(update={"dir": settings.dir.expanduser().resolve()})
    made = plan(
        Request(
            role,
            settings,
            system or default_system(),
            name=name,
            serve=absolute(serve) if serve else None,
            endpoint=endpoint,
            bind=tuple(bind or ()),
            allowed=owner_arguments(workspace_root or (), allow_command or (), unsandboxed=unsandboxed),
        )
    )
    output = Output(as_json)
    files = install(made, force=force) if write else [Installed(file, state(file)) for file in made.files]
    for one in files:
        output.console.print(f"{one.state:<9} {one.file.path}  (mode {one.file.mode:o})", markup=False)
        if not write:
            output.console.print(one.file.text, markup=False)
    for note in made.notes:
        output.console.print(note, markup=False)
    output.console.print("to start it:" if write else "to install these files, add --install; then start it:")
    for command in made.commands:
        output.console.print(f"  {command}", markup=False)
    output.result(
        {
            "role": role,
            "files": [describe(one) for one in files],
            "commands": list(made.commands),
            "notes": list(made.notes),
        }
    )


def describe(one: Installed) -> JsonObject:
    """A file for --json. A file with secrets is described by its template."""
    return {"path": str(one.file.path), "mode": f"{one.file.mode:o}", "state": one.state, "text": one.file.text}


def tls(hosts: list[str], clients: list[str], *, write: bool, output: Output) -> None:
    """Make the fleet's certificates and Redis' lines for them, and say what each machine needs."""
    if not hosts:
        raise UsageError("deploy tls needs --host, the name or address by which other machines reach Redis")
    made = FleetCertificates(Path.home() / ".config" / "applejack" / "tls")
    conf = made.folder.parent / "redis" / "tls.conf"
    say = output.console.print
    if not write:
        say(f"would make certificates in {made.folder} for {', '.join(hosts)}, and {conf}:", markup=False)
        say(made.configuration(), markup=False)
        say("to make them, add --install", markup=False)
        output.result({"role": "tls", "ca": str(made.ca), "url": made.url(hosts[0]), "written": False})
        return
    is_new = made.make(list(dict.fromkeys([*hosts, "localhost", "127.0.0.1"])), clients)
    conf.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not conf.exists():  # a person may have closed the port without TLS
        write_text(conf, made.configuration())
    say(f"{'new' if is_new else 'kept'} authority {made.ca}: copy it to every machine of the fleet", markup=False)
    say(f"Redis' certificate expires {made.expiry(SERVER)}; repeat this command within {DAYS} days", markup=False)
    for name in clients:
        say(f"{made.folder / name}.pem and .key are for {name}: &ssl_certfile=FILE&ssl_keyfile=FILE", markup=False)
    say("restart Redis, then give each machine, with its own user and password:", markup=False)
    say(f"  APPLEJACK_REDIS_URL={made.url(hosts[0])}", markup=False)
    output.result(
        {
            "role": "tls",
            "ca": str(made.ca),
            "new_ca": is_new,
            "url": made.url(hosts[0]),
            "expires": made.expiry(SERVER),
            "written": True,
        }
    )
