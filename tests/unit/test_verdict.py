import pytest
from rich.console import Console

from config.report.comparison import Comparison, Paired
from config.report.metrics import Metrics, Rate, Spread, Targets, Training
from config.report.model import Report
from config.report.verdict import TargetResult, difference, improvement, summary, verdict
from producer.report.lines import format_table

GOOD = Metrics(
    prompts=100,
    tool_calls_per_prompt=Spread(median=1, p90=2),
    seconds_per_prompt=Spread(median=18.2, p90=24),
    final_answer=Rate(count=100, of=100),
    loop=Rate(count=0, of=100),
    runaway=Rate(count=0, of=100),
    invented_turn=Rate(count=0, of=100),
    invented_result=Rate(count=0, of=100),
    real_result_when_needed=Rate(count=80, of=80),
    grounded_correct=Rate(count=72, of=80),
)
TRAINING = Training(iterations=10, peak_memory_gb=3.2, tokens_per_second=100.0, seconds=60.0)


def judge(training: Training | None = TRAINING, **changes: object) -> dict[str, TargetResult]:
    results = verdict(GOOD.model_copy(update=changes), training, Targets())
    return dict(zip(("calls", "reads", "final", "loop", "invention", "memory", "seconds"), results, strict=True))


def test_every_target_is_reached_by_a_good_student() -> None:
    results = judge()
    assert all(result.reached is True and result.sure for result in results.values())
    assert summary(list(results.values())) == "7 of 7 targets reached"


@pytest.mark.parametrize(
    ("target", "changes"),
    [
        ("calls", {"tool_calls_per_prompt": Spread(median=0, p90=1)}),  # never looks
        ("calls", {"tool_calls_per_prompt": Spread(median=3.5, p90=8)}),
        ("reads", {"real_result_when_needed": Rate(count=79, of=80)}),
        ("reads", {"unsupported_claim": Rate(count=9, of=80)}),  # answered all the same after empty results
        ("final", {"final_answer": Rate(count=99, of=100)}),
        ("loop", {"loop": Rate(count=1, of=100)}),
        ("loop", {"runaway": Rate(count=5, of=100)}),
        ("invention", {"invented_turn": Rate(count=1, of=100)}),
        ("invention", {"invented_result": Rate(count=1, of=100)}),
        ("memory", {"training": TRAINING.model_copy(update={"peak_memory_gb": 10.0})}),  # "under" 10 GB
        ("seconds", {"seconds_per_prompt": Spread(median=25.1, p90=30)}),
    ],
)
def test_one_fault_misses_one_target(target: str, changes: dict[str, object]) -> None:
    results = judge(**changes)  # type: ignore[arg-type]
    assert [name for name, result in results.items() if result.reached is not True] == [target]
    assert results[target].reached is False
    assert results[target].sure  # a fault that was seen is certain


def test_faster_than_the_target_is_fine() -> None:
    fast = judge(seconds_per_prompt=Spread(median=2, p90=3))["seconds"]
    assert fast.reached is True
    assert "faster than the target" in fast.sentence


def test_too_few_prompts_are_said() -> None:
    loop = judge(loop=Rate(count=0, of=8), runaway=Rate())["loop"]
    assert (loop.reached, loop.sure) == (True, False)
    assert loop.sentence == (
        "0 of 8 answers looped (0-32%). Too few prompts to be sure: the true rate may be as high as 32%."
    )
    final = judge(final_answer=Rate(count=8, of=8))["final"]
    assert (final.reached, final.sure) == (True, False)
    assert "as low as 68%" in final.sentence
    assert judge(final_answer=Rate(count=35, of=35))["final"].sure
    assert not judge(final_answer=Rate(count=34, of=34))["final"].sure


def test_nothing_measured_is_not_known() -> None:
    results = verdict(None, None, Targets())
    assert {result.reached for result in results} == {None}
    assert summary(results) == "0 of 7 targets reached, 7 not known"
    part = verdict(GOOD.model_copy(update={"loop": Rate()}), None, Targets())
    assert [result.measure for result in part if result.reached is None] == ["peak memory under 10 GB"]


def test_the_more_frequent_of_two_faults_decides() -> None:
    found = judge(invented_turn=Rate(count=0, of=100), invented_result=Rate(count=4, of=90))["invention"]
    assert found.figure == "4%"
    assert "0 of 100 answers invented a turn" in found.sentence
    assert "4 of 90 answers invented a result" in found.sentence


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([(False, True)] * 27 + [(False, False)] * 3, "the improvement is significant"),
        ([(True, False)] * 9, "the decline is significant"),
        ([(False, True)] * 5, "no difference is shown"),  # 5 against 0 is p = 0.06
        ([(True, True)] * 5, "no difference to test"),
        ([], ""),
    ],
)
def test_the_paired_test_is_told_in_words(outcomes: list[tuple[bool, bool]], words: str) -> None:
    told = difference(Paired.of(outcomes))
    assert words in told
    assert bool(told) == bool(words)


def test_the_written_report_starts_with_the_verdict() -> None:
    written = Report(run_id="night-1", student="s", after=GOOD, training=TRAINING, identity="x").markdown()
    assert written.startswith("# night-1\n\n| target | reached | measured |\n| --- | --- | --- |\n| 1-3 calls | yes | ")
    assert "\n7 of 7 targets reached.\n" in written


def test_improvement_names_both_models_and_the_test() -> None:
    before = GOOD.model_copy(update={"grounded_correct": Rate(count=0, of=30)})
    after = GOOD.model_copy(update={"grounded_correct": Rate(count=27, of=30)})
    paired = Paired.of([(False, True)] * 27 + [(False, False)] * 3)
    told = improvement(before, after, Comparison(grounded_correct=paired))
    assert "the base model 0 of 30 (0-11%), the adapter 27 of 30 (74-97%)" in told
    assert "McNemar p < 0.001" in told
    assert improvement(Metrics(prompts=1), None, None) == ""


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_verdict_comes_first_and_fits_the_terminal(width: int) -> None:
    few = GOOD.model_copy(update={"loop": Rate(count=0, of=8), "runaway": Rate()})
    report = Report(run_id="night-1", student="s", before=GOOD, after=few, identity="x").model_copy(
        update={"training": TRAINING}
    )
    console = Console(width=width, force_terminal=False, soft_wrap=True)
    with console.capture() as capture:
        console.print(format_table(report))
    text = capture.get()
    assert text.startswith("Verdict on night-1, with the adapter")
    verdict_part = text[: text.index("\nnight-1")]
    assert max(map(len, text.splitlines())) <= width
    assert "yes?" in verdict_part
    assert "7 of 7 targets reached, 1 of them on too few prompts to be sure." in " ".join(verdict_part.split())
