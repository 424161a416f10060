"""The device lock with real processes: order, killed holders and waiters, other users."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from config.errors import DeviceError
from config.settings import settings
from tests.support.fleet import until
from worker.device import backend
from worker.device.device_lock import Claim, device_lock, occupancy, uses

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, time
from worker.device.device_lock import device_lock
with device_lock("training", sys.argv[1]) as claim:
    if sys.argv[2:]:
        import subprocess
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=[claim.descriptor])
    print("held", flush=True)
    time.sleep(60)
"""

Hold = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """hold(NAME, ...) -> a process, in its own session, that claims the device and prints when it holds it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", HOLD, *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def names() -> list[str]:
    return [use.name for use in uses(settings().lock_dir)]


def await_device(process: "subprocess.Popen[bytes]") -> None:
    """Read what the process prints, its log among it, until it holds the device."""
    assert process.stdout is not None
    assert b"held\n" in process.stdout


def test_the_device_goes_to_its_claims_in_order_and_a_killed_process_leaves_the_queue(hold: Hold) -> None:
    """Fails without flock on the claim's file (the dead stay in the queue) and without `use.number < self.number`."""
    first = hold("first")
    await_device(first)
    second = hold("second")
    until(lambda: names() == ["first", "second"], "the second waits")
    third = Claim("training", "third")
    assert names() == ["first", "second", "third"]
    (use, *_) = uses(settings().lock_dir)
    assert (use.pid, str(use)) == (first.pid, "training of first")
    second.kill()
    second.wait()
    assert names() == ["first", "third"]  # at once
    first.kill()
    first.wait()
    assert third.ahead() == []
    third.release()
    Claim("training", "fourth").release()
    assert len(list(settings().lock_dir.glob("*.[0-9]*"))) == 1  # void claims are removed


def test_a_model_process_keeps_the_device_when_its_worker_is_killed(hold: Hold) -> None:
    """Fails without pass_fds: the next one would load a second model beside a process that is about to end."""
    worker = hold("night-1", "with a child")
    await_device(worker)
    worker.kill()
    worker.wait()
    assert names() == ["night-1"]
    os.killpg(worker.pid, signal.SIGKILL)
    until(lambda: names() == [], "free when the child has ended", seconds=5)


def test_waiting_can_be_cancelled() -> None:
    with (
        device_lock("training", "night-1"),
        pytest.raises(DeviceError, match=r"the evaluation of night-2 waited for training of night-1"),
        device_lock("evaluation", "night-2", lambda: True),
    ):
        pass
    assert names() == []


def test_status_shows_the_holder_and_who_waits() -> None:
    folder = settings().lock_dir
    free = {"name": backend.device_name(), "holder": None, "waiting": [], "lock_dir": str(folder)}
    assert occupancy(folder) == free
    with device_lock("training", "night-1"):
        server = Claim("model server", "generate1")
        assert occupancy(settings().lock_dir)["waiting"] == ["model server (generate1)"]
        assert [str(use) for use in server.ahead()] == ["training of night-1"]
        server.release()


def test_every_user_can_claim_the_device_whatever_the_umask_of_the_first() -> None:
    before = os.umask(0o077)
    try:
        Claim("training", "first").release()
    finally:
        os.umask(before)
    folder = settings().lock_dir
    assert folder.stat().st_mode & 0o7777 == 0o777
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o666}


def test_a_lock_directory_that_cannot_be_used_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for unusable in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DeviceError, match=r"the lock directory .* cannot be used: .*APPLEJACK_LOCK_DIR") as raised:
            Claim("training", "night-1", folder=unusable)
        assert "\n" not in str(raised.value)
    assert occupancy(tmp_path / "file") == {}


def test_claims_made_at_once_have_distinct_numbers() -> None:
    """Fails without the lock in `_queue`."""
    made: list[Claim] = []
    threads = [threading.Thread(target=lambda: made.append(Claim("training", "x"))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.number for claim in made) == list(range(1, 21))
    for claim in made:
        claim.release()


@pytest.mark.parametrize(
    ("platform", "cuda", "visible", "name"),
    [
        ("darwin", False, None, "metal"),
        ("linux", False, None, "cpu"),
        ("linux", True, None, "cuda-0"),
        ("linux", True, "3,1", "cuda-3"),
        ("linux", True, "GPU-8932/f9", "cuda-GPU-8932-f9"),  # a file name
        ("linux", True, "", "cuda-0"),
    ],
)
def test_a_device_has_its_own_lock(
    monkeypatch: pytest.MonkeyPatch, platform: str, cuda: bool, visible: str | None, name: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    found = backend.Installed(("mlx-cuda-13",), "mlx-cuda-13") if cuda else backend.Installed(("mlx-cpu",), "mlx-cpu")
    monkeypatch.setattr(backend, "installed", lambda: found)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    settings.cache_clear()
    assert backend.device_name() == name
