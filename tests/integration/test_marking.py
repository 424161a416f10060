"""Marks from a browser: the server over real HTTP, and `applejack review --mark` as a process."""

import http.client
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from config.errors import UsageError
from tests.support.marked import example, marked, population
from tests.support.trajectories import looked_up
from worker.curate.options import Options
from worker.curate.pipeline import curate
from worker.curate.review.desk import Desk
from worker.curate.review.marks import Mark, read_marks, save_mark
from worker.curate.review.server import HOST, serving

SIZES = Counter({True: 100, False: 400})


class Client:
    """Sends requests as a page would, or not quite."""

    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)

    def send(
        self, method: str, path: str | None = None, body: object = None, **headers: str
    ) -> tuple[int, dict[str, object] | str]:
        """Status and JSON or text."""
        assert self.url.hostname
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=10)
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection.request(method, self.url.path if path is None else path, content, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, json.loads(text) if answer.headers.get_content_type() == "application/json" else text

    def mark(self, number: int, mark: str | None, note: str = "", **headers: str) -> tuple[int, object]:
        """Save a mark."""
        body = {"number": number, "mark": mark, "note": note, "blind": True}
        return self.send("POST", f"{self.url.path}marks", body, **headers)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ds.marks.jsonl"


@pytest.fixture
def client(tmp_path: Path, file: Path) -> Iterator[Client]:
    page = tmp_path / "page.html"
    page.write_text("<p>the page</p>")
    with serving(page, Desk(file, population(3, 3), by="ann", sizes=SIZES)) as url:
        yield Client(url)


def test_a_mark_is_in_the_file_at_once_and_comes_back(client: Client, file: Path) -> None:
    assert client.send("GET") == (200, "<p>the page</p>")
    assert client.mark(4, "wrong", " counts lines ") == (200, {"saved": True})
    (mark,) = read_marks(file)
    first = population(3, 3)[4]
    assert (mark.job_id, mark.run_id, mark.content) == (first.job_id, first.run_id, first.content)
    assert (mark.mark, mark.by, mark.kept, mark.of, mark.blind) == ("wrong", "ann", False, 400, True)
    assert mark.note == "counts lines"
    assert mark.at
    assert mark.at.endswith("+00:00")
    client.mark(0, "right")
    client.mark(4, None)  # undo
    assert client.send("GET", f"{client.url.path}marks") == (
        200,
        {"marks": [{"number": 0, "mark": "right", "note": ""}]},
    )
    assert [mark.job_id for mark in read_marks(file)] == [population(3, 3)[0].job_id]


def test_a_note_without_a_judgement_is_kept(client: Client, file: Path) -> None:
    client.mark(1, None, "ask bob")
    assert [(mark.mark, mark.note) for mark in read_marks(file)] == [(None, "ask bob")]


REFUSED_PLACES = [
    # path with {token}, headers, why
    ("/", {}, "no token"),
    ("/marks", {}, "no token"),
    ("/wrong/marks", {}, "wrong token"),
    ("/{token}x/marks", {}, "longer than the token"),
    ("/{token}/marks", {"Host": "evil.example"}, "DNS rebinding: a name of someone else that resolves to this machine"),
    ("/{token}/marks", {"Host": "127.0.0.1.evil.example"}, "a name that begins like the address"),
    ("/{token}/marks", {"Host": ""}, "no host"),
    ("/{token}/marks", {"Host": "["}, "no address"),
]


@pytest.mark.parametrize(("path", "headers", "why"), REFUSED_PLACES)
def test_another_host_or_token_reads_and_writes_nothing(
    path: str, headers: dict[str, str], why: str, client: Client, file: Path
) -> None:
    place = path.replace("{token}", client.url.path.strip("/"))
    body = {"number": 0, "mark": "right", "note": "", "blind": True}
    assert client.send("GET", place, **headers)[0] == 403
    assert client.send("POST", place, body, **headers)[0] == 403
    assert not file.exists()


REFUSED_MARKS = [
    # headers, body, status
    ({"Origin": "http://evil.example"}, {"number": 0, "mark": "right", "blind": True}, 403),
    ({"Origin": "null"}, {"number": 0, "mark": "right", "blind": True}, 403),
    ({"Content_Type": "text/plain"}, {"number": 0, "mark": "right", "blind": True}, 415),  # what a form can send
    ({}, {"number": 6, "mark": "right", "blind": True}, 400),
    ({}, {"number": -1, "mark": "right", "blind": True}, 400),
    ({}, {"number": 0, "mark": "maybe", "blind": True}, 400),
    ({}, {"number": 0, "mark": "right", "blind": True, "by": "bob"}, 400),  # nobody marks for another person
    ({}, {"number": 0, "mark": "right", "blind": True, "note": "x" * 4001}, 400),
    ({}, b"x" * 70_000, 413),
    ({}, b"{", 400),
]


@pytest.mark.parametrize(("headers", "body", "status"), REFUSED_MARKS)
def test_what_the_page_would_not_send_is_refused(
    headers: dict[str, str], body: object, status: int, client: Client, file: Path
) -> None:
    assert client.send("POST", f"{client.url.path}marks", body, **headers)[0] == status
    assert not file.exists()
    origin = f"http://{client.url.netloc}"
    assert client.mark(0, "right", Origin=origin)[0] == 200  # the page itself


def test_other_paths_and_methods_are_not_served(client: Client) -> None:
    assert client.send("GET", f"{client.url.path}../../etc/passwd")[0] == 404
    assert client.send("POST", client.url.path, {})[0] == 404
    assert client.send("PUT", f"{client.url.path}marks", {})[0] == 501


def test_a_damaged_file_is_shown_in_the_page_and_left_alone(client: Client, file: Path) -> None:
    file.write_text("{\n")
    status, told = client.mark(0, "right")
    assert status == 409
    assert isinstance(told, dict)
    assert "ds.marks.jsonl:1 is not a mark" in str(told["error"])
    assert file.read_text() == "{\n"


def test_the_server_listens_on_loopback_and_logs_no_token(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    assert client.url.hostname == HOST == "127.0.0.1"
    assert len(client.url.path) > 30
    client.mark(0, "right")
    client.send("GET", "/x")
    told = capfd.readouterr()
    assert told.out == told.err == ""


def test_a_taken_port_is_told(client: Client, tmp_path: Path, file: Path) -> None:
    assert client.url.port
    desk = Desk(file, [], by="bob", sizes=SIZES)
    with pytest.raises(UsageError, match=f"port {client.url.port} cannot be used"):
        serving(tmp_path / "page.html", desk, port=client.url.port).__enter__()


def test_many_people_mark_at_the_same_time_and_nothing_is_lost(file: Path) -> None:
    def mark_ten(by: str) -> None:
        for number in range(10):
            save_mark(file, marked(example(number), "right", by))

    threads = [threading.Thread(target=mark_ten, args=(f"person {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_marks(file)) == 60


def start(dataset: Path, by: str) -> tuple["subprocess.Popen[str]", Client]:
    """The command as a person starts it, and a client with the address that it prints."""
    command = [sys.executable, "-m", "worker.cli", "review", str(dataset), "--mark", "--by", by, "--sample", "8"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - ignored in background
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if line.strip().startswith("http://"):
            return process, Client(line.strip())
    raise AssertionError(f"no address; exit code {process.wait()}")


def interrupt(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return said


def test_ctrl_c_leaves_all_marks_and_the_next_start_continues(tmp_path: Path) -> None:
    cut = [looked_up(n, messages=looked_up(n).messages[:2]) for n in range(90, 96)]
    everything = [*(looked_up(n) for n in range(12)), *cut]
    (tmp_path / "trajectories.jsonl").write_text("".join(one.model_dump_json() + "\n" for one in everything))
    dataset = tmp_path / "ds"
    curate(everything, out=dataset, options=Options(format="seed-text"), student=None)
    marks = tmp_path / "ds.marks.jsonl"
    process, client = start(dataset, "ann")
    page = client.send("GET")[1]
    assert "connect-src 'self'" in str(page)
    for number in range(3):
        assert client.mark(number, "right")[0] == 200
    assert f"3 of 8 marked by ann, saved in {marks}" in interrupt(process)
    saved = marks.read_bytes()
    process, client = start(dataset, "ann")
    assert len(client.send("GET", f"{client.url.path}marks")[1]["marks"]) == 3  # type: ignore[index,arg-type]
    client.mark(3, "wrong")
    other, colleague = start(dataset, "bob")  # at the same time, with the same sample
    assert colleague.send("GET", f"{colleague.url.path}marks") == (200, {"marks": []})
    colleague.mark(0, "right")
    interrupt(other)
    assert "4 of 8 marked by ann" in interrupt(process)
    assert marks.read_bytes().startswith(saved)
    found = read_marks(marks)
    assert [(mark.by, mark.mark) for mark in found] == [("ann", "right")] * 3 + [("ann", "wrong"), ("bob", "right")]
    assert found[0].job_id == found[4].job_id
    assert {mark.kept: mark.of for mark in found}.items() <= {True: 12, False: 6}.items()
    assert isinstance(found[0], Mark)
    assert not stat.S_IMODE(marks.stat().st_mode) & stat.S_IWOTH
