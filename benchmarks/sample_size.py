"""How many held-out prompts tell an adapter from its base model: python -m benchmarks.sample_size

Prints the tables of docs/evaluation.md: power of the two-sided exact McNemar test (config/report/comparison.py) at
ALPHA. The answers of the two models to a prompt are taken as independent. Where the adapter keeps what the base model
could do, fewer prompts differ by chance and the test sees more.
"""

import math
from collections.abc import Iterable, Sequence
from functools import cache

from config.report.comparison import mcnemar
from config.report.rows import markdown_table

ALPHA = 0.05
POWER = 0.8
BASES = (0, 10, 50)  # percent right of the base model
GAINS = (10, 20, 30, 50)  # percentage points more of the adapter
SIZES = (12, 24, 40, 60, 100, 200)
NEGLIGIBLE = 1e-12  # a probability that changes no digit of the tables
AHEAD = 10  # the power of an exact test goes up and down with n: it has to be reached for so many n in a row


def power(prompts: int, base: float, adapter: float) -> float:
    """The probability that the test finds the adapter better, given the rates of right answers of both models.

    Sums over the number of prompts that only one model answers rightly, and over those that are the adapter's.
    """
    gained, lost = adapter * (1 - base), base * (1 - adapter)
    differing = gained + lost
    chances = ((number, _binomial(prompts, number, differing)) for number in range(prompts + 1))
    return sum(chance * _found(number, gained / differing) for number, chance in chances if chance > NEGLIGIBLE)


def prompts_needed(base: float, adapter: float) -> int:
    """The fewest prompts with a power of POWER, for AHEAD numbers in a row."""
    enough = 0
    number = 1
    while enough < AHEAD:
        enough = enough + 1 if power(number, base, adapter) >= POWER else 0
        number += 1
    return number - AHEAD


def detectable(prompts: int, base: float) -> int | None:
    """The smallest gain in whole percentage points with a power of POWER; None if not even 100% right has it."""
    most = round(100 * (1 - base))
    return next((gain for gain in range(1, most + 1) if power(prompts, base, base + gain / 100) >= POWER), None)


def tables() -> str:
    """Both tables as Markdown."""
    needed = [
        ("base model right", *(f"+{gain} points" for gain in GAINS)),
        *((f"{base}%", *(str(prompts_needed(base / 100, (base + gain) / 100)) for gain in GAINS)) for base in BASES),
    ]
    smallest = [
        ("held-out prompts", *(f"base model {base}%" for base in BASES)),
        *((str(size), *(_points(detectable(size, base / 100)) for base in BASES)) for size in SIZES),
    ]
    titles = ("Held-out prompts needed to detect a difference:", "Smallest difference that is detected:")
    return "\n\n".join(
        part for title, rows in zip(titles, (needed, smallest), strict=True) for part in (title, _table(rows))
    )


def _table(rows: Iterable[Sequence[str]]) -> str:
    return markdown_table(list(rows))


def _points(gain: int | None) -> str:
    return "none" if gain is None else f"+{gain} points"


@cache
def _found(differing: int, gained: float) -> float:
    """Given that many prompts that differ, each gained with this probability: that the test finds a gain."""
    least = _least_gained(differing)
    return sum(_binomial(differing, number, gained) for number in range(least, differing + 1))


@cache
def _least_gained(differing: int) -> int:
    """The fewest gained of the differing prompts that are significant; more than there are if none is."""
    least = differing + 1
    while least > differing / 2 and mcnemar(differing - least + 1, least - 1) <= ALPHA:
        least -= 1
    return least


def _binomial(trials: int, hits: int, chance: float) -> float:
    if chance in (0.0, 1.0):
        return float(hits == round(trials * chance))
    logs = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return math.exp(logs + hits * math.log(chance) + (trials - hits) * math.log1p(-chance))


if __name__ == "__main__":
    print(tables())
