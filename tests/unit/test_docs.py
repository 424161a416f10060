"""The docs cover what the code can report: pauses, failures, rejections, findings. Their links and tests exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import troubleshooting
from config.errors import FailureKind, RejectionReason

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "config" / "deploy" / "README.md"])
TROUBLE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
REASONS = ("trip", "_lose", "_not_served")  # calls that open a worker's circuit breaker, or make its text
RETURNED = ("_disk", "take", "reason")  # functions that return why a worker pauses
RAISED = ("EndpointError", "DeviceError", "DownloadError")  # their text becomes a pause


def anchors(text: str) -> list[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"(?ms)^```.*?^```$", "", text), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page to a file, or to a heading, that does not exist."""
    broken = []
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        name, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page.parent / name if name else page
        known = (
            anchors(text if file == page else file.read_text("utf-8"))
            if file.suffix == ".md" and file.is_file()
            else []
        )
        if not file.exists() or (anchor and anchor not in known):
            broken.append(target)
    return broken


def section(anchor: str) -> str:
    """The text of a section of the page about troubles."""
    parts = re.split(r"(?m)^## ", TROUBLE)
    return next(part for part in parts if anchors(f"# {part.splitlines()[0]}" if part.strip() else "") == [anchor])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    assert broken_links(page, page.read_text(encoding="utf-8")) == []


def test_the_index_links_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(index.read_text("utf-8"))}
    assert [page for page in PAGES if page.is_relative_to(index.parent) and page not in {index, *linked}] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = "# Title\n[a](gone.md) [b](#title) [c](#gone) [d](https://example.com/x.md) `[e](gone.md)`\n"
    page.write_text(text)
    assert broken_links(page, text) == ["gone.md", "#gone"]


def texts(node: ast.expr) -> Iterator[str]:
    """The strings that an expression can be, with X for what is filled in."""
    match node:
        case ast.Constant(value=str() as text) if text:
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts)
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body)
            yield from texts(orelse)


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def written_reasons(file: Path) -> Iterator[str]:
    """The texts in a file with which a circuit breaker is opened: arguments, and what certain functions return."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args and name_of(node) in REASONS + RAISED:
            yield from texts(node.args[0])
        if isinstance(node, ast.FunctionDef) and node.name in RETURNED:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield from texts(inner.value)


def all_reasons() -> list[str]:
    """Every text of worker/endpoint, worker/device and the endpoint's client that can become a pause."""
    files = [
        *(ROOT / "worker" / "endpoint").glob("*.py"),
        *(ROOT / "worker" / "fleet").glob("*.py"),
        ROOT / "worker" / "device" / "device_lock.py",
    ]
    client = (ROOT / "config" / "endpoint" / "client.py").read_text(encoding="utf-8")
    messages = [
        text
        for node in ast.walk(ast.parse(client))
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "message"
        for text in texts(node.value)
    ]
    found = [reason for file in files for reason in written_reasons(file) if not reason.startswith("cancelled")]
    found += messages
    return [reason.replace("answered X", "answered 500") for reason in found]  # a status is a number


@pytest.mark.parametrize("reason", sorted(set(all_reasons())))
def test_every_pause_that_the_code_can_produce_has_a_section(reason: str) -> None:
    found = troubleshooting.pause_section(reason)
    assert found != troubleshooting.PAUSED, f"no section for {reason!r}: add its words to config/troubleshooting.py"
    assert found in anchors(TROUBLE)


def test_the_pauses_are_read_from_the_code() -> None:
    found = all_reasons()
    assert "the model server makes room for X" in found
    assert any("did not respond within" in reason for reason in found)
    assert any("MB free in" in reason for reason in found)
    assert troubleshooting.pause_section("the moon is full") == troubleshooting.PAUSED


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("'http://127.0.0.1:8080/v1/chat/completions' cannot be reached: [Errno 111] Connection refused",
         "endpoint-unreachable"),
        ("'http://127.0.0.1:8080/v1' did not respond within 15 s", "endpoint-wedged"),
        ("the server of 'qwen' is wedged: 'http://127.0.0.1:1/v1' did not respond within 15 s; none", "model-server"),
        ("the hub at https://huggingface.co cannot be reached (timed out): check the network", "model-download"),
        ("downloading mlx-community/Qwen: 3.1 of 17.2 GB", "model-download"),
        ("3 jobs in a row failed although the endpoint is healthy: no answer from the endpoint",
         "jobs-fail-on-a-healthy-endpoint"),
        ("12 MB free in '/data'", "disk"),
        ("paused by a person; `applejack worker resume a@b` lets it go on", "paused-by-a-person"),
        ("paused by a person; `applejack worker resume a` lets it go on; 1 MB free in '/data'", "paused-by-a-person"),
        ("draining: a person lets it end with the work that it holds", "paused-by-a-person"),
        ("the ledger was unavailable when this worker started", "redis"),
    ],
)  # fmt: skip
def test_a_pause_leads_to_its_section(reason: str, expected: str) -> None:
    assert troubleshooting.pause_help(reason) == f"`applejack doctor`; docs/troubleshooting.md#{expected}"


def test_every_section_that_is_linked_exists() -> None:
    linked = {section for _, section in troubleshooting.PAUSES} | set(troubleshooting.FINDINGS.values())
    assert linked | {troubleshooting.PAUSED, troubleshooting.STUDENT} <= set(anchors(TROUBLE))


@pytest.mark.parametrize("kind", FailureKind)
def test_every_failure_has_a_row(kind: FailureKind) -> None:
    assert f"| `{kind}` |" in section("failures")


@pytest.mark.parametrize("reason", RejectionReason)
def test_every_rejection_has_a_row(reason: RejectionReason) -> None:
    assert f"| `{reason}` |" in section("rejections")


def finding_names() -> list[str]:
    """The names of all findings of the doctor, from its code."""
    files = [*(ROOT / "producer" / "doctor").glob("*.py"), *(ROOT / "worker" / "doctor").glob("*.py")]
    names = {
        text
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and name_of(node) == "Diagnosis" and not isinstance(node.args[0], ast.Subscript)
        for text in texts(node.args[0])
    }
    return sorted(names)


@pytest.mark.parametrize("name", finding_names())
def test_every_finding_is_named_in_its_section(name: str) -> None:
    assert f"`{name}`" in section(troubleshooting.finding_section(name))


def test_no_finding_is_mapped_that_the_doctor_does_not_have() -> None:
    assert set(troubleshooting.FINDINGS) - set(finding_names()) == set()


def test_every_test_that_the_guarantees_name_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`", GUARANTEES)
    assert len(named) > 30
    sources = {file: (ROOT / file).read_text("utf-8") if (ROOT / file).is_file() else "" for file, _ in named}
    missing = [f"{file}::{test}" for file, test in named if f"def {test}" not in sources[file] or not sources[file]]
    assert missing == []


def test_every_guarantee_names_a_test() -> None:
    rows = [line for line in GUARANTEES.splitlines() if line.startswith("| ") and "---" not in line]
    bare = [row for row in rows if "`tests/" not in row and not row.startswith("| guarantee")]
    assert bare == []
