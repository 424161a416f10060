"""Secrets are found, masked and kept out of datasets; what only looks like one is not."""

import json
from pathlib import Path

import pytest

from config.errors import RejectionReason
from config.records import Message, Spec, ToolCall, Trajectory
from tests.support.secret_samples import innocent, planted
from worker.curate.audit import audit
from worker.curate.checks.secrets import leaked_secret
from worker.secrets import find_secrets, is_secret_file, mask
from worker.secrets.rules import rules, rules_for
from worker.tools import toolset
from worker.tools.patterns import RefusedError
from worker.tools.workspace import Workspace, open_workspace

COUNT = 340
KEY = "AKIA" + "QYLPMN5HHHFPZAM2"  # in two parts, so that no scanner takes this file for a leak


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_secrets_are_masked(seed: int) -> None:
    missed = [kind for kind, line, secret in planted(COUNT, seed) if secret in mask(line)]
    assert len(missed) <= 0.02 * COUNT, missed  # benchmarks/secret_detection.py has the figures


@pytest.mark.parametrize("seed", [1, 2])
def test_innocent_lines_are_left_as_they_are(seed: int) -> None:
    wrong = [(kind, line) for kind, line in innocent(COUNT, seed) if mask(line) != line]
    assert wrong == []


def test_a_mask_names_the_kind_and_nothing_else() -> None:
    text = f"first\nkey = '{KEY}'\nurl = redis://:{'s3cr' + 'etpw9x'}@host:6379/0\n"
    assert mask(text) == (
        "first\nkey = '[masked: aws-access-token]'\nurl = redis://:[masked: url-password]@host:6379/0\n"
    )
    assert mask(mask(text)) == mask(text)
    assert [text[one.start : one.end] for one in find_secrets(text)] == [KEY, "s3cretpw9x"]


def test_a_secret_is_found_beside_text_that_is_not_unicode() -> None:
    assert mask(f"\ud800 key = '{KEY}'") == "\ud800 key = '[masked: aws-access-token]'"


def test_one_search_finds_the_rules_whose_keywords_a_text_contains() -> None:
    texts = [line for _, line, _ in planted(COUNT, 1)] + [line for _, line in innocent(COUNT, 1)] + ["", "PASSWORD"]
    for text in texts:
        assert rules_for(text) == [rule for rule in rules() if any(word in text.lower() for word in rule.keywords)]
    assert sum(len(rules_for(text)) > 1 for text in texts) > 100


@pytest.fixture
def code(tmp_path: Path) -> Workspace:
    (tmp_path / "app.py").write_text(f"API = '{KEY}'\nNAME = 'app'\n")
    (tmp_path / ".env").write_text("NAME=prod\n")
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "server.pem").write_text("NAME of a key\n")
    return open_workspace(str(tmp_path), cache=tmp_path.parent / "cache")


def test_tools_mask_secrets_and_do_not_read_files_for_them(code: Workspace) -> None:
    tools = toolset.build(code, names=("read_file", "grep", "count", "list_dir"))
    assert tools["read_file"]({"path": "app.py"}) == "1: API = '[masked: aws-access-token]'\n2: NAME = 'app'"
    assert tools["grep"]({"pattern": "NAME"}) == "app.py:2: NAME = 'app'"
    assert tools["count"]({"pattern": "NAME"}) == "1 matching line in 1 of 1 file"
    assert ".env" in tools["list_dir"]({"path": "."})
    for path in (".env", "keys/server.pem"):
        with pytest.raises(RefusedError, match="is a file for secrets"):
            tools["read_file"]({"path": path})


def test_a_run_may_allow_files_and_choose_to_reject(code: Workspace) -> None:
    tools = toolset.build(code, names=("read_file", "grep"), allow_files=(".env",), mask_secrets=False)
    assert tools["read_file"]({"path": ".env"}) == "1: NAME=prod"
    assert KEY in tools["read_file"]({"path": "app.py"})
    assert "server.pem" not in tools["grep"]({"pattern": "NAME"})


@pytest.mark.parametrize("path", [".env", "a/.env.local", "id_rsa", "x/y.PEM", ".aws/credentials", "home/.ssh/config"])
def test_files_for_secrets(path: str) -> None:
    assert is_secret_file(path)
    assert not is_secret_file(path, allowed=["*"])


@pytest.mark.parametrize(
    "path", ["env.py", ".env.example", "credentials.py", "key.py", "id_rsa.pub", "secrets/__init__.py"]
)
def test_files_that_are_not(path: str) -> None:
    assert not is_secret_file(path)


def test_older_workers_can_read_a_spec_without_choices() -> None:
    stored = json.loads(Spec(run_id="r").model_dump_json())
    assert {"allow_files", "secrets"}.isdisjoint(stored)


def asked(answer: str, result: str = "app.py:2", **arguments: str) -> Trajectory:
    call = ToolCall(id="1", name="grep", arguments=dict(arguments))
    return Trajectory(
        run_id="r",
        job_id="j",
        prompt="q",
        messages=(
            Message(role="user", content="q"),
            Message(role="assistant", tool_calls=(call,)),
            Message(role="tool", tool_call_id="1", content=result),
            Message(role="assistant", content=answer),
        ),
        outcome="completed",
    )


@pytest.mark.parametrize(
    ("trajectory", "message"),
    [
        (asked(f"It is {KEY}."), 3),
        (asked("It is there.", f"app.py:1\napp.py:2: {KEY}"), 2),
        (asked("It is there.", pattern=KEY), 1),
    ],
)
def test_a_secret_in_any_text_is_a_reason(trajectory: Trajectory, message: int) -> None:
    [finding] = leaked_secret(trajectory)
    assert (finding.reason, finding.message) == (RejectionReason.LEAKED_SECRET, message)
    assert finding.detail.startswith("aws-access-token in")
    assert KEY not in finding.detail


def test_an_audit_counts_rows_with_secrets(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]} for text in (
        "one", f"two\nkey: {KEY}", "three")]  # fmt: skip
    (tmp_path / "train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = audit([tmp_path / "train.jsonl"]).as_json()
    assert found["secret_rows"] == 1
    assert KEY not in json.dumps(found)
