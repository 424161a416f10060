"""First mistakes of newcomers, each on real parts: one line that names the value and the repair; nothing changes."""

import errno
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog
from huggingface_hub import constants
from pydantic import SecretStr

from config.ledger import Ledger
from config.process import free_port
from config.settings import settings
from producer.cli import main as applejack
from producer.stack.redis_server import Server
from tests.integration.conftest import StartWorker
from tests.integration.test_pull import TEMPLATE
from tests.support import hub_server as hubs
from tests.support.ended_run import ended_run
from tests.support.first_mistakes import PREFIX, mistakes
from tests.support.fleet import answering, until
from tests.support.http_server import listing, pages
from tests.support.scripted_endpoint import ScriptedEndpoint
from tests.support.served_answers import SERVED as RECORDED
from tests.support.students import NO_TOOLS, student_with
from tests.support.tiny_student import make_tiny_student
from tests.support.training_set import make_training_set
from tests.support.trajectories import looked_up
from worker.cli.__main__ import main as worker_cli
from worker.device.machine import GIB, Machine

ROOT = Path(__file__).parents[2]
HUB = "https://huggingface.co"
CHAT = "/v1/chat/completions"
GB = 10**9
QWEN = "mlx-community/Qwen2.5-Coder-7B-Instruct-4bit"
QWEN_30B = "mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit"
GATED = "meta-llama/Llama-3.1-8B-Instruct"
Usage = namedtuple("Usage", "total used free")


@dataclass
class Here:
    """The newcomer's directory, and what a scene puts around it."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    request: pytest.FixtureRequest
    stack: ExitStack
    real: dict[str, str] = field(default_factory=dict)
    """what stands in the table -> what it is in this test"""

    def typed(self, command: str) -> list[str]:
        """The arguments of a command of the table; the variables in front of it are set."""
        words = shlex.split(command)
        while "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            self.monkeypatch.setenv(name, self.actual(value))
        return [self.actual(word) for word in words[1:]]

    def actual(self, text: str) -> str:
        for shown, real in self.real.items():
            text = text.replace(shown, real)
        return text

    def shown(self, text: str) -> str:
        """Output as the table has it."""
        for shown, real in sorted(self.real.items(), key=lambda pair: -len(pair[1])):
            text = text.replace(real, shown)
        return text.replace(f"rrno {errno.ECONNREFUSED}", "rrno 111")

    def files(self) -> list[Path]:
        return sorted(self.folder.rglob("*"))

    def check(self, what: str, code: object, err: str) -> None:
        """The page has this exit code and this one line on stderr."""
        assert err.startswith(PREFIX), err
        assert err.index("\n") == len(err) - 1, err
        shown = self.shown(err.strip().removeprefix(PREFIX))
        MISTAKES[what].check(code, shown, config=self.request.config)

    def serve(self, shown: int, answers: dict[str, tuple[int, str]], **more: str) -> str:
        """A model server; its port stands in the table as `shown`."""
        root = self.stack.enter_context(pages(answers, **more))  # type: ignore[arg-type]
        self.real[f":{shown}"] = f":{root.rpartition(':')[2]}"
        return root


def nothing(here: Here) -> None:
    """Nothing is running."""


def hub(here: Here) -> hubs.Hub:
    published = here.folder.parents[1] / "published"
    for name in (QWEN, GATED):
        (published / name).mkdir(parents=True)
        (published / name / "config.json").write_text('{"model_type": "qwen2"}')
    made = hubs.Hub(published, gated=frozenset({GATED}))
    point_at(here, here.stack.enter_context(hubs.hub_server(made)))
    here.monkeypatch.setattr(constants, "HF_HUB_CACHE", str(here.folder.parent / "hub"))
    return made


def point_at(here: Here, url: str) -> None:
    here.real[HUB] = url
    here.monkeypatch.setattr(constants, "ENDPOINT", url)
    here.monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(url))


def full_disk(here: Here) -> None:
    """A hub with 17.2 GB of weights, which are a hole in a file, and a disk with 9 GB free."""
    folder = hub(here).root / QWEN_30B
    folder.mkdir(parents=True)
    weights = folder / "model.safetensors"
    weights.touch()
    os.truncate(weights, 17_200_000_000)
    for stored in hubs._files(folder):
        stored.__dict__["sha256"] = "0" * 64  # not of a file of this size
    here.monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(500 * GB, 491 * GB, 9 * GB))
    here.real["~/.cache/huggingface/hub"] = constants.HF_HUB_CACHE


def no_network(here: Here) -> None:
    hub(here)
    point_at(here, f"http://127.0.0.1:{free_port()}")


def too_big(here: Here) -> None:
    """A 30B student with a hole as its weights, on a Mac with 16 GB."""
    make_training_set(here.folder / "dataset")
    student = make_tiny_student(here.folder / "qwen-30b")
    config = json.loads((ROOT / "benchmarks" / "models.json").read_text())[QWEN_30B.rpartition("/")[2]]
    (student / "config.json").write_text(json.dumps({"model_type": "qwen3_moe", **config}))
    size = 17_200_000_000
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    (student / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(student / "model.safetensors", 8 + len(header) + size)
    mac = Machine("metal", 16 * GIB, 16 * GIB * 2 // 3, "2/3 of the memory, Metal's rule")
    here.monkeypatch.setattr("worker.train.preflight.this_machine", lambda: mac)


def no_tools(here: Here) -> None:
    student_with(NO_TOOLS, here.folder / "smollm")
    (here.folder / "trajectories.jsonl").write_text(looked_up(1).model_dump_json() + "\n")


def wrong_port(here: Here) -> None:
    """mlx_lm's usual port answers, and the one that was typed does not."""
    root = here.serve(8080, {})
    here.real[":8081"] = f":{free_port()}"
    port = int(root.rpartition(":")[2])
    here.real |= {"port 8081": f"port {here.real[':8081'][1:]}", "port 8080": f"port {port}"}
    here.monkeypatch.setattr("config.endpoint.advice.DEFAULT_PORTS", {port: "mlx_lm or llama.cpp"})


def other_loopback(here: Here) -> None:
    here.serve(1234, {}, host="::1")


def vllm(here: Here) -> None:
    here.serve(8000, {"/v1/models": listing(QWEN_30B, owned_by="vllm")})


def loading(here: Here) -> None:
    body = (RECORDED / "llama_cpp" / "loading.json").read_text()
    here.serve(8080, {"/v1/models": (503, body), CHAT: (503, body)}, server="llama.cpp")


def nginx(here: Here) -> None:
    here.serve(8080, {}, server="nginx/1.27", other=(404, "<html>Not Found</html>"))  # type: ignore[arg-type]


def cloud(here: Here) -> None:
    root = here.serve(443, {CHAT: (401, '{"error": {"message": "You did not provide an API key."}}')})
    here.real["https://api.example.com"] = root


def ollama(here: Here) -> None:
    missing = '{"error":{"message":"model \\"qwen3-coder\\" not found, try pulling it first","type":"not_found_error"}}'
    here.serve(11434, {"/v1/models": listing("qwen3-coder:30b", owned_by="library"), CHAT: (404, missing)}, server="")


def redis(here: Here) -> Ledger:
    url: SecretStr = here.request.getfixturevalue("redis_url")
    here.monkeypatch.setenv("APPLEJACK_REDIS_URL", url.get_secret_value())
    ledger: Ledger = here.request.getfixturevalue("ledger")
    return ledger


def ended(here: Here) -> None:
    ended_run(redis(here), "night-1")


def no_redis(here: Here) -> None:
    here.real[":6380"] = f":{free_port()}"


def second_up(here: Here) -> None:
    here.stack.enter_context(Server.start(here.folder / "data"))


SCENES: dict[str, Callable[[Here], object]] = {
    "misspelt hub id": hub,
    "gated model, conditions not accepted": hub,
    "a revision that does not exist": hub,
    "not enough disk space": full_disk,
    "offline mode, model not here": hub,
    "no network": no_network,
    "a directory to download": nothing,
    "training with a model that is not here": hub,
    "model too big for this machine": too_big,
    "student whose template has no tools": no_tools,
    "wrong port": wrong_port,
    "the server listens on ::1 only, as `localhost` may mean": other_loopback,
    "base URL without /v1": vllm,
    "no http://": nothing,
    "model not loaded yet": loading,
    "another program on the port": nginx,
    "no API key": cloud,
    "model that the server does not have": ollama,
    "a server of its own and another one": nothing,
    "Ollama's name for a model to serve": nothing,
    "directory to serve that is not here": nothing,
    "nothing is running": nothing,
    "Redis cannot be reached": no_redis,
    "a second stack in one directory": second_up,
    "student's directory is not here": nothing,
    "a file as the student": nothing,
    "no student": nothing,
    "prompts file is not here": nothing,
    "a bad line among the prompts": nothing,
    "workspace is not here": nothing,
    "questions about code without the code": nothing,
    "misspelt run": ended,
    "results before they exist": ended,
    "misspelt cause": ended,
}
WITH_A_WORKER = ("misspelt --model", "misspelt --student", "student's path is not on the workers")
SERVED = "misspelt hub id to serve"
ELSEWHERE = "two workers of one name"  # tests/integration/test_worker_name.py
MISTAKES = mistakes()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Here]:
    """A directory with prompts, some code, and a model."""
    folder = tmp_path / "home" / "work"
    (folder / "code").mkdir(parents=True)
    (folder / "code" / "a.py").write_text("LIMIT = 12\n")
    (folder / "qwen").mkdir()
    (folder / "qwen" / "config.json").write_text('{"model_type": "qwen2"}')
    (folder / "qwen.gguf").touch()
    (folder / "prompts.jsonl").write_text('{"prompt": "What is a queue?", "requires_tools": false}\n')
    (folder / "needy.jsonl").write_text('{"prompt": "Where is LIMIT defined?"}\n')
    (folder / "bad.jsonl").write_text('{"prompt": "What is a queue?"}\n{"promt": "What is a list?"}\n')
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with ExitStack() as stack:
        real = {"/Users/me/applejack": str(ROOT), "/Users/me": str(tmp_path / "home")}
        yield Here(folder, monkeypatch, request, stack, real)


@pytest.fixture
def stages_in_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`applejack train` replaces its process by `python -m worker.cli train`; here it calls the same function."""

    def replace(_: str, command: list[str]) -> None:
        assert command[:4] == [sys.executable, "-P", "-m", "worker.cli"]
        monkeypatch.setattr(sys, "argv", command[3:])
        worker_cli()

    monkeypatch.setattr(os, "execv", replace)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int | str | None, str]:
    """Exit code and stderr of a command that runs in this process."""
    settings.cache_clear()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["applejack", *arguments])
        patched.setattr(constants, "HF_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE") == "1")
        with pytest.raises(SystemExit) as ended:
            applejack()
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("what", SCENES)
def test_a_first_mistake_is_answered_in_one_line(
    what: str, here: Here, stages_in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    SCENES[what](here)
    arguments, files = here.typed(MISTAKES[what].command), here.files()
    here.check(what, *outcome(arguments, capsys))
    assert here.files() == files


def test_submit_refuses_models_that_no_live_worker_has(
    here: Here, ledger: Ledger, start_worker: StartWorker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fails without check_models, and without hub_refusal: the runs are queued and wait for what nobody has."""
    redis(here)
    hub(here)
    here.real["@mac-1"] = "@test"
    with ScriptedEndpoint(answering(), models=("qwen3-coder",)) as endpoint:
        env = {"HF_ENDPOINT": here.real[HUB], "HF_HOME": constants.HF_HUB_CACHE}
        start_worker("generate,curate,train", "w", env={**env, "APPLEJACK_ENDPOINT": endpoint.base_url}, wait=False)
        until(ledger.fleet.workers, "the worker")
        for what in WITH_A_WORKER:
            arguments = here.typed(MISTAKES[what].command)
            here.check(what, *outcome(arguments, capsys))
            assert ledger.run_ids() == []
        assert outcome([*arguments, "--force"], capsys)[0] == 0
    assert ledger.run_ids() == ["night-1"]


def test_a_worker_whose_model_does_not_exist_ends_with_one_line(here: Here) -> None:
    """Fails without `give_up`: the worker would try for ever. Its log is in front of the line."""
    hub(here)
    redis(here)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "from producer.cli import main; main()", *here.typed(MISTAKES[SERVED].command)],
        env={
            **os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": here.real[HUB], "HF_HOME": constants.HF_HUB_CACHE,
            "APPLEJACK_HEALTH_CHECK_SECONDS": "0.1",
        },
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    here.check(SERVED, done.returncode, done.stderr.splitlines(keepends=True)[-1])


def test_each_row_of_the_page_is_tested() -> None:
    assert set(MISTAKES) == {*SCENES, *WITH_A_WORKER, SERVED, ELSEWHERE}
