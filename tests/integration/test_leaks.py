"""No secret reaches a reader: planted ones go through a whole run, and everything written, shown and sent is searched.

Fails without `without_secret`'s care for parameters and for "@" and "/" in a password (`status` with a mistyped URL
showed it), and without `outside_environment` in doctor, whose probe had every secret in its environment.
"""

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.process import ChildProcess, free_port, start_child
from config.records import JsonObject, StageState
from config.topology import Stage
from producer.stack.redis_server import Server, short_lived_client
from tests.support.fleet import PROBE, question, until
from tests.support.planted_secrets import Processes, Secret, files, find
from tests.support.recorded_code import two_commits
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, call, calls, says
from tests.support.webhook import SECRET, webhook
from tests.support.workers import ROOT

REDIS, FLOWER, KEY, HUB, METRICS, HOOK = planted = [
    Secret(name) for name in ("Redis password", "Flower password", "endpoint key", "hub token", "metrics token", "hook")
]
APPLEJACK = (sys.executable, "-P", "-c", "from producer.cli import main; main()")
OURS = (
    "producer.cli",
    "worker.app",
    "producer.flower",
    "worker.cli",
)  # processes that need secrets in their environment
ENDED = (StageState.DONE, StageState.FAILED)
PAGES = (
    "/", "/workers", "/worker/busy@test", "/tasks", "/broker", "/runs", "/runs/r", "/runs/r/jobs", "/fleet", "/about",
    "/api/workers?refresh=1", "/api/tasks", "/healthcheck", "/metrics", "/nowhere", "/runs/nowhere",
)  # fmt: skip

SUBMIT = [
    "submit",
    "prompts.jsonl",
    "--run",
    "r",
    "--workspace",
    "code",
    "--no-train",
    "--format",
    "seed-text",
    "--force",
]
SUBMIT += ["--allow-command", "env", "--allow-command", "git"]
WORDS = [  # of what was searched: errors, tracebacks, output of tools, the data of Redis, the journal
    *(b"redis_password", b"redis_unreachable", b"exc_type", b"exit code 0", b"appendonly", b"trajectories"),
    *(b"is not a Redis URL", b"invalid username-password"),
]
COMMANDS = (
    ("status",), ("status", "r", "--json"), ("why", "r", "1", "--json"), ("why", "r", "2"), ("report", "r"),
    ("doctor", "--json"), ("notify", "--json"), ("review", "r", "--json"), ("fetch", "r"), ("verify", "r"),
    ("archive", "r", "--keep", "--out", "out/archive"), ("resubmit", "r", "--kind", "endpoint_error"),
    ("deploy", "generate"), ("deploy", "flower", "--json"),
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server with the planted password."""
    with Server.start(tmp_path / "server") as started:
        with short_lived_client(started.url, 5) as client:
            client.config_set("requirepass", REDIS.value)
        started.url = SecretStr(started.url.get_secret_value().replace(password(started.url), quote(REDIS.value, "")))
        yield started


def password(url: SecretStr) -> str:
    return url.get_secret_value().partition("//:")[2].rpartition("@")[0]


def environment(folder: Path, url: str, endpoint: str = "http://127.0.0.1:9/v1", hook: str = "") -> dict[str, str]:
    """Everything that holds a secret, as a person sets it."""
    place = endpoint.removeprefix("http://")
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "APPLEJACK_DIR": str(folder / "data"),
        "APPLEJACK_REDIS_URL": url,
        "APPLEJACK_ENDPOINT": f"http://me:{quote(KEY.value, '')}@{place}",
        "APPLEJACK_ENDPOINT_KEY": KEY.value,
        "APPLEJACK_FLOWER_USER": "me",
        "APPLEJACK_FLOWER_PASSWORD": FLOWER.value,
        "APPLEJACK_METRICS_TOKEN": METRICS.value,
        "APPLEJACK_NOTIFY": hook or f"http://127.0.0.1:9/{quote(HOOK.value, '')}",
        "APPLEJACK_HEALTH_CHECK_SECONDS": "1",
        "APPLEJACK_WORKSPACE_ROOTS": str(folder),
        "APPLEJACK_COMMANDS": "env;git",
        "APPLEJACK_LOG_LEVEL": "debug",
        "HF_TOKEN": HUB.value,
    }


class Shell:
    """Runs commands; `shown` is all that they printed."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder, self._env = folder, env
        self.shown: dict[str, bytes] = {}

    def run(self, *words: str, code: int | None = 0, **env: str) -> str:
        """The stdout of a command; None for `code` accepts any."""
        done = subprocess.run(
            [*APPLEJACK, *words], cwd=self._folder, env=self._env | env, capture_output=True, timeout=100
        )
        self.shown[f"output of {' '.join(words)} ({len(self.shown)})"] = done.stdout + done.stderr
        assert code is None or done.returncode == code, done.stderr.decode()
        return done.stdout.decode()

    def all(self, *commands: tuple[str, ...], urls: Iterable[str] = ()) -> None:
        """Several at once, each with its Redis URL if `urls` are given."""
        variables = [{"APPLEJACK_REDIS_URL": url} for url in urls] or [{}] * len(commands)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda words, env: self.run(*words, code=None, **env), commands, variables))


def start(name: str, folder: Path, env: dict[str, str], *words: str) -> ChildProcess:
    return start_child(name, [sys.executable, "-m", *words], log=folder / f"{name}.log", env=env, cwd=folder)


def worker(name: str, folder: Path, env: dict[str, str]) -> ChildProcess:
    queues, pool = ("-Q", "generate,curate", "-n", f"{name}@test"), ("-P", "threads", "-c", "2", "-E")
    return start(name, folder, env, "celery", "-A", "worker.app", "worker", *queues, *pool, "--loglevel", "DEBUG")


def teacher(body: JsonObject) -> Reply:
    """Lets the tools print their environment; one job fails."""
    messages = body["messages"]
    assert isinstance(messages, list)
    if "fails" in question(body):
        return Reply(status=400, body=json.dumps({"error": "no"}))
    if question(body) == PROBE:
        return says("Hello.")
    if any(isinstance(one, dict) and one["role"] == "tool" for one in messages):
        return says("Done.")
    return calls(call("run_command", command="env"), call("run_command", command="git log --oneline"))


def ask(port: int, path: str, user: str) -> bytes:
    """Headers and body of a page of Flower."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}")
    asked.add_header("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}")
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return str(answer.headers).encode() + answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return str(error.headers).encode() + error.read()


def read_pages(port: int) -> dict[str, bytes]:
    """Flower's pages with the password, and one with a wrong one."""
    asked = [(path, f"me:{FLOWER.value}") for path in PAGES] + [("/", "me:wrong")]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda one: ask(port, *one), asked))
    pages = {f"{path} for {user[:8]}": page for (path, user), page in zip(asked, answers, strict=True)}
    assert b"broker_url" in pages[f"/api/workers?refresh=1 for me:{FLOWER.value[:5]}"]  # the worker's configuration
    assert b"applejack_" in pages[f"/metrics for me:{FLOWER.value[:5]}"]
    return pages


def fail_logins(shell: Shell, url: str) -> None:
    """Commands with a wrong password, without a server, and with URLs that are not well-formed."""
    wrong = url.replace(REDIS.parts[0], REDIS.parts[1])  # of parts of the right one, so that it is found where shown
    down = url.replace(url.rpartition(":")[2], "9/0")
    urls = (wrong, down, f"redis://:{REDIS.value}@127.0.0.1:6379/0", f"{url}?password={REDIS.value}")
    shell.all(*[("status", "r")] * len(urls), urls=urls)
    shell.all(("doctor",), ("doctor", "--json"), urls=(wrong, down))


def break_connections(server: Server, folder: Path, env: dict[str, str], busy: ChildProcess) -> None:
    """A worker that is refused and one that loses its server, with their tracebacks in the logs."""
    wrong = env["APPLEJACK_REDIS_URL"].replace(REDIS.parts[0], REDIS.parts[1])
    refused = worker("refused", folder, env | {"APPLEJACK_REDIS_URL": wrong})
    try:
        until(lambda: "invalid username-password" in refused.log_tail(200), "an error in the log", seconds=60)
        server.child.send(signal.SIGKILL)
        until(lambda: "Connection" in busy.log_tail(200), "a lost connection", seconds=60)
    finally:
        refused.kill()


@pytest.mark.timeout(300)
def test_planted_secrets_are_in_nothing_written_shown_or_sent(server: Server, tmp_path: Path) -> None:
    for name in ("home", "tmp", "out"):
        (tmp_path / name).mkdir()
    two_commits(tmp_path / "code")
    asked = [{"prompt": "which?"}, {"prompt": "it fails", "requires_tools": False}]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in asked))
    url, port = server.url.get_secret_value(), free_port()
    ledger = Ledger.connect(url)
    with ScriptedEndpoint(teacher) as endpoint, webhook() as hook, Processes(OURS) as processes:
        secret_hook = hook.url.replace(SECRET, f"{quote(HOOK.value, '')}/{SECRET}")
        env = environment(tmp_path, url, endpoint.base_url, secret_hook)
        shell = Shell(tmp_path, env)
        flower = start("flower", tmp_path, env, "producer.flower", "--port", str(port))
        busy = worker("busy", tmp_path, env)
        try:
            until(ledger.fleet.workers, "the worker", seconds=90)
            shell.run(*SUBMIT)
            until(lambda: ledger.stages.view("r", Stage.CURATE).state in ENDED, "curation", seconds=90)
            shell.all(*COMMANDS)
            fail_logins(shell, url)
            texts = read_pages(port)
            break_connections(server, tmp_path, env, busy)
        finally:
            busy.kill()
            flower.kill()
    login = base64.b64encode(f"me:{KEY.value}".encode()).decode()
    used = {value for headers in endpoint.headers for value in headers.values()}
    assert {f"Bearer {KEY.value}", f"Basic {login}"} & used  # all were in use: a leak would be one of these
    assert hook.received
    texts |= shell.shown | files(tmp_path) | processes.arguments | processes.environments
    texts |= {f"request {number}": raw for number, raw in enumerate(endpoint.raw_requests)}
    seen = b"".join(texts.values())
    assert [word for word in WORDS if word not in seen] == []
    assert find(planted, texts) == []


@pytest.mark.parametrize(
    "leak",
    [
        REDIS.value,
        quote(REDIS.value, ""),
        quote(quote(REDIS.value, ""), ""),
        f"redis://{REDIS.value.partition('@')[2]}@host",  # what a careless cut leaves
        *(base64.b64encode(f"{'u' * n}:{REDIS.value}".encode()).decode() for n in range(3)),
        REDIS.value.encode().hex(),
        json.dumps({"url": REDIS.value}),
    ],
    ids=range(9),  # the values are random, and each process of a test run has its own
)
def test_a_planted_leak_is_found(leak: str) -> None:
    assert find(planted, {"a log": f"before {leak} after".encode()})
    assert not find(planted[1:], {"a log": f"before {leak} after".encode()})
