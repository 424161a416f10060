import re
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from config.errors import UsageError
from config.records import Adapter, TrainProgress
from config.report.comparison import Comparison, Paired
from config.report.metrics import ClusteredRate, Fraction, Metrics, Rate, Sampled, Spread
from config.report.model import Report
from config.report.rows import lines
from config.report.unseen import Unseen
from producer.report.lines import SHORT, compare, flips, format_table, html, paired_table
from tests.support.rich_report import rich_report

ADAPTER = Adapter(
    path="adapter",
    student="student",
    dataset_hash="0",
    iterations=20,
    losses=(
        TrainProgress(iteration=1, iterations=20, valid_loss=2.5),
        TrainProgress(iteration=10, iterations=20, train_loss=1.25, peak_memory_gb=2.0),
        TrainProgress(iteration=20, iterations=20, train_loss=0.5),
        TrainProgress(iteration=20, iterations=20, valid_loss=0.75),
    ),
    peak_memory_gb=11.5,
    tokens_per_second=150.0,
    seconds=90.0,
)


def metrics(*, looping: int, calling: int) -> Metrics:
    return Metrics(
        prompts=10,
        tool_calls_per_prompt=Spread(median=2, p90=4),
        seconds_per_prompt=Spread(median=3.25, p90=9),
        loop=Rate(count=looping, of=10),
        tool_when_needed=Rate(count=calling, of=10),
        failures={"timeout": 1},
    )


def report(run_id: str = "night-1") -> Report:
    before, after = metrics(looping=3, calling=0), metrics(looping=0, calling=9)
    untrained = Report(
        run_id=run_id, student="student", adapter="adapter", before=before, after=after, identity="the identity check"
    )
    return untrained.with_training(ADAPTER)


def as_text(renderable: RenderableType, width: int = 200) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def row(text: str, measure: str) -> str:
    return next(line for line in text.splitlines() if measure in line)


def test_the_report_counts_the_teachers_right_answers() -> None:
    graded = report().with_training(ADAPTER, correct=Fraction(count=66, of=167))
    stated = "The teacher's answers: correct: 66 of 167"
    assert stated in as_text(format_table(graded))
    assert stated in graded.markdown()
    assert stated in html(graded).replace("&#x27;", "'")
    assert "correct: " not in report().markdown()


def test_report_survives_writing_and_reading(tmp_path: Path) -> None:
    file = report().write(tmp_path / "out")
    assert Report.read(file) == Report.read(tmp_path / "out") == report()
    assert "| tool loops | 0% | 30% (3 of 10; 95%: 11%-60%) (not reached) |" in (tmp_path / "out/report.md").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.json", "report.md"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no report at"),
        ("{", "is not a report: "),
        ('{"run_id": "r"}', "student"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_error_for_an_unreadable_report_is_one_line(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "report.json").write_text(content, errors="surrogateescape")
    with pytest.raises(UsageError, match=message) as raised:
        Report.read(tmp_path)
    assert "\n" not in str(raised.value)


def test_table_shows_scores_beside_the_targets() -> None:
    text = as_text(format_table(report()))
    assert "30% (3 of 10; 95%: 11%-60%) ✗" in row(text, "tool loops")
    assert "0% (0 of 10; 95%: 0%-28%) ✓" in row(text, "tool loops")
    assert "under 10 GB" in row(text, "training: peak memory")
    assert "11.50 GB ✗" in row(text, "training: peak memory")
    assert "1.250 to 0.500" in row(text, "loss, first to last")
    assert "2.500 to 0.750" in row(text, "validation loss")
    assert "3.2 (9)" in row(text, "seconds per prompt")  # faster than the target is not a miss
    assert "✗" not in row(text, "seconds per prompt")
    assert "the identity check" in text


def test_an_empty_count_is_shown_as_a_dash() -> None:
    assert "%" not in row(as_text(format_table(report())), "correct answers ")
    measures = {
        line.measure: line.values
        for line in lines((None, metrics(looping=0, calling=0)), (None, None), report().targets)
    }
    assert [value.text for value in measures["tool loops"]] == ["-", "0% (0 of 10; 95%: 0%-28%)"]
    assert "training: iterations" not in measures


def test_compare_shows_two_runs_side_by_side() -> None:
    text = as_text(compare(report("one"), report("two")))
    assert row(text, "tool loops").count("0% (0 of 10; 95%: 0%-28%) ✓") == 2
    assert row(text, "peak memory").count("11.50 GB") == 2


def test_narrow_tables_fit_80_columns() -> None:
    for shown in (format_table(report()), compare(report("one"), report("two"))):
        text = as_text(shown, width=80)
        assert max(map(len, text.splitlines())) <= 80
        assert "0 of 10 (0-28%) ✓" in row(text, "tool loops")


def test_base_alone_is_compared_as_base() -> None:
    base = report("one").model_copy(update={"after": None})
    text = as_text(compare(base, report("two")))
    assert "one (base)" in text
    assert row(text, "tool loops").count("30% (3 of 10; 95%: 11%-60%) ✗") == 1


def paired_report() -> Report:
    pairs = Paired(both=1, only_first=0, only_second=5, neither=6, p=0.0625)
    return report().model_copy(update={"comparison": Comparison(correct=pairs, grounded_correct=pairs)})


def test_paired_outcomes_are_in_the_table_and_in_markdown() -> None:
    assert re.search(
        r"correct from a real result +│? *1 +│? *0 +│? *5 +│? *6 +│? *0.062", as_text(format_table(paired_report()))
    )
    assert "| correct from a real result | 1 | 0 | 5 | 6 | 0.062 |" in paired_report().markdown()
    assert "McNemar" not in report().markdown()


@pytest.mark.parametrize(
    ("cut", "warned"),
    [
        (5, False),  # 5% may be
        (6, True),
        (0, False),
    ],
)
def test_more_than_one_cut_answer_in_twenty_is_a_warning(cut: int, warned: bool) -> None:
    base = metrics(looping=0, calling=0).model_copy(update={"cut": Rate(count=cut, of=100)})
    made = report().model_copy(update={"before": base, "max_tokens": 96})
    line = f"{cut} of 100 answers of the base model were cut at 96 tokens"
    for text in (" ".join(made.warnings), as_text(format_table(made)), made.markdown()):
        assert (line in text) == warned
        assert ("--evaluate-tokens" in text) == warned


def test_answers_that_were_too_late_are_a_warning() -> None:
    base = metrics(looping=0, calling=0).model_copy(update={"prompts": 20, "failures": {"timeout": 1}})
    few = report().model_copy(update={"before": base, "after": base, "concurrency": 16})
    assert few.warnings == ()
    wedged = base.model_copy(update={"failures": {"timeout": 1, "endpoint_wedged": 1, "request_limit": 9}})
    assert few.model_copy(update={"after": wedged}).warnings == (
        "2 of 20 answers of the adapter were too late, so that right answers may have been lost; have fewer than 16 "
        "prompts in flight with --evaluate-concurrency",
    )


def test_samples_have_rows_only_where_there_are_any() -> None:
    rate = ClusteredRate(mean=0.5, standard_error=0.1, interval95=(0.3, 0.7), prompts=10, answers=40)
    some = Sampled(temperature=0.6, source="generation_config.json", samples=4, grounded_correct=rate)
    made = report().model_copy(update={"after": metrics(looping=0, calling=9).model_copy(update={"sampled": some})})
    assert "4 at temperature 0.6" in row(as_text(format_table(made)), "samples of each answer")
    assert "50% (of 40; 95%: 30%-70%)" in row(
        as_text(format_table(made)), "sampled: correct answers from a real result"
    )
    assert "50% (30-70%)" in as_text(format_table(made), width=80)
    assert "sampled" not in as_text(format_table(report()))


def test_brackets_in_names_are_not_markup() -> None:
    bracketed = report().model_copy(update={"student": "[bold]x[/bold]", "run_id": "[red]y"})
    assert "[bold]x[/bold]" in as_text(format_table(bracketed))
    assert "[red]y" in as_text(format_table(bracketed))


def test_page_is_self_contained_and_escapes_values() -> None:
    page = html(report("<script>alert(1)</script>"))
    assert "<script" not in page
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count("<path class=") == 2  # training and validation


def test_page_without_training_has_no_chart() -> None:
    page = html(Report(run_id="r", student="s", before=metrics(looping=0, calling=1), identity="base only"))
    assert "<svg" not in page
    assert "base only" in page


def test_terminal_and_markdown_show_unseen_code_the_checkpoint_and_notes() -> None:
    full = rich_report()
    for text in (as_text(format_table(full)), full.markdown()):
        assert "never saw: package:kombu@5.7.0" in text
        assert "iteration 80 answered 9 of 16 questions" in text
        assert "The system prompt differs" in text
    skipped = report().model_copy(update={"unseen": Unseen.skipped("package:x@1", "x is not installed")})
    assert "No question was asked: x is not installed" in as_text(format_table(skipped))
    assert "Not asked: x is not installed" in skipped.markdown()


rich = cache(rich_report)  # scoring its conversations takes a second
LONG = "night-2026-11-26-with-the-second-mac"


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_report_and_comparison_are_whole_at_every_width(width: int) -> None:
    one, two = rich(), rich().model_copy(update={"run_id": LONG})
    assert one.comparison is not None
    names = (one.run_id, LONG)
    parts = (format_table(one), compare(one, two), paired_table(one.comparison, names), flips(one.comparison, names))
    for part in parts:
        text = as_text(part, width)
        assert max(map(len, text.splitlines())) <= width
    report_text, compared, paired, flipped = (" ".join(as_text(part, width).split()) for part in parts)
    assert "7e27bd9f95328f0f3b08261d1252705110c806f8" in report_text
    assert "give more with --evaluate-tokens" in report_text
    assert all(result.sentence in report_text for result in one.verdict) or width >= 100  # there in cells of a table
    assert LONG in compared.replace("and ", "") or width >= 100
    assert "neither" in paired
    for flip in one.comparison.flipped[:10]:
        assert flip.job_id in flipped
        assert flip.prompt in flipped
    assert "second: The function drain_consumer is defined in common.py." in flipped


@pytest.mark.parametrize("width", [60, 80])
def test_targets_stand_beside_the_values_of_a_narrow_report(width: int) -> None:
    text = as_text(format_table(rich()), width)
    value = r"63 of 68 \(84-97%\) ✗" if width == 80 else "63/68 84-97% ✗"
    target = " +100% " if width == 80 else r" \(100%\) "
    assert re.search(rf"^final answer{target} *68.* ✓ +{value}$", text, re.MULTILINE)
    assert re.search(r"^peak memory +\(?<10 GB\)? +- +3.21 GB ✓$", text, re.MULTILINE)


def test_every_short_measure_is_a_row_of_a_report() -> None:
    sampled = Sampled(temperature=0.6, source="x", samples=4)
    some = metrics(looping=0, calling=9).model_copy(update={"sampled": sampled})
    rows = lines((some, some), (report().training, report().training), report().targets)
    assert set(SHORT) <= {line.measure for line in rows}
    assert max(map(len, (SHORT.get(line.measure, line.measure) for line in rows))) <= 25


def test_a_value_too_wide_for_its_column_is_text_below_the_table() -> None:
    many = {"tool_retries_exceeded": 3, "endpoint_unreachable": 11, "malformed_tool_call": 1}
    made = report().model_copy(update={"after": metrics(looping=0, calling=9).model_copy(update={"failures": many})})
    text = as_text(format_table(made), 60)
    assert max(map(len, text.splitlines())) <= 60
    assert (
        "did not complete: before timeout 1; after tool_retries_exceeded 3, endpoint_unreachable 11, "
        "malformed_tool_call 1" in " ".join(text.split())
    )
