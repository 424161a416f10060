"""Secrets are found, masked and kept out of datasets; what only looks like one is not."""

import json
import random
import time
from base64 import b64encode
from pathlib import Path

import pytest

from config.errors import RejectionReason
from config.records import JsonObject, Message, Spec, ToolCall, Trajectory
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


LINES = [b64encode(random.Random(seed).randbytes(48)).decode() for seed in range(25)]
PRIVATE_KEY = "\n".join(["-----BEGIN PRIVATE KEY-----", *LINES, "-----END PRIVATE KEY-----"])


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {"path": "conf.py"}),  # 60 lines, so that the end is not among them
        ("read_file", {"path": "conf.py", "start": 1, "end": 58}),
        ("read_file", {"path": "conf.py", "start": 57}),
        ("read_file", {"path": "conf.py", "start": 57, "end": 57}),
        ("grep", {"pattern": "^[A-Za-z0-9+/=]{64}$"}),
        ("grep", {"pattern": "BEGIN PRIVATE|^[A-Z]"}),
    ],
)
def test_no_line_of_a_private_key_is_shown(tmp_path: Path, name: str, arguments: JsonObject) -> None:
    """Fails without Tree.masked, which searches the whole file: a result has lines of the key only."""
    (tmp_path / "conf.py").write_text("x = 1\n" * 50 + f'KEY = """\n{PRIVATE_KEY}\n"""\nLAST = 1\n')
    workspace = open_workspace(str(tmp_path), cache=tmp_path.parent / "cache")
    shown = toolset.build(workspace, names=(name,))[name](arguments)
    assert not [line for line in LINES if line in shown]


def test_masked_files_keep_their_lines_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_bytes(
        f'\xff\r\nK = """{PRIVATE_KEY}"""\r\nAPI = "{KEY}"\r\nLAST = 1'.encode("latin-1")
    )
    workspace = open_workspace(str(tmp_path), cache=tmp_path.parent / "cache")
    tools = toolset.build(workspace, names=("read_file", "grep"))
    assert tools["grep"]({"pattern": "LAST"}) == "conf.py:30: LAST = 1"
    assert tools["read_file"]({"path": "conf.py", "start": 27}) == (
        '27: [masked: private-key]\n28: [masked: private-key]"""\n29: API = "[masked: aws-access-token]"\n30: LAST = 1'
    )
    raw = workspace.tree.content("conf.py")
    assert workspace.tree.masked("conf.py", raw).splitlines()[0] == b"\xff"


def test_a_secret_is_neither_found_by_a_search_nor_counted_nor_cut(tmp_path: Path) -> None:
    """Fails without Tree.masked: the count answers guesses of a value, and 230 columns show its beginning."""
    (tmp_path / "a.py").write_text(f"API = '{KEY}'\n{'x' * 230} = '{KEY}'\n")
    workspace = open_workspace(str(tmp_path), cache=tmp_path.parent / "cache")
    tools = toolset.build(workspace, names=("read_file", "grep", "count"))
    assert tools["count"]({"pattern": KEY[:8]}) == "0 matching lines in 0 of 1 file"
    assert tools["grep"]({"pattern": KEY[:8]}) == "no matches in 1 file"
    assert "AKIA" not in tools["read_file"]({"path": "a.py"})


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(PRIVATE_KEY.split("\n")[:6]),
        "\n".join(PRIVATE_KEY.split("\n")[20:]),
        "\n".join(f"{number}: {line}" for number, line in enumerate(PRIVATE_KEY.split("\n")[:6], start=8)),
        "\n".join(f"src/a-b.py:{number}: {line}" for number, line in enumerate(PRIVATE_KEY.split("\n")[:6], start=8)),
        json.dumps(PRIVATE_KEY)[:400],
    ],
)
def test_the_start_and_the_end_of_a_private_key_are_found(text: str) -> None:
    """Fails with gitleaks' rule, which needs both."""
    assert not [line for line in LINES if line[10:50] in mask(text)]


def test_code_between_the_marks_of_a_key_is_left_as_it_is() -> None:
    """Fails with gitleaks' rule, which takes it for a key."""
    code = "B = '-----BEGIN PRIVATE KEY-----'\n" + "def read(text):\n    pass\n" * 9 + "E = '-----END PRIVATE KEY-----'"
    assert mask(code) == code


@pytest.mark.parametrize("name", ["app.py", ".env"])
def test_a_hostile_file_is_searched_in_linear_time(name: str) -> None:
    line = {"app.py": 'password="abc123XYZ9" ', ".env": "password=abc123XYZ9\n"}[name]
    took = []
    for count in (2_000, 8_000):
        started = time.thread_time()
        assert len(find_secrets(line * count)) == count
        took.append(time.thread_time() - started)
    assert took[1] < 10 * took[0] + 0.1


def test_a_run_may_allow_files_and_choose_to_reject(code: Workspace) -> None:
    tools = toolset.build(code, names=("read_file", "grep"), allow_files=(".env",), mask_secrets=False)
    assert tools["read_file"]({"path": ".env"}) == "1: NAME=prod"
    assert KEY in tools["read_file"]({"path": "app.py"})
    assert "server.pem" not in tools["grep"]({"pattern": "NAME"})


@pytest.mark.parametrize(
    "path",
    [
        *(".env", "a/.env.local", "id_rsa", "x/y.PEM", ".aws/credentials", "home/.ssh/config"),
        *(
            ".env_prod",
            ".env~",
            "env.local",
            "prod.env.local",
            "id_rsa.bak",
            "id_rsa_work",
            "id_ed25519.old",
            "id_rsa2",
        ),
        *(
            "deploy_rsa",
            "server.key.bak",
            "a.pem.1",
            "b.p12~",
            ".id_rsa.swp",
            "terraform.tfstate.backup",
            "app.env.old",
        ),
    ],
)
def test_files_for_secrets(path: str) -> None:
    assert is_secret_file(path)
    assert not is_secret_file(path, allowed=["*"])


@pytest.mark.parametrize(
    "path",
    [
        *("env.py", ".env.example", "credentials.py", "key.py", "id_rsa.pub", "secrets/__init__.py"),
        *(
            "app.env.sample",
            "env.d.ts",
            "next-env.d.ts",
            "environment.yaml",
            "rsa.py",
            "test_rsa.py",
            "notes.bak",
            "key.1",
        ),
    ],
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
