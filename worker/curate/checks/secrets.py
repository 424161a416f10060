"""Check for secrets in any text of a trajectory. Results of the run's own tools have none: capture masks them."""

from collections.abc import Iterator

from config.errors import RejectionReason
from config.records import Finding, Trajectory
from worker.curate.checks.markup import texts
from worker.secrets import find_secrets


def leaked_secret(trajectory: Trajectory) -> Iterator[Finding]:
    """The kind and the place of each text's first secret; never its value."""
    for index, where, text in texts(trajectory):
        for secret in find_secrets(text)[:1]:
            line = text.count("\n", 0, secret.start) + 1
            detail = f"{secret.rule} in {where}, line {line}"
            yield Finding(reason=RejectionReason.LEAKED_SECRET, detail=detail, message=index)
