"""Base and adapter, or two adapters, compared prompt by prompt."""

import pytest

from config.errors import FailureKind
from config.records import Failure, Trajectory
from config.report.comparison import Flip, Paired, compare, mcnemar
from config.report.outcomes import Outcome, PromptOutcome, base_and_adapter, cut, prompt_hash, shared
from tests.unit.test_score import SOUND, says, trajectory
from worker.evaluate.comparing import outcomes

RIGHT = "Task is defined in `app/base.py`, line 3."
WRONG = "Task is defined in worker/app.py."


def answered(job: str, text: str = RIGHT, **fields: object) -> Trajectory:
    return trajectory((*SOUND[:-1], says(text)), job_id=job, prompt=f"Where is Task ({job})?", **fields)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 5, 0.0625),  # 2 / 2^5: five of five against none of five is not significant
        (0, 6, 0.03125),
        (5, 5, 1.0),
        (1, 9, 22 / 1024),  # 2 (C(10,0) + C(10,1)) / 2^10
        (3, 12, 1152 / 32768),  # 2 (1 + 15 + 105 + 455) / 2^15
        (86, 150, 3.715e-05),  # A. Agresti, Categorical Data Analysis (2002), section 10.1: approval ratings
    ],
)
def test_mcnemar_is_the_exact_binomial_probability(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p, rel=1e-3)
    assert mcnemar(only_second, only_first) == mcnemar(only_first, only_second)


def test_adapter_that_is_right_where_the_base_was_wrong_is_a_gained_prompt() -> None:
    before = [answered("1", WRONG), answered("2"), answered("3", WRONG), answered("4")]
    after = [answered("1"), answered("2", WRONG), answered("3", WRONG), answered("4")]
    made = compare(base_and_adapter(outcomes(before, after)))
    assert made.correct == Paired(both=1, only_first=1, only_second=1, neither=1, p=1.0)
    assert made.grounded_correct == made.correct
    assert made.flipped == (
        Flip(job_id="1", category="general", prompt="Where is Task (1)?", gained=True, first=WRONG, second=RIGHT),
        Flip(job_id="2", category="general", prompt="Where is Task (2)?", gained=False, first=RIGHT, second=WRONG),
    )


def test_right_answer_without_a_look_flips_when_the_adapter_looks() -> None:
    from_memory = trajectory((SOUND[0], says(RIGHT)), job_id="1", prompt="Where is Task (1)?")
    made = compare(base_and_adapter(outcomes([from_memory], [answered("1")])))
    assert made.correct == Paired(both=1, p=1.0)
    assert made.grounded_correct == Paired(only_second=1, p=1.0)
    assert [flip.gained for flip in made.flipped] == [True]


def test_prompt_without_tools_flips_by_correct_and_is_not_in_grounded() -> None:
    def plain(text: str) -> Trajectory:
        return trajectory(
            (SOUND[0], says(text)), job_id="1", requires_tools=False, expect={"contains": ["Paris"]}, category="capital"
        )

    made = compare(base_and_adapter(outcomes([plain("Paris")], [plain("Rome")])))
    assert made.grounded_correct == Paired()
    assert made.correct.only_first == 1
    assert [(flip.category, flip.gained) for flip in made.flipped] == [("capital", False)]


def test_prompt_that_cannot_be_graded_is_in_no_pair() -> None:
    one = [answered("1", expect=None)]
    made = compare(base_and_adapter(outcomes(one, one)))
    assert (made.correct, made.grounded_correct, made.flipped) == (Paired(), Paired(), ())


@pytest.mark.parametrize(
    ("one", "shown"),
    [
        (answered("1", "x" * 400), "x" * 299 + "…"),
        (answered("1", RIGHT, finish_reasons=["tool_calls", "length"]), f"{RIGHT} [cut at the token limit]"),
        (answered("1", " \n"), "[no final text]"),
        (
            trajectory(SOUND[:-1], outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="180 s")),
            "[failed: timeout]",
        ),
    ],
)
def test_answer_shown_is_its_text_or_why_there_is_none(one: Trajectory, shown: str) -> None:
    (made,) = outcomes([one])
    assert made.before is not None
    assert made.before.answer == shown
    assert len(shown) <= 300


def test_pairing_other_prompts_or_repeated_jobs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"different prompts: \['1', '2'\]"):
        outcomes([answered("1")], [answered("2")])
    with pytest.raises(ValueError, match="two trajectories have the job_id '1'"):
        outcomes([answered("1"), answered("1")])


def outcome(job: str, prompt: str, *, correct: bool) -> PromptOutcome:
    right, wrong = Outcome(correct=True, grounded=True, answer="a"), Outcome(correct=False, grounded=False, answer="b")
    return PromptOutcome(
        job_id=job,
        category="c",
        prompt=cut(prompt),
        prompt_hash=prompt_hash(prompt),
        needs_tools=True,
        before=wrong,
        after=right if correct else wrong,
    )


def test_two_adapters_share_prompts_of_the_same_job_and_text() -> None:
    long = "x" * 500
    first = [outcome("1", "p", correct=True), outcome("2", long + "a", correct=True), outcome("3", "q", correct=False)]
    second = [outcome("1", "p", correct=False), outcome("2", long + "b", correct=True), outcome("4", "q", correct=True)]
    found = shared(first, second)
    assert [(pair.prompt.job_id, pair.first.correct, pair.second.correct) for pair in found.pairs] == [
        ("1", True, False)
    ]
    assert (found.only_first, found.only_second) == (2, 2)
