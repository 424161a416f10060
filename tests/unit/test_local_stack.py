"""What the embedded stack decides without starting anything."""

import itertools
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import UsageError
from config.settings import Settings
from config.topology import QUEUES
from producer.flower.text import ago, cell, share
from producer.stack.flower_credentials import find_credentials
from producer.stack.local_stack import QUEUE_OF, worker_command
from producer.stack.managed_process import ManagedProcess, ProcessExit
from producer.stack.redis_server import without_password


def test_every_queue_has_a_worker() -> None:
    assert set(QUEUE_OF.values()) == set(QUEUES)


def test_worker_command_names_its_queue_and_host() -> None:
    command = worker_command("generate", name="generate1", concurrency=3)
    assert command[0] == sys.executable
    options = dict(itertools.pairwise(command))
    assert (options["-Q"], options["-n"], options["-P"], options["-c"]) == ("generate", "generate1@%h", "threads", "3")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@127.0.0.1:1/0", "redis://127.0.0.1:1/0"),
        ("rediss://user:secret@host:1/0", "rediss://host:1/0"),  # an ACL user
        ("redis://:p%40ss@host/0", "redis://host/0"),  # an escaped @
        ("redis://host:1/0", "redis://host:1/0"),  # none
    ],
)
def test_shown_url_has_no_password(url: str, shown: str) -> None:
    assert without_password(SecretStr(url)) == shown


@pytest.mark.parametrize(
    ("exit_code", "reason"),
    [
        (137, "signal 9 (SIGKILL, often because memory ran out)"),
        (1, "exit code 1"),
        (128, "exit code 128"),
    ],
)
def test_death_says_how_and_where_to_look(exit_code: int, reason: str) -> None:
    message = str(ProcessExit("train", exit_code, 2.0, Path("logs/train.log"), "MemoryError"))
    assert message == f"train exited ({reason}), restarting it in 2 s; the end of logs/train.log:\nMemoryError"


def test_password_is_made_once_and_kept(tmp_path: Path) -> None:
    first = find_credentials(Settings(), tmp_path)
    assert first.file is not None
    assert first.file.stat().st_mode & 0o777 == 0o600
    assert len(first.password.get_secret_value()) >= 20
    assert find_credentials(Settings(), tmp_path) == first
    assert find_credentials(Settings(), tmp_path / "other").password != first.password


def test_settings_credentials_win_over_kept_ones(tmp_path: Path) -> None:
    find_credentials(Settings(), tmp_path)
    given = find_credentials(Settings(flower_user="ann", flower_password=SecretStr("pw")), tmp_path)
    assert (given.pair, given.file) == ("ann:pw", None)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"user": "x"}'])
def test_broken_password_file_is_told_and_kept(tmp_path: Path, content: str) -> None:
    file = tmp_path / "flower-password.json"
    file.write_text(content)
    with pytest.raises(UsageError, match="remove it"):
        find_credentials(Settings(), tmp_path)
    assert file.read_text() == content


def test_cells_are_short_words() -> None:
    assert cell({"null_result": 4, "empty_answer": 1}) == "null_result 4, empty_answer 1"
    assert cell(["generate", "curate"]) == "generate, curate"
    assert cell(None) == "null"
    assert len(cell("x" * 1000)) == 300
    assert (share(1, 3), share(0, 0)) == ("33.33", "0")
    assert (ago(0), ago(None)) == ("1970-01-01 00:00 UTC", "-")


def test_a_member_with_wrong_input_is_not_restarted(tmp_path: Path) -> None:
    """Fails without `ended`: a worker whose model does not exist would be started for ever."""
    command = [sys.executable, "-c", "import sys; sys.exit(2)"]
    member = ManagedProcess("generate1", command, tmp_path / "logs" / "g.log", {})
    member.child.wait(10)
    told = member.restart_if_dead(0.0)
    assert "generate1 exited (exit code 2), not restarting it" in str(told)
    assert [member.restart_if_dead(later) for later in (1.0, 1e9)] == [None, None]
    member.child.kill()
