"""The check for answers that assert what no result holds."""

from collections.abc import Iterator

from config.records import Finding, Trajectory


def fabricated_result(trajectory: Trajectory) -> Iterator[Finding]:
    """Stub until the rules are in."""
    yield from ()
