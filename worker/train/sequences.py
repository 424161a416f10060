"""The token sequences of a training. A conversation is one sequence, although its dataset has a row per assistant turn.

In `turns`, each row of a conversation begins with the tokens of the rows before it. Trained row by row, the same tokens
would be computed again for every turn. Merged, they are computed once, and the loss is on the same tokens.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

PAD_TO: Final = 16  # tokens; few shapes occur then, each of which is compiled; mlx_lm's 32 computes more padding

Span = tuple[int, int]
"""first token, and the token after the last"""


@dataclass(frozen=True)
class TrainingSequence:
    """The tokens of one or more rows, and those of them that the loss is on."""

    tokens: tuple[int, ...]
    spans: tuple[Span, ...]


def merge(rows: Iterable[tuple[Sequence[int], int]]) -> list[TrainingSequence]:
    """Merge rows, (tokens, first token of the loss), into the row that continues them; equal rows stay apart.

    The sequences are in the order of their longest rows.
    """
    given = [(tuple(tokens), (first, len(tokens))) for tokens, first in rows]
    spans: dict[int, list[Span]] = {}
    longest = -1
    for number in sorted(range(len(given)), key=lambda number: given[number][0], reverse=True):
        tokens, span = given[number]  # sorted downwards, a row comes after those that continue it
        if longest >= 0 and given[longest][0][: len(tokens)] == tokens and span not in spans[longest]:
            spans[longest].append(span)
        else:
            longest = number
            spans[number] = [span]
    return [TrainingSequence(given[number][0], tuple(sorted(spans[number]))) for number in sorted(spans)]


def grouped(sequences: Sequence[TrainingSequence], batch_size: int) -> list[list[TrainingSequence]]:
    """The batches of one epoch, from the shortest sequences to the longest; the last one may be smaller."""
    ordered = sorted(sequences, key=lambda sequence: len(sequence.tokens))
    return [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]


def padded(batch: Sequence[TrainingSequence]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and loss mask of a batch, each of shape (sequences, length), padded with zeros."""
    width = 1 + PAD_TO * -(-max(len(sequence.tokens) for sequence in batch) // PAD_TO)
    tokens, mask = np.zeros((len(batch), width), np.int32), np.zeros((len(batch), width), np.float32)
    for row, sequence in enumerate(batch):
        tokens[row, : len(sequence.tokens)] = sequence.tokens
        for start, end in sequence.spans:
            mask[row, start:end] = 1
    return tokens, mask
