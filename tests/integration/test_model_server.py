import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.endpoint.client import complete
from config.errors import EndpointError
from config.process import session_members
from tests.support.tiny_student import make_tiny_student
from worker.endpoint.model_server import ModelServer

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from worker.endpoint.model_server import ModelServer
server = ModelServer(Path(sys.argv[1]), log=Path(sys.argv[2]))
server.start()
print(server.child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def processes(server: ModelServer) -> list[psutil.Process]:
    """The processes of a running server without its watchdog."""
    assert server.child is not None
    return [psutil.Process(pid) for pid in session_members(server.child.process.pid)]


def test_server_answers_and_leaves_nothing_behind(student: Path, tmp_path: Path) -> None:
    with ModelServer(student, log=tmp_path / "server.log") as server:
        [process] = processes(server)
        choice = complete(server.url, "Hello", max_tokens=3, timeout=30)
        assert choice["finish_reason"] == "length"
        assert "POST /v1/chat/completions" in server.tail(50)
        port = server.port
    assert not process.is_running()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_server_dies_with_a_parent_that_is_killed(student: Path, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", PARENT, str(student), str(tmp_path / "server.log")]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        watchdog = int(parent.stdout.readline())
        [process] = map(psutil.Process, session_members(watchdog))
        parent.kill()
    assert _ends(process, seconds=5)


def test_stop_ends_a_suspended_server(student: Path, tmp_path: Path) -> None:
    server = ModelServer(student, log=tmp_path / "server.log")
    server.start()
    [process] = processes(server)
    process.suspend()  # a stopped process keeps SIGTERM pending: only SIGKILL ends it
    server.stop()
    assert not process.is_running()
    server.stop()  # a second time does nothing


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no folder", "has no config.json"),
        ("torn weights", "cannot load or run the model"),  # the process lives on, its generation thread does not
        ("no json", "config.json"),
        ("unknown architecture", "Model type abacus not supported"),
        ("adapter without files", "has no adapter_config.json"),
    ],
)
def test_unloadable_model_is_one_clear_line(tmp_path: Path, fault: str, message: str) -> None:
    student, adapter = make_tiny_student(tmp_path / "student"), None
    match fault:
        case "no folder":
            student = tmp_path / "nowhere"
        case "torn weights":
            (student / "model.safetensors").write_bytes(b"torn")
        case "no json":
            (student / "config.json").write_text("{")
            message = "Expecting property name"
        case "unknown architecture":
            config = (student / "config.json").read_text().replace('"llama"', '"abacus"')
            (student / "config.json").write_text(config)
        case _:
            adapter = tmp_path / "adapter"
            adapter.mkdir()
    with pytest.raises(EndpointError, match=message) as raised:
        ModelServer(student, adapter, log=tmp_path / "server.log").start()
    assert "\n" not in str(raised.value)
    assert not [child for child in psutil.Process().children() if "serve_child" in " ".join(child.cmdline())]


def test_folder_named_worker_where_the_user_stands_is_not_taken_for_ours(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker").mkdir()
    (tmp_path / "worker" / "__init__.py").write_text("raise SystemExit('the wrong worker')")
    monkeypatch.chdir(tmp_path)
    with ModelServer(student, log=tmp_path / "server.log") as server:
        assert server.alive


def test_taken_port_is_named(student: Path, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EndpointError, match="Address already in use"):
            ModelServer(student, log=tmp_path / "server.log", port=port).start()


def _ends(process: psutil.Process, *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
