"""`applejack up`, `worker` and `flower`: long-running processes."""

import os
import socket
import sys
from contextlib import ExitStack
from typing import Annotated, TypeGuard

import typer

from config.did_you_mean import did_you_mean
from config.errors import UsageError
from config.ledger import Ledger
from config.records import WorkerControl
from config.settings import Settings
from producer.commands.model_options import served
from producer.commands.options import Dir, Json, Notify, require_url, settings_with_dir
from producer.commands.owner_options import AllowedCommands, Unsandboxed, WorkspaceRoots
from producer.commands.worker_environment import trainer_settings, workdir, worker_environment
from producer.connect import open_ledger
from producer.control import control_worker
from producer.notify.notifying import notifying, targets_of
from producer.output import Output
from producer.run_status import SILENT_SECONDS
from producer.stack.local_stack import Role, Stack, run_up, worker_command
from producer.stack.owner_settings import owner_settings

Caffeinate = Annotated[
    bool,
    typer.Option("--caffeinate/--no-caffeinate", help="On a Mac, keep it awake while a worker has work."),
]
ASKED = {"pause": WorkerControl.PAUSED, "resume": WorkerControl.GO, "drain": WorkerControl.DRAINING}
POOL = {"generate": 16, "curate": 1, "train": 1}  # threads; a generate worker uses as many as its endpoint can serve


def up(
    folder: Dir = None,
    workers: Annotated[int, typer.Option(help="Number of generate workers.", min=0)] = 1,
    concurrency: Annotated[
        int | None, typer.Option(help="Parallel jobs per generate worker [default: adaptive, up to 16].", min=1)
    ] = None,
    flower: Annotated[bool, typer.Option(help="Start Flower with the Runs page.")] = True,
    serve: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Run one mlx_lm server with this model for all generate workers."),
    ] = None,
    workspace_root: WorkspaceRoots = None,
    allow_command: AllowedCommands = None,
    unsandboxed: Unsandboxed = False,
    caffeinate: Caffeinate = True,
    notify: Notify = None,
    as_json: Json = False,
) -> None:
    """Run Redis, workers and Flower on this machine in the foreground. Ctrl-C stops all of them.

    Workers use the model server at $APPLEJACK_ENDPOINT, or the one that --serve starts. That server stops while a
    training or an evaluation uses this machine's device. Queued work is kept in --dir, and the next start continues it.
    """
    output = Output(as_json)
    if serve and workers == 0:
        raise UsageError("--serve needs a generate worker; remove --workers 0 or --serve")

    def ready(stack: Stack) -> None:
        for name, url in stack.urls.items():
            output.console.print(f"{name:<8} {url}")
        password_file = str(stack.credentials.file) if stack.credentials and stack.credentials.file else None
        if password_file:
            output.console.print(f"Flower's user and password: {password_file}")
        output.console.print("Ctrl-C stops everything; queued work is kept")
        output.result({"urls": dict(stack.urls), "password_file": password_file})
        if targets:
            assert stack.running.redis_url is not None
            ledger = Ledger.connect(stack.running.redis_url.get_secret_value())
            watching.enter_context(notifying(ledger, settings, targets, wait=False))

    env = {"APPLEJACK_CONCURRENCY": str(concurrency)} if concurrency else {}
    env |= {} if caffeinate else {"APPLEJACK_CAFFEINATE": "0"}
    pool = concurrency or POOL["generate"]
    settings = settings_with_dir(folder)
    env |= owner_settings(settings, roots=workspace_root or (), commands=allow_command or (), unsandboxed=unsandboxed)
    targets = targets_of(notify, settings)
    os.environ.pop("APPLEJACK_NOTIFY", None)  # a secret that no child needs
    if serve:
        settings = settings.model_copy(update={"serve": served(serve)})
    stack = Stack(settings, generate=workers, concurrency=pool, flower=flower, env=env)
    parts = [*([] if stack.settings.redis_url else ["server"]), "workers", *(["Flower"] if flower else [])]
    output.console.print(f"starting {', '.join(parts)} ...")
    with ExitStack() as watching:
        run_up(stack, ready=ready, tell=output.console.print)


def worker(
    role: Annotated[
        str,
        typer.Argument(
            metavar="ROLE",
            help="Start a worker: generate, curate or train. Or control worker NAME: pause, resume or drain.",
        ),
    ],
    which: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="The worker to control; without its @HOST if that is unique."),
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Start mlx_lm's server with this model (hub id or directory), downloaded first, and restart it.",
        ),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="URL of the model server [default: $APPLEJACK_ENDPOINT].")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Parallel jobs [default: adaptive, up to 16, for generate; 1 otherwise].", min=1)
    ] = None,
    name: Annotated[str | None, typer.Option(help="Worker name, unique on this host [default: ROLE-PID].")] = None,
    allow_trainer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND",
            help="Let runs train with this command, word for word, such as 'python trl/train.py'; repeat for more "
            "[default: $APPLEJACK_TRAINERS, separated by ';'].",
        ),
    ] = None,
    workspace_root: WorkspaceRoots = None,
    allow_command: AllowedCommands = None,
    unsandboxed: Unsandboxed = False,
    caffeinate: Caffeinate = True,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Start a worker on this machine, or pause, resume or drain one of the fleet.

    A worker consumes jobs from the Redis at $APPLEJACK_REDIS_URL, or from the stack running in --dir. After Ctrl-C or
    SIGTERM it finishes its jobs first; a second signal stops it at once, and other workers run its jobs again.

    A paused worker finishes the work that it holds and takes no other. A drained one then ends as well; started again
    under its name, it stays paused until it is resumed. Example: applejack worker pause mac-1
    """
    settings = settings_with_dir(folder)
    if role in ASKED:
        starting = {
            "--serve": serve, "--endpoint": endpoint, "--concurrency": concurrency, "--name": name,
            "--allow-trainer": allow_trainer, "--workspace-root": workspace_root, "--allow-command": allow_command,
            "--unsandboxed": unsandboxed, "--no-caffeinate": not caffeinate,
        }  # fmt: skip
        control(settings, role, which, [option for option, value in starting.items() if value], Output(as_json))
        return
    if not is_role(role):
        raise UsageError(f"unknown role {role!r}{did_you_mean(role, (*POOL, *ASKED))}")
    if which is not None:
        raise UsageError(f"a new {role} worker takes its name from --name: applejack worker {role} --name {which}")
    if serve and role != "generate":
        raise UsageError(f"--serve {serve!r} needs a generate worker, not {role!r}; remove --serve")
    if serve and endpoint:
        raise UsageError(f"a worker uses one model server: remove --serve {serve!r} or --endpoint {endpoint!r}")
    if allow_trainer and role != "train":
        raise UsageError(f"--allow-trainer {allow_trainer[0]!r} needs a train worker, not {role!r}; remove it")
    owned = owner_settings(settings, roots=workspace_root or (), commands=allow_command or (), unsandboxed=unsandboxed)
    if endpoint or (role == "generate" and not (serve or settings.serve)):
        require_url(endpoint or settings.endpoint)
    with open_ledger(settings) as (_, with_url):
        environment = {**os.environ, **worker_environment(with_url)}
    environment.pop("APPLEJACK_NOTIFY", None)  # a secret that a worker does not need
    if endpoint:
        environment["APPLEJACK_ENDPOINT"] = endpoint
    if serve:
        environment["APPLEJACK_SERVE"] = served(serve)
    if not caffeinate:
        environment["APPLEJACK_CAFFEINATE"] = "0"
    environment |= trainer_settings(settings, allow_trainer or [])
    environment |= owned
    jobs = concurrency or POOL[role]
    if concurrency:
        environment["APPLEJACK_CONCURRENCY"] = str(concurrency)
    command = worker_command(role, name=name or f"{role}-{os.getpid()}", concurrency=jobs, loglevel="INFO")
    if sys.stderr.isatty():  # a log that is not read on a terminal has JSON lines only
        sys.stderr.write(f"{role} worker on {socket.gethostname()}, at most {jobs} parallel jobs\n")
        sys.stderr.flush()
    os.chdir(workdir(with_url))
    os.execve(command[0], command, environment)  # noqa: S606 - replaces this process, so signals reach the worker


def is_role(text: str) -> TypeGuard[Role]:
    """Whether a text names a role of workers."""
    return text in POOL


def control(settings: Settings, action: str, which: str | None, starting: list[str], output: Output) -> None:
    """Pause, resume or drain a worker."""
    if which is None:
        raise UsageError(f"name the worker to {action}: applejack worker {action} NAME; `applejack status` lists them")
    if starting:
        raise UsageError(f"{starting[0]} is for starting a worker, not for `applejack worker {action}`; remove it")
    with open_ledger(settings, stopped=True) as (ledger, _):
        body = control_worker(ledger, which, ASKED[action])
        live = any(
            view.name == body["worker"] and view.silent_seconds <= SILENT_SECONDS for view in ledger.fleet.workers()
        )
    name, resume = body["worker"], f"`applejack worker resume {body['worker']}`"
    effect = {
        "pause": f"finishes the work that it holds and takes no other; {resume} lets it go on",
        "resume": "takes work",
        "drain": f"finishes the work that it holds, then ends; started again it waits for {resume}",
    }[action]
    when = "within a few seconds" if live else "once it runs; it does not run now"
    output.console.print(f"{name} {effect} ({when})")
    output.result(body)


def flower(
    port: Annotated[int, typer.Option(help="Port to listen on, 1 to 65535; 0 picks a free port.")] = 5555,
    address: Annotated[
        str,
        typer.Option(help="Address to listen on. If not loopback, $APPLEJACK_FLOWER_USER and _PASSWORD must be set."),
    ] = "127.0.0.1",
    notify: Notify = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Start Flower with the Runs page. It requires a password and listens on loopback by default."""
    targets = targets_of(notify, settings_with_dir(folder))
    with open_ledger(settings_with_dir(folder)) as (ledger, with_url):
        resolved = with_url.model_copy(update={"dir": with_url.dir.resolve()})
    from producer.flower.serve import serve  # takes a second to import, which other commands should not pay

    with notifying(ledger, resolved, targets, wait=False):
        serve(resolved, address=address, port=port, output=Output(as_json))
