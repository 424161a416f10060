"""`applejack pull` against a small local hub: continues after kill -9, downloads once, refuses in one line."""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from config.errors import ApplejackError, DownloadError, UsageError
from tests.support.hub_server import Hub, hub_server
from worker.models.download import ensure_local, never, pull
from worker.models.progress import Progress
from worker.models.remote import PARTIAL
from worker.models.resolve import local_model

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "model.safetensors"
SIZE = 3_000_000
TEMPLATE = "{}/{{repo_id}}/resolve/{{revision}}/{{filename}}"  # made of the endpoint when huggingface_hub is imported
SPEED = 1_500_000.0  # bytes a second: two seconds for the weights


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    folder = tmp_path / "published" / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "README.md").write_text("mlx_lm does not need it")
    (folder / "pytorch_model.bin").write_bytes(bytes(20_000))
    (folder / WEIGHTS).write_bytes(random.Random(7).randbytes(SIZE))
    return Hub(tmp_path / "published")


@pytest.fixture
def url(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The hub's address; this process uses it too."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home" / "hub"))
    with hub_server(hub) as address:
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", TEMPLATE.format(address))
        yield address


def started(url: str, tmp_path: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "worker.cli", "pull", "org/name", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def partial_size(tmp_path: Path) -> int:
    found = list(tmp_path.glob(f"home/hub/models--org--name/blobs/*{PARTIAL}"))
    return found[0].stat().st_size if found else 0


def test_a_pull_that_is_killed_twice_downloads_no_byte_twice(hub: Hub, url: str, tmp_path: Path) -> None:
    hub.bytes_per_second = SPEED
    held = [0]
    for _ in range(2):
        process = started(url, tmp_path)
        while partial_size(tmp_path) <= held[-1] + SIZE // 4:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.kill()
        process.communicate()
        held.append(partial_size(tmp_path))
    hub.bytes_per_second = float("inf")
    out, err = started(url, tmp_path).communicate(timeout=100)
    body = json.loads(out.splitlines()[-1])
    assert hub.ranges == [(WEIGHTS, start) for start in held], err
    folder = Path(body["path"])
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", WEIGHTS, "tokenizer.json"]
    assert (folder / WEIGHTS).read_bytes() == (hub.root / "org" / "name" / WEIGHTS).read_bytes()
    assert (folder / WEIGHTS).is_symlink()  # huggingface_hub's layout
    assert body["bytes"] == sum(file.stat().st_size for file in folder.iterdir())
    assert body["revision"] == folder.name
    assert (folder.parents[1] / "refs" / "main").read_text() == folder.name
    assert local_model("org/name").path == folder


def test_two_pulls_at_once_download_once(hub: Hub, url: str) -> None:
    hub.bytes_per_second = 4 * SPEED
    seen: list[Progress] = []
    threads = [threading.Thread(target=pull, args=("org/name",), kwargs={"on_progress": seen.append}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.ranges == [(WEIGHTS, 0)]
    assert hub.sent[WEIGHTS] == SIZE
    assert f"(process {os.getpid()} downloads it)" in "\n".join(map(str, seen))
    assert {progress.of for progress in seen} == {seen[-1].bytes}  # what is not downloaded is not counted


def test_a_hub_that_dies_is_continued_when_it_is_back(hub: Hub, url: str) -> None:
    hub.dies_after = SIZE // 2
    revival = threading.Timer(0.5, lambda: setattr(hub, "dies_after", float("inf")))
    revival.start()
    found = pull("org/name")
    assert (found.path / WEIGHTS).stat().st_size == SIZE
    assert hub.ranges[0] == (WEIGHTS, 0)
    assert len(hub.ranges) > 1
    assert all(start > 0 for _, start in hub.ranges[1:])


def test_a_cancelled_download_stops_and_keeps_what_it_has(hub: Hub, url: str, tmp_path: Path) -> None:
    hub.bytes_per_second = SPEED
    with pytest.raises(DownloadError, match="was stopped; `applejack pull org/name` continues it"):
        pull("org/name", cancelled=lambda: partial_size(tmp_path) > 100_000)
    assert partial_size(tmp_path) > 100_000


def test_a_damaged_file_is_removed_and_named(hub: Hub, url: str, tmp_path: Path) -> None:
    hub.damaged = frozenset({WEIGHTS})
    with pytest.raises(DownloadError, match=r"'model.safetensors' of 'org/name' arrived damaged"):
        pull("org/name")
    assert partial_size(tmp_path) == 0
    hub.damaged = frozenset()
    assert pull("org/name").path.is_dir()


def test_a_disk_without_room_is_found_before_the_download(hub: Hub, url: str) -> None:
    with pytest.raises(DownloadError, match=r"needs 0.0 GB more and 1.1 GB to spare, but .* has 0.5 GB free"):
        pull("org/name", free=lambda _: 500_000_000)
    assert hub.ranges == []


def test_curation_downloads_no_weights(hub: Hub, url: str) -> None:
    found = ensure_local("org/name", weights=False)
    assert hub.ranges == []
    requests = hub.requests
    assert ensure_local("org/name", weights=False) == found
    assert hub.requests == requests  # what is here is not asked for
    assert (ensure_local("org/name").path / WEIGHTS).is_file()


def test_branches_are_different_revisions(hub: Hub, url: str) -> None:
    other = hub.root / "org" / "name@v1"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "old"}')
    main, v1 = pull("org/name"), pull("org/name@v1")
    assert main.revision != v1.revision
    assert local_model("org/name@v1") == v1
    assert local_model("org/name", revision=str(v1.revision)[:8]) == v1


@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("org/nmae", UsageError, "the hub has no model 'org/nmae', or it is private: check the spelling, or log in"),
        ("org/name@v9", UsageError, "the model 'org/name' has no revision 'v9'"),
        ("org/gated", UsageError, r"'org/gated' is gated: accept its conditions at http\S+/org/gated, then log in"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    hub: Hub, url: str, model: str, kind: type[ApplejackError], message: str
) -> None:
    (hub.root / "org" / "name").rename(hub.root / "org" / "gated") if "gated" in model else None
    hub.gated = frozenset({"org/gated"})
    with pytest.raises(kind, match=message) as raised:
        pull(model)
    assert "\n" not in str(raised.value)


def test_a_hub_out_of_reach_and_offline_mode_are_one_line(hub: Hub, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(UsageError, match=r"not on this machine; .* \(HF_HUB_OFFLINE is set: unset it for that\)"):
            pull("org/name")
    here = pull("org/name")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert pull("org/name", cancelled=never) == here
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"the hub at http://127\.0\.0\.1:1 cannot be reached"):
        pull("org/name")
