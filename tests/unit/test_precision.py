"""Precision and recall of curation from people's marks: the arithmetic, by hand-made cases."""

import pytest

from config.errors import RejectionReason
from config.report.metrics import wilson
from tests.support.marked import example, marked, population
from worker.cli.precision import lines
from worker.curate.review.marks import Mark
from worker.curate.review.precision import estimate_precision, estimate_recall, measure

R = RejectionReason


def test_recall_weighs_each_mark_by_the_examples_it_stands_for() -> None:
    # 10 of 100 kept marked, 8 right: about 80 deserve it. 10 of 400 rejected marked, 1 right: about 40 deserve it.
    cells = {(True, True, True): 8, (True, True, False): 2, (False, False, True): 1, (False, False, False): 9}
    sizes = {True: 100, False: 400}
    kept, recall = estimate_precision(cells, sizes), estimate_recall(cells, sizes)
    assert kept
    assert recall
    assert (kept.count, kept.of, kept.rate) == (8, 10, 0.8)
    assert kept.interval95 == pytest.approx(wilson(8, 10))
    assert (recall.count, recall.of) == (8, 9)
    assert recall.rate == pytest.approx(80 / 120)  # unweighted it would be 8 of 9: 89%
    assert recall.interval95[0] < 0.5 < recall.rate < recall.interval95[1] < 1


def test_recall_equals_the_plain_share_when_everything_is_sampled_at_one_rate() -> None:
    cells = {(True, True, True): 8, (True, True, False): 2, (False, False, True): 2, (False, False, False): 8}
    recall = estimate_recall(cells, {True: 50, False: 50})
    assert recall
    assert recall.rate == pytest.approx(8 / 10)


def test_no_right_one_among_the_rejected_does_not_make_recall_certain() -> None:
    cells = {(True, True, True): 30, (False, False, False): 30}
    few, many = (estimate_recall(cells, {True: 600, False: rejected}) for rejected in (60, 6000))
    assert few
    assert many
    assert few.rate == many.rate == 1.0
    assert few.interval95[1] == many.interval95[1] == 1.0
    assert few.interval95[0] > 0.95  # at most 11% of 60
    assert many.interval95[0] < 0.5  # up to 11% of 6000: more than were kept


def test_marks_of_verdicts_that_changed_keep_the_weight_of_their_sample() -> None:
    # Of 10 marked of 100 kept, 4 wrong ones are rejected now. Of 10 marked of 20 rejected, 2 right ones are kept now.
    cells = {
        (True, True, True): 5, (True, True, False): 1, (True, False, False): 4,
        (False, True, True): 2, (False, False, False): 8,
    }  # fmt: skip
    sizes = {True: 100, False: 20}
    kept = estimate_precision(cells, sizes)
    assert kept
    assert (kept.count, kept.of) == (7, 8)
    assert kept.rate == pytest.approx((50 + 4) / (60 + 4))
    assert kept.interval95[1] - kept.interval95[0] > wilson(7, 8)[1] - wilson(7, 8)[0]  # unequal weights cost precision
    recall = estimate_recall(cells, sizes)
    assert recall
    assert recall.rate == 1.0


@pytest.mark.parametrize(
    ("cells", "precise", "recalled"),
    [
        ({}, False, False),  # no marks
        ({(True, True, True): 5}, True, False),  # nothing rejected is marked
        ({(False, False, False): 5}, False, False),  # nothing kept is marked
        ({(True, True, False): 5, (False, False, False): 5}, True, False),  # nothing is right: recall of nothing
        ({(True, True, False): 5, (False, False, True): 5}, True, True),  # all that is right was rejected: 0%
    ],
)
def test_a_figure_without_marks_for_it_is_missing(
    cells: dict[tuple[bool, bool, bool], int], precise: bool, recalled: bool
) -> None:
    sizes = {True: 50, False: 50}
    kept, recall = estimate_precision(cells, sizes), estimate_recall(cells, sizes)
    assert (kept is not None, recall is not None) == (precise, recalled)
    if recall:
        assert recall.rate == 0
        assert 0 == recall.interval95[0] < recall.interval95[1] < 1


def test_sizes_recorded_with_the_marks_win_over_those_of_today() -> None:
    examples = [*population(2, 2)]
    marks = [marked(one, "right", of=100 if one.kept else 400) for one in examples]
    assert measure(examples, marks).weights == {True: 50.0, False: 200.0}
    assert measure(examples, [marked(one, "right") for one in examples]).weights == {True: 1.0, False: 1.0}


NOT_COUNTED = [
    # the mark, the cause
    (marked(example(1, content="other"), "right"), "changed"),
    (marked(example(77), "right"), "missing"),
    (Mark(job_id="000003-a", mark="right"), "ambiguous"),
    (marked(example(5, None), "right"), "left_out"),
]


@pytest.mark.parametrize(("mark", "cause"), NOT_COUNTED)
def test_marks_that_fit_no_example_are_reported_and_not_counted(mark: Mark, cause: str) -> None:
    examples = [example(1), example(2), example(3), example(3, content="d"), example(4, False), example(5, None)]
    found = measure(examples, [marked(examples[1], "right"), mark])
    assert {name: count for name, count in found.not_counted.items() if count} == {cause: 1}
    assert [one.example for one in found.judged] == [examples[1]]


def test_a_mark_without_a_hash_counts_for_the_only_example_of_its_job() -> None:
    found = measure([example(1), example(2, False)], [Mark(job_id="000001-a", mark="wrong")])
    assert found.precision
    assert (found.precision.count, found.precision.of) == (0, 1)


def test_two_people_are_compared_and_a_tie_is_not_counted() -> None:
    one, two, three = population(2, 1)
    marks = [marked(one, "right"), marked(one, "right", "bob"), marked(two, "right"), marked(two, "wrong", "bob")]
    found = measure([one, two, three], [*marks, marked(three, "wrong")])
    assert found.agreement
    assert (found.agreement.count, found.agreement.of) == (1, 2)
    assert (found.people, found.disputed, len(found.judged)) == (2, 1, 2)
    third = measure([one, two, three], [*marks, marked(two, "wrong", "eve")])  # a third person decides
    assert [judged.right for judged in third.judged] == [True, False]
    changed = measure([one], [Mark(job_id=one.job_id, mark="right", by="ann"), marked(one, "wrong", "ann")])
    assert [judged.right for judged in changed.judged] == [False]  # one person, one judgement: the last one


def test_the_figures_fit_80_columns() -> None:
    examples = population(90, 90)
    marks = [
        marked(one, "right" if one.kept else "wrong", by, of=12345 if one.kept else 98765)
        for one in examples for by in ("ann", "bob")
    ]  # fmt: skip
    shown = lines(measure(examples, [*marks, marked(example(999), "right"), marked(examples[0], "wrong")]))
    assert max(map(len, shown)) <= 80
    assert len(shown) == 7  # with weights, what is not counted and nothing listed
