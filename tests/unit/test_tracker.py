import json
from pathlib import Path

import pytest
from markdown_it import MarkdownIt  # comes with rich

from config.errors import UsageError
from config.records import JsonObject
from config.report.metrics import Metrics, Rate, Spread, Training
from config.report.model import Report
from config.report.outcomes import Outcome, PromptOutcome, prompt_hash
from producer.report.tracker.changes import changed_settings, difference_interval, shifts
from producer.report.tracker.document import BEGIN, END, ROW, add_row, read
from producer.report.tracker.row import TrackerRow, flatten, tracker_row


def row(
    run_id: str = "night-1",
    *,
    right: int = 27,
    of: int = 30,
    date: str = "2026-11-20 08:00",
    adapter: str = "aaaaaaaaaaaa",
    looping: int = 0,
    prompts: bool = True,
    offset: int = 0,
    **settings: str,
) -> TrackerRow:
    """A row of `of` prompts, the first `right` of them answered rightly; their numbers start at `offset`."""
    asked = tuple(
        PromptOutcome(
            job_id=f"{n + offset:06d}-aaaaaaaa",
            category="c",
            prompt=f"q{n + offset}",
            prompt_hash=prompt_hash(f"q{n + offset}"),
            needs_tools=True,
            after=Outcome(correct=n < right, grounded=n < right, answer="a"),
        )
        for n in range(of)
    )
    metrics = Metrics(
        prompts=of,
        grounded_correct=Rate(count=right, of=of),
        correct=Rate(count=right, of=of),
        loop=Rate(count=looping, of=of),
        final_answer=Rate(count=of, of=of),
        tool_calls_per_prompt=Spread(median=1, p90=2),
    )
    training = Training(rows=207, iterations=110, peak_memory_gb=3.21, tokens_per_second=9.0, seconds=9.0)
    report = Report(
        run_id=run_id,
        student="org/student",
        revision="7e27bd9f95328f0f3b08261d1252705110c806f8",
        after=metrics,
        training=training,
        identity="x",
        outcomes=asked if prompts else (),
    )
    return tracker_row(report, date=date, adapter=adapter, settings={"dataset": "9f2c41d0", **settings})


def table(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line.startswith("| 2026")]


def test_a_row_holds_what_was_trained_and_how_it_scored(tmp_path: Path) -> None:
    file = tmp_path / "TRACKER.md"
    add_row(file, row())
    [line] = table(file)
    for cell in (
        "night-1 (aaaaaaaa)",
        "org/student@7e27bd9f",
        "9f2c41d0",
        "207",
        "110",
        "27 of 30 (74-97%)",
        "3.21 GB",
    ):
        assert f" {cell} |" in line
    assert read(file).rows == (row(),)


def test_the_same_run_again_replaces_its_row(tmp_path: Path) -> None:
    file = tmp_path / "TRACKER.md"
    add_row(file, row())
    add_row(file, row("night-2", date="2026-11-21 08:00", adapter="b"))
    once = file.read_bytes()
    add_row(file, row())
    add_row(file, row("night-2", date="2026-11-21 08:00", adapter="b"))
    assert file.read_bytes() == once
    add_row(file, row(right=20))
    assert len(table(file)) == 2
    assert "20 of 30" in table(file)[0]
    add_row(file, row(adapter="cccccccc", date="2026-11-22 08:00"))  # another adapter of the same run
    assert [line.split(" | ")[1] for line in table(file)] == ["night-1 (aaaaaaaa)", "night-2 (b)", "night-1 (cccccccc)"]


def test_hand_written_text_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "TRACKER.md"
    add_row(file, row())
    mine = file.read_text().replace("# Model performance\n", "# Ours\n\nSee *notes*.\n") + "\n## Notes\n\n| a | b |\n"
    file.write_text(mine)
    add_row(file, row("night-2", date="2026-11-21 08:00", adapter="b"))
    text = file.read_text()
    assert text.startswith("# Ours\n\nSee *notes*.\n")
    assert text.endswith(f"{END}\n\n## Notes\n\n| a | b |\n")
    assert len(table(file)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# My notes\n", "is not a tracker"),
        (b"\xff\xfe", "not UTF-8"),
        (f"{BEGIN}\n".encode(), "one pair of the markers"),
        (f"{END}\n{BEGIN}\n".encode(), "one pair of the markers"),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n".encode(), "one pair of the markers"),
        (f"x\n{BEGIN}\n{ROW}{{}} -->\n{END}\n".encode(), "line 3 of .* is not a row of a tracker"),
        (f"{BEGIN}\n{ROW}nonsense -->\n{END}\n".encode(), "line 2 of .* is not a row"),
    ],
)
def test_a_file_that_is_not_a_tracker_is_refused_unchanged(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "NOTES.md"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message) as raised:
        add_row(file, row())
    assert "\n" not in str(raised.value)
    assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        add_row(tmp_path, row())
    with pytest.raises(UsageError, match="cannot be written"):
        add_row(tmp_path / "missing" / "T.md", row())


def test_an_empty_file_becomes_a_tracker_and_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.md").touch()
    link = tmp_path / "T.md"
    link.symlink_to("real.md")
    add_row(link, row())
    assert link.is_symlink()
    assert len(table(tmp_path / "real.md")) == 1


def test_markup_in_a_value_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "T.md"
    hostile = f"a | b --> {END} <script>alert(1)</script>\n| x | [l](http://x) `c`"
    add_row(file, row().model_copy(update={"student": hostile}))
    add_row(file, row("night-2", date="2026-11-21 08:00").model_copy(update={"student": "plain"}))
    text = file.read_text()
    assert "<script" not in text
    assert text.count(END) == 1
    assert read(file).rows[0].student == hostile
    shown = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<script" not in shown
    assert "<a " not in shown
    assert "<code>c" not in shown
    assert shown.count("<td>") == 2 * shown.count("<th>") == 28


def test_what_changed_is_named(tmp_path: Path) -> None:
    old = row(learning_rate="1e-4", gone="x")
    new = row("night-2", date="2026-11-21 08:00", learning_rate="2e-4", added="y")
    changes = changed_settings(old, new)
    assert changes == ["learning_rate: 1e-4 -> 2e-4", "added: none -> y", "gone: x -> none"]
    file = tmp_path / "T.md"
    add_row(file, old)
    add_row(file, new)
    assert "- changed: learning_rate: 1e-4 -> 2e-4\n" in file.read_text()
    add_row(file, row("night-3", date="2026-11-22 08:00", learning_rate="2e-4", added="y"))
    assert "- changed: nothing that is recorded\n" in file.read_text()


def test_other_prompts_are_a_change() -> None:
    [change] = changed_settings(row(), row(offset=5))
    assert change.startswith("prompts: 30 (")


def test_a_significant_drop_on_shared_prompts_is_a_regression() -> None:
    [shift] = shifts(row(right=27), row(right=15))
    assert (shift.worse, shift.significant) == (True, True)
    assert shift.sentence == (
        "REGRESSION: right answers on the 30 prompts of both rows: 0 gained, 12 lost (McNemar p < 0.001)"
    )


def test_a_drop_that_is_not_significant_is_called_so() -> None:
    [shift] = shifts(row(right=27), row(right=24))
    assert (shift.worse, shift.significant) == (True, False)
    assert shift.sentence == (
        "lower, perhaps by chance: right answers on the 30 prompts of both rows: 0 gained, 3 lost "
        "(McNemar p = 0.25, not significant)"
    )


def test_without_shared_prompts_rates_are_compared_as_independent() -> None:
    for later in (row(right=10, prompts=False), row(right=10, offset=100)):
        found = [shift for shift in shifts(row(right=27), later) if shift.worse]
        assert [shift.significant for shift in found] == [True, True]
        assert "27 of 30 -> 10 of 30" in found[0].sentence
        assert "not paired" in found[0].sentence
    [first, _] = shifts(row(right=27), row(right=26, prompts=False))
    assert not first.significant
    assert "not significant" in first.sentence


def test_more_loops_are_a_regression_and_fewer_an_improvement() -> None:
    [worse] = shifts(row(looping=0), row(looping=9))
    assert worse.sentence.startswith("REGRESSION: loops: 0 of 30 -> 9 of 30")
    [better] = shifts(row(looping=9), row(looping=0))
    assert better.sentence.startswith("improvement: loops")
    assert shifts(row(), row()) == []


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, table II, 56/70 - 48/80: 0.0524 to 0.3339
    interval = difference_interval(Rate(count=48, of=80), Rate(count=56, of=70))
    assert interval == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert difference_interval(Rate(), Rate(count=1, of=2)) is None


def test_an_unfinished_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "T.md"
    add_row(file, row())
    old = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        add_row(file, row("night-2"))
    assert file.read_bytes() == old
    assert list(tmp_path.iterdir()) == [file]


def test_nested_settings_are_flat_text() -> None:
    nested: JsonObject = {"lora_parameters": {"rank": 8, "scale": 20.0}, "optimizer": "adamw", "iters": None}
    assert flatten(nested) == {
        "lora_parameters.rank": "8",
        "lora_parameters.scale": "20.0",
        "optimizer": "adamw",
        "iters": "null",
    }


def test_a_stored_row_is_one_line_of_json(tmp_path: Path) -> None:
    file = tmp_path / "T.md"
    add_row(file, row(note="two\nlines\u2028and more --> here"))
    [stored] = [line for line in file.read_text().split("\n") if line.startswith(ROW)]
    body = stored.removeprefix(ROW).removesuffix(" -->")
    assert "--" not in body
    assert json.loads(body)["settings"]["note"] == "two\nlines\u2028and more --> here"
