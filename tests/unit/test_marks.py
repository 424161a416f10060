"""What people may mark, and the file of their marks."""

from collections import Counter
from pathlib import Path

import pytest

from config.errors import RejectionReason
from config.records import Finding, Verdict
from tests.support.marked import example, marked, population
from tests.support.trajectories import looked_up
from worker.curate.review.desk import draw
from worker.curate.review.examples import judgement
from worker.curate.review.marks import Mark, content_hash, read_marks, save_mark

R = RejectionReason


VERDICTS = [
    # reasons, whether curation judged the content
    ((), True),
    ((R.NULL_RESULT,), False),
    ((R.DUPLICATE,), None),
    ((R.OVER_LENGTH, R.SAMPLED_OUT), None),
    ((R.DUPLICATE, R.WRONG_ANSWER), False),
    ((R.FAILED_GENERATION, R.NULL_RESULT), None),  # no answer to judge
    ((R.REPLAY_MISMATCH,), False),
]


@pytest.mark.parametrize(("reasons", "judged"), VERDICTS)
def test_what_was_left_out_for_the_set_is_not_a_judgement(reasons: tuple[R, ...], judged: bool | None) -> None:
    verdict = Verdict(job_id="j", findings=tuple(Finding(reason=reason, detail="d") for reason in reasons))
    assert judgement(verdict) is judged


def test_a_sample_is_half_kept_half_rejected_in_an_order_of_the_seed() -> None:
    examples = [*population(100, 30), example(500, None)]
    sample = draw(examples, sample=40, seed=1)
    assert Counter(one.kept for one in sample) == {True: 20, False: 20}
    assert sample == draw(reversed(examples), sample=40, seed=1) != draw(examples, sample=40, seed=2)
    assert set(sample) < set(draw(examples, sample=50, seed=1))
    assert Counter(one.kept for one in draw(examples, sample=100, seed=1)) == {
        True: 70,
        False: 30,
    }  # 30 is all there is
    assert len(draw(examples, sample=1000, seed=1)) == 130


def test_the_rarer_side_is_not_shown_last() -> None:
    sample = draw(population(50, 950), sample=40, seed=0)
    assert 5 <= sum(bool(one.kept) for one in sample[:20]) <= 15  # 10 on average; the order gives no verdict away


def test_a_content_hash_changes_with_the_conversation_and_with_nothing_else() -> None:
    one = looked_up(1)
    same = one.model_copy(
        update={"run_id": "other", "attempt": 3, "seconds": 9.0, "system_prompt": "x", "expect": {"any": ["a"]}}
    )
    assert content_hash(one) == content_hash(same) != content_hash(looked_up(1, messages=looked_up(1).messages[:2]))


def test_a_saved_mark_replaces_the_persons_earlier_one_and_leaves_other_lines(tmp_path: Path) -> None:
    file, one = tmp_path / "ds.marks.jsonl", example(1)
    by_hand = '{"job_id":"000009-a",  "mark":"right", "mine": [1]}'
    file.write_text(by_hand + "\n")
    for mark in (marked(one, "right"), marked(one, "wrong", "bob"), marked(one, "wrong", note="ü")):
        save_mark(file, mark)
    assert file.read_text(encoding="utf-8").splitlines()[0] == by_hand
    assert [(m.by, m.mark, m.note) for m in read_marks(file)[1:]] == [("bob", "wrong", ""), ("ann", "wrong", "ü")]
    save_mark(file, Mark(job_id=one.job_id, content=one.content, by="ann", mark=None))
    assert [m.by for m in read_marks(file)] == ["unknown", "bob"]
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_the_hash_of_a_version_is_the_hash_of_the_next() -> None:
    assert content_hash(looked_up(1)) == "80bda89db5c62cc0"  # another value would disown every mark made before
