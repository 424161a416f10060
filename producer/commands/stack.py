"""`applejack up`, `worker` and `flower`: processes that stay."""

import os
import socket
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from config.errors import UsageError
from config.settings import Settings
from producer.commands.options import Dir, Json, require_url, settings_with_dir
from producer.commands.submit import absolute
from producer.connect import open_ledger
from producer.output import Output
from producer.stack.local_stack import Stack, run_up, worker_command

POOL = {"generate": 16, "curate": 1, "train": 1}  # threads; how many of 16 are used is found by measuring the endpoint


def up(
    folder: Dir = None,
    workers: Annotated[int, typer.Option(help="Generate workers.", min=0)] = 1,
    concurrency: Annotated[
        int | None, typer.Option(help="Jobs in flight per generate worker [default: found by measuring].", min=1)
    ] = None,
    flower: Annotated[bool, typer.Option(help="Flower with the Runs page.")] = True,
    as_json: Json = False,
) -> None:
    """Run the whole stack on this machine in the foreground: server, workers, Flower. Ctrl-C stops all of it.

    Workers ask the model server in $APPLEJACK_ENDPOINT. What is queued is kept in --dir and goes on at the next start.
    """
    output = Output(as_json)

    def ready(stack: Stack) -> None:
        for name, url in stack.urls.items():
            output.console.print(f"{name:<8} {url}")
        password_file = str(stack.credentials.file) if stack.credentials and stack.credentials.file else None
        if password_file:
            output.console.print(f"Flower's user and password: {password_file}")
        output.console.print("Ctrl-C stops all of it; queued work is kept")
        output.result({"urls": dict(stack.urls), "password_file": password_file})

    env = {"APPLEJACK_CONCURRENCY": str(concurrency)} if concurrency else {}
    pool = concurrency or POOL["generate"]
    stack = Stack(settings_with_dir(folder), generate=workers, concurrency=pool, flower=flower, env=env)
    parts = [*([] if stack.settings.redis_url else ["server"]), "workers", *(["Flower"] if flower else [])]
    output.console.print(f"starting {', '.join(parts)} ...")
    run_up(stack, ready=ready, tell=output.console.print)


def worker(
    role: Annotated[Literal["generate", "curate", "train"], typer.Argument(help="Which queue to work on.")],
    serve: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Start mlx_lm's server with this model, watch and restart it.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="The model server to ask [default: $APPLEJACK_ENDPOINT].")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Jobs in flight [default for generate: found by measuring].", min=1)
    ] = None,
    name: Annotated[str | None, typer.Option(help="The worker's name on this host; must be its own.")] = None,
    folder: Dir = None,
) -> None:
    """Start a worker with the right flags for this machine.

    It takes jobs from the Redis in $APPLEJACK_REDIS_URL, else from the stack that runs in --dir. Ctrl-C or SIGTERM lets
    it finish what it has; a second one ends it at once, and other workers take its jobs over.
    """
    settings = settings_with_dir(folder)
    if serve and (endpoint or role != "generate"):
        raise UsageError("--serve MODEL is for a generate worker without --endpoint: it serves its own")
    if endpoint or (role == "generate" and not (serve or settings.serve)):
        require_url(endpoint or settings.endpoint)
    with open_ledger(settings) as (_, reached):
        environment = {**os.environ, **environment_of(reached)}
    if endpoint:
        environment["APPLEJACK_ENDPOINT"] = endpoint
    if serve:
        environment["APPLEJACK_SERVE"] = absolute(serve)
    jobs = concurrency or POOL[role]
    if concurrency:
        environment["APPLEJACK_CONCURRENCY"] = str(concurrency)
    command = worker_command(role, name=name or f"{role}-{os.getpid()}", concurrency=jobs, loglevel="INFO")
    sys.stderr.write(f"{role} worker on {socket.gethostname()}, at most {jobs} in flight\n")
    sys.stderr.flush()
    os.chdir(workdir(reached))
    os.execve(command[0], command, environment)  # noqa: S606 - the worker takes this process's place, and its signals


def flower(
    port: Annotated[int, typer.Option(help="1 to 65535; 0 takes a free one.")] = 5555,
    address: Annotated[
        str, typer.Option(help="Wider than loopback needs $APPLEJACK_FLOWER_USER and _PASSWORD.")
    ] = "127.0.0.1",
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Flower with the Runs page, behind a password, on loopback unless told otherwise."""
    with open_ledger(settings_with_dir(folder)) as (_, reached):
        watched = reached.model_copy(update={"dir": reached.dir.resolve()})
    from producer.flower.serve import serve  # takes a second, which no other command needs to wait

    serve(watched, address=address, port=port, output=Output(as_json))


def environment_of(settings: Settings) -> dict[str, str]:
    """What a child reads in the environment; the password is in none of its arguments."""
    assert settings.redis_url is not None
    return {
        "APPLEJACK_REDIS_URL": settings.redis_url.get_secret_value(),
        "APPLEJACK_DIR": str(settings.dir.resolve()),
    }


def workdir(settings: Settings) -> Path:
    """A folder of ours alone: `-m` puts the working directory first on sys.path, where `worker` may be a user's own."""
    logs = settings.dir.resolve() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    return logs
