"""Programs that a run allows cannot leave their sandbox: each attack works without it, and fails inside."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from worker.tools import run_command, sandbox, toolset
from worker.tools.patterns import RefusedError
from worker.tools.workspace import open_workspace

SECRET = "what nobody may read"
ALLOWED = ("python3", "git", "env", "awk", "tar", "find", "setsid", "sh")

pytestmark = pytest.mark.skipif(bool(sandbox.missing()), reason=f"no sandbox on this machine: {sandbox.missing()}")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "src").mkdir(parents=True)
    (tmp_path / "root" / "src" / "a.py").write_text("inside\n")
    (tmp_path / "secret.txt").write_text(SECRET)
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def no_shims(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter itself, not a script of a version manager in its place."""
    monkeypatch.setenv("PATH", f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin")


def run(root: Path, command: str, *, unsandboxed: bool = False) -> str:
    return run_command.run(root, command, allow=ALLOWED, unsandboxed=unsandboxed)


def python(code: str) -> str:
    return f'python3 -c "{code}"'


def test_programs_read_the_workspace(root: Path) -> None:
    assert "inside" in run(root, python("print(open('src/a.py').read())"))
    assert run(root, "env").startswith("exit code 0\nstdout:\n")


def test_a_file_outside_cannot_be_read(root: Path) -> None:
    hidden = ["", *root.parent.parts[1:], "secret.txt"]  # a path in the argument itself would be refused
    attack = python(f"import os; print(open(os.sep.join({hidden!r})).read())")
    assert SECRET in run(root, attack, unsandboxed=True)
    seen = run(root, attack)
    assert SECRET not in seen
    assert "No such file" in seen


def test_files_for_secrets_cannot_be_read(root: Path) -> None:
    """Fails without the bind of /dev/null over each, whatever the program does to reach them."""
    for name in (".env", "src/server.pem", "src/a b.key", "public.pem"):
        (root / name).write_text(SECRET)
    (root / "link").symlink_to(".env")
    tools = toolset.build(
        open_workspace(str(root), cache=root.parent / "cache"),
        names=(toolset.RUN_COMMAND,),
        allow_commands=ALLOWED,
        allow_files=("public.pem",),
    )
    for attack in ("tar -cf - .env src link", "sh -c 'cat .env src/* link'", "find . -name .env -exec cat {} +"):
        seen = tools[toolset.RUN_COMMAND]({"command": attack})
        assert SECRET not in seen
        assert SECRET in run(root, attack)
    assert SECRET in tools[toolset.RUN_COMMAND]({"command": "sh -c 'cat public.pem'"})
    assert "inside" in tools[toolset.RUN_COMMAND]({"command": "sh -c 'cat src/a.py'"})


def test_what_a_program_prints_is_masked_before_it_is_cut(root: Path) -> None:
    """Fails without `clean`: the end of what is shown has the start of a token, which is no token by itself."""
    token = "ghp_" + "a1B2c3D4e5F6" * 3
    (root / "long.txt").write_text(f"{'x' * (run_command.STREAM_CHARS - 20)} {token}\n")
    workspace = open_workspace(str(root), cache=root.parent / "cache")
    tools = toolset.build(workspace, names=(toolset.RUN_COMMAND,), allow_commands=ALLOWED)
    assert "ghp_" in run(root, "awk 1 long.txt")
    assert "ghp_" not in tools[toolset.RUN_COMMAND]({"command": "awk 1 long.txt"})


def test_the_home_directory_is_empty(root: Path) -> None:
    home = str(Path.home())
    attack = python(f"import os; print(os.path.isdir(os.sep + {home[1:]!r} + os.sep + '.cache'), os.listdir('{{}}'))")
    assert "False []" in run(root, attack.replace("'{}'", "os.environ['HOME']"))


@pytest.mark.parametrize(
    "attack",
    [
        python("open('planted', 'w')"),
        "git -c alias.x='!touch planted' x",
        "env touch planted",
        "awk 'BEGIN { system(\"touch planted\") }'",
        "tar --create --file=planted src",
        "tar --create --file=- --checkpoint=1 --checkpoint-action=exec='touch planted' src",
        "find src -exec touch planted {} +",
        "find src -fprint planted",
        "setsid touch planted",
    ],
)
def test_the_workspace_cannot_be_written(root: Path, attack: str) -> None:
    if shutil.which(attack.split()[0]) is None:
        pytest.skip(f"{attack.split()[0]} is not installed")
    run(root, attack)
    assert not (root / "planted").exists()
    run(root, attack, unsandboxed=True)
    assert (root / "planted").exists()


@pytest.fixture
def listener() -> Iterator[tuple[int, str, list[str]]]:
    """A TCP port and an abstract socket that note who connects."""
    seen: list[str] = []
    name = f"applejack-{os.getpid()}"
    servers = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)]
    servers[1].bind(f"\0{name}")
    servers[1].listen()

    def accept(server: socket.socket, kind: str) -> None:
        while True:
            try:
                server.accept()[0].close()
                seen.append(kind)
            except OSError:
                return

    for server, kind in zip(servers, ("tcp", "abstract"), strict=True):
        threading.Thread(target=accept, args=(server, kind), daemon=True).start()
    yield servers[0].getsockname()[1], name, seen
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def test_no_network_and_no_abstract_sockets(root: Path, listener: tuple[int, str, list[str]]) -> None:
    port, name, seen = listener
    tcp = python(f"import socket; socket.create_connection(('127.0.0.1', {port}))")
    abstract = python(f"import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + '{name}')")
    for attack in (tcp, abstract):
        assert run(root, attack).startswith("exit code 1")
    assert seen == []
    for attack in (tcp, abstract):
        run(root, attack, unsandboxed=True)
    deadline = time.monotonic() + 5
    while set(seen) != {"tcp", "abstract"}:
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)


def test_no_environment_of_another_process(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", SECRET)
    attack = python(
        "import glob, os; found = glob.glob(os.sep + 'proc/[0-9]*'); "
        "print(len(found), [open(p + '/environ', 'rb').read() for p in found])"
    )
    seen = run(root, attack)
    assert seen.startswith("exit code 0")
    assert SECRET not in seen
    assert int(seen.split("stdout:")[1].split()[0]) <= 4  # itself, its shell and bubblewrap


def test_nothing_outlives_the_command(root: Path) -> None:
    started = time.monotonic()
    run(root, python("import subprocess; subprocess.Popen(['setsid', 'sleep', '27.1828'], start_new_session=True)"))
    assert time.monotonic() - started < run_command.COMMAND_SECONDS
    deadline = time.monotonic() + 5
    while any("27.1828" in (process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_memory_is_limited(root: Path) -> None:
    assert "MemoryError" in run(root, python("x = bytearray(6 << 30)"))


def test_memory_of_all_processes_together_is_limited(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails without _memory in run_command: each process stays within its own limit."""
    monkeypatch.setattr(sandbox, "MEMORY_BYTES", 300 << 20)
    code = "[os.fork() for _ in range(2)]; x = bytearray(b'x') * (100 << 20); time.sleep(9)"
    started = time.monotonic()
    assert "ended by us: its processes used more than" in run(root, python(f"import os, time; {code}"))
    assert time.monotonic() - started < 8


def test_no_place_takes_more_than_the_scratch_space(root: Path) -> None:
    """Fails without --remount-ro and the size of /dev/shm: both are memory, which no limit counts."""
    (root / "fill.py").write_text(
        "import errno, os\n"
        "for place in ('/tmp', '/dev/shm', '/', '/dev', '/etc'):\n"
        "    try:\n"
        "        for number in range(3):\n"
        "            with open(f'{place}/file{number}', 'wb') as file:\n"
        "                file.write(bytes(50 << 20))\n"
        "        print(place, 'written')\n"
        "    except OSError as error:\n"
        "        print(place, errno.errorcode[error.errno])\n"
    )
    assert run(root, "python3 fill.py").splitlines()[2:7] == [
        "/tmp ENOSPC", "/dev/shm ENOSPC", "/ EROFS", "/dev EROFS", "/etc EROFS",
    ]  # fmt: skip


def test_processes_are_limited() -> None:
    """The kernel does not limit root's processes, so another user runs this where the tests run as root."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        code = "for i in $(seq 200); do sleep 3 & done; echo all"
        command = sandbox.sandboxed("/bin/sh", ["-c", code], root=Path(folder), scratch=Path(folder), seconds=10)
        env = sandbox.environment("/bin/sh", Path(folder))
        user = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, cwd=folder, **user)
    assert "fork" in done.stderr.lower(), done
    assert "all" not in done.stdout


def test_without_a_sandbox_a_program_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "missing", lambda: "bubblewrap is not installed")
    with pytest.raises(RefusedError, match="no sandbox: bubblewrap is not installed"):
        run(root, "env")
    assert run(root, "env", unsandboxed=True).startswith("exit code 0")
