import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from config.errors import RejectionReason, UsageError
from config.records import Finding, Message, ToolCall, Trajectory, Verdict
from worker.cli.__main__ import COMMANDS
from worker.cli.review import judge, read_rejected, review
from worker.curate.review import BLOCK, Reviewed, write_review

PAGE = Path(__file__).parents[2] / "worker" / "curate" / "review"
EVIL = "</script><script>alert(1)</script><!--data--><!--script--><img src=x onerror=alert(1)>"


def reviewed(number: int, *findings: Finding, text: str = "In cli.py.") -> Reviewed:
    job = f"{number:06d}-aaaa"
    messages = (
        Message(role="user", content=f"question {number}"),
        Message(role="assistant", tool_calls=(ToolCall(id="1", name="grep", arguments={"pattern": text}),)),
        Message(role="tool", tool_call_id="1", content=text),
        Message(role="assistant", content=text),
    )
    trajectory = Trajectory(run_id="r", job_id=job, prompt=f"question {number}", messages=messages, outcome="completed")
    return trajectory, Verdict(job_id=job, findings=findings)


class Page(HTMLParser):
    """Collects the elements of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.data: dict[str, list[object]] = {"block": [], "index": []}
        self._kind: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attrs)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        self._kind = named.get("class") if named.get("type") == "application/gzip" else None

    def handle_data(self, data: str) -> None:
        if self._kind:
            self.data[self._kind].append(json.loads(gzip.decompress(base64.b64decode(data))))
            self._kind = None


def page_of(tmp_path: Path, *pairs: Reviewed, title: str = "a run") -> Page:
    out = tmp_path / "review.html"
    assert write_review(out, iter(pairs), title=title) == len(pairs)
    return Page(out.read_text(encoding="utf-8"))


def test_nothing_in_a_trajectory_or_the_title_can_become_markup(tmp_path: Path) -> None:
    harmless, planted = (page_of(tmp_path, reviewed(1, text=text), title=text) for text in ("fine", EVIL))
    assert planted.tags == harmless.tags
    (block,) = planted.data["block"]
    assert block[0]["messages"][3]["content"] == EVIL  # type: ignore[index]


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    page = page_of(tmp_path, reviewed(1))
    assert page.addresses == []
    assert "link" not in page.tags
    text = (tmp_path / "review.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert "connect-src" not in text  # only the page that a server serves may send marks
    assert "http:" not in text
    assert "https:" not in text


def test_every_trajectory_is_in_its_block_with_its_findings(tmp_path: Path) -> None:
    finding = Finding(reason=RejectionReason.NULL_RESULT, detail="the result of 'grep' is null", message=1, call="1")
    pairs = [reviewed(number, *([finding] if number % 3 == 0 else [])) for number in range(2 * BLOCK + 7)]
    page = page_of(tmp_path, *pairs)
    (index,) = page.data["index"]
    items, details = index["items"], [item for block in page.data["block"] for item in block]  # type: ignore[index,attr-defined]
    assert [len(block) for block in page.data["block"]] == [BLOCK, BLOCK, 7]  # type: ignore[arg-type]
    assert [item["id"] for item in items] == [detail["job_id"] for detail in details] == [t.job_id for t, _ in pairs]
    assert [item["reasons"] for item in items[:4]] == [["null_result"], [], [], ["null_result"]]
    assert items[0]["tools"] == ["grep"]
    assert details[0]["findings"] == [finding.model_dump(mode="json")]


def test_the_same_trajectories_give_the_same_page(tmp_path: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        write_review(tmp_path / name, [reviewed(1)], title="t")
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_the_correct_answers_of_the_manifest_are_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "rejected.jsonl").write_text("")
    (tmp_path / "in.jsonl").write_text(reviewed(1)[0].model_dump_json() + "\n")
    for manifest, shown in (('{"correct": {"count": 3, "of": 4}}', {"count": 3, "of": 4}), ("{}", None), ("{", None)):
        (tmp_path / "dataset.json").write_text(manifest)
        run(tmp_path, "--trajectories", str(tmp_path / "in.jsonl"), "--html", str(tmp_path / "page.html"), "--json")
        (index,) = Page((tmp_path / "page.html").read_text(encoding="utf-8")).data["index"]
        assert index["correct"] == shown  # type: ignore[index]
        assert index["marking"] is None  # type: ignore[index]


def test_a_page_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    out = tmp_path / "review.html"
    out.write_text("old", encoding="utf-8")

    def broken() -> Iterator[Reviewed]:
        yield reviewed(1)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        write_review(out, broken(), title="t")
    assert [file.name for file in tmp_path.iterdir()] == ["review.html"]
    assert out.read_text(encoding="utf-8") == "old"
    with pytest.raises(UsageError, match="cannot be written"):
        write_review(tmp_path / "nowhere" / "review.html", [], title="t")


def test_of_several_with_one_job_id_the_last_are_the_rejected(tmp_path: Path) -> None:
    finding = Finding(reason=RejectionReason.DUPLICATE, detail="repeats itself")
    trajectories = [reviewed(number)[0] for number in (1, 1, 2, 1)]
    numbers = Counter({"000001-aaaa": 3})
    verdicts = [verdict for _, verdict in judge(iter(trajectories), {"000001-aaaa": [(finding,)]}, numbers)]
    assert [verdict.kept for verdict in verdicts] == [True, True, True, False]


def test_review_reads_the_reasons_of_a_dataset(tmp_path: Path) -> None:
    assert COMMANDS["review"] == ("worker.cli.review", "review")
    trajectories = tmp_path / "in.jsonl"
    trajectories.write_text("".join(reviewed(n)[0].model_dump_json() + "\n" for n in range(3)), encoding="utf-8")
    detail = [{"reason": "duplicate", "detail": "repeats 000000-aaaa"}]
    lines = [{"job_id": job, "reasons": ["duplicate"], "detail": detail} for job in ("000002-aaaa", "elsewhere")]
    (tmp_path / "rejected.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    told = run(tmp_path, "--trajectories", str(trajectories), "--html", str(tmp_path / "page.html"), "--json")
    assert {name: told[name] for name in ("kept", "rejected", "not_found")} == {
        "kept": 2,
        "rejected": 1,
        "not_found": 1,
    }
    (index,) = Page((tmp_path / "page.html").read_text(encoding="utf-8")).data["index"]
    assert [item["reasons"] for item in index["items"]] == [[], [], ["duplicate"]]  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no rejected.jsonl"),
        ("{}\n", "rejected.jsonl:1 is not a rejected example"),
        ("\xff\n", "rejected.jsonl:1 is not a rejected example"),
    ],
)
def test_what_is_no_dataset_is_refused(tmp_path: Path, content: str | None, complaint: str) -> None:
    if content is not None:
        (tmp_path / "rejected.jsonl").write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=complaint):
        read_rejected(tmp_path)


def test_files_without_a_trajectory_and_a_directory_for_a_page_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rejected.jsonl").write_text("")
    prompts, sound = tmp_path / "prompts.jsonl", tmp_path / "in.jsonl"
    prompts.write_text('{"prompt": "q"}\n')
    sound.write_text(reviewed(1)[0].model_dump_json() + "\n")
    with pytest.raises(UsageError, match=r"no trajectory .* in '.*prompts\.jsonl': .*:1: neither a trajectory"):
        review(tmp_path, [prompts], tmp_path / "page.html")
    with pytest.raises(UsageError, match=r"the page '\.' is a directory"):
        review(tmp_path, [sound], Path())
    assert not (tmp_path / "page.html").exists()


def test_people_read_stdout_when_no_program_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rejected.jsonl").write_text("")
    (tmp_path / "in.jsonl").write_text(reviewed(1)[0].model_dump_json() + "\n")
    review(tmp_path, [tmp_path / "in.jsonl"], tmp_path / "page.html")
    told = capsys.readouterr()
    assert "1 kept, 0 rejected" in told.out
    assert told.err == ""


def run(*arguments: object) -> dict[str, object]:
    app = typer.Typer()
    app.command()(review)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    told: dict[str, object] = json.loads(result.stdout.splitlines()[-1])
    return told


def test_the_search_fields_words_fit_its_least_width() -> None:
    page, style = ((PAGE / name).read_text(encoding="utf-8") for name in ("page.html", "page.css"))
    words = re.search(r'id="search"[^>]* placeholder="([^"]+)"', page)
    width = re.search(r"^\.search \{[^}]*flex: 1 0 (\d+)px", style, re.MULTILINE)
    assert words
    assert width
    assert len(words[1]) * 8 + 44 <= int(width[1])  # a letter of 14 px text is narrower than 8; 44 is the padding
