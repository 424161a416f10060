"""Merging rows into sequences: the loss stays on the same tokens."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from worker.train.sequences import TrainingSequence, grouped, merge, padded

ASKED, CALLED, ANSWERED = [1, 2], [1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7]

ROWS = st.lists(
    st.lists(st.integers(1, 3), min_size=1, max_size=6).flatmap(
        lambda tokens: st.tuples(st.just(tokens), st.integers(0, len(tokens) - 1))
    ),
    max_size=12,
)


def test_the_rows_of_a_conversation_become_one_sequence() -> None:
    rows = [(CALLED, 2), (ANSWERED, 5), ([9, 9, 9], 1)]
    assert merge(rows) == [
        TrainingSequence((1, 2, 3, 4, 5, 6, 7), ((2, 4), (5, 7))),
        TrainingSequence((9, 9, 9), ((1, 3),)),
    ]


def test_equal_rows_stay_apart_and_keep_their_weight() -> None:
    assert len(merge([(CALLED, 2), (CALLED, 2)])) == 2


def test_a_row_joins_only_one_of_two_continuations() -> None:
    merged = merge([(ASKED, 1), ([1, 2, 3], 2), ([1, 2, 4], 2)])
    assert sum(len(sequence.spans) for sequence in merged) == 3
    assert len(merged) == 2


@given(ROWS)
def test_every_row_s_loss_is_kept_once_and_on_its_tokens(rows: list[tuple[list[int], int]]) -> None:
    wanted = Counter((tuple(tokens), (first, len(tokens))) for tokens, first in rows)
    kept = Counter((sequence.tokens[:end], (start, end)) for sequence in merge(rows) for start, end in sequence.spans)
    assert kept == wanted


def test_batches_hold_sequences_of_similar_length_and_leave_none_out() -> None:
    sequences = [TrainingSequence(tuple(range(length)), ((0, length),)) for length in (5, 40, 6, 41, 90)]
    assert [[len(one.tokens) for one in batch] for batch in grouped(sequences, 2)] == [[5, 6], [40, 41], [90]]


def test_the_mask_covers_the_spans_and_no_padding() -> None:
    tokens, mask = padded([TrainingSequence((7, 8, 9), ((1, 2),)), TrainingSequence(tuple(range(40)), ((3, 5),))])
    assert tokens.shape == mask.shape == (2, 49)
    assert tokens[0].tolist() == [7, 8, 9] + [0] * 46
    assert [row.nonzero()[0].tolist() for row in mask] == [[1], [3, 4]]
