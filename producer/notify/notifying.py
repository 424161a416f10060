"""`--notify` of a command: its targets, and a block during which notices are sent."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from config.errors import UsageError
from config.ledger import Ledger
from config.settings import Settings
from config.terminal import say
from producer.notify.events import Rules
from producer.notify.targets import Target, parse_targets
from producer.notify.watcher import Notifier


def rules_of(settings: Settings) -> Rules:
    """The rules with the user's thresholds."""
    minutes = settings.notify_stall_minutes
    return Rules(stall=minutes * 60 if minutes else None, failure_share=settings.notify_failure_share)


def to_stderr(line: str) -> None:
    """Print a line of the notifier, which may come at any time."""
    say(f"applejack: {line}", file=sys.stderr)
    sys.stderr.flush()


@contextmanager
def notifying(
    ledger: Ledger,
    settings: Settings,
    targets: Sequence[Target],
    *,
    run_id: str | None = None,
    wait: bool = True,
    tell: Callable[[str], None] = to_stderr,
) -> Iterator[None]:
    """Send notices of a run, or of all runs, to the targets while the block runs; nothing without targets.

    `wait`: at the end, look once more and deliver what is new.
    """
    if not targets:
        yield
        return
    notifier = Notifier(ledger, targets, run_id=run_id, rules=rules_of(settings), tell=tell)
    notifier.start()
    try:
        yield
    except BaseException:  # Ctrl-C too: nobody waits for a webhook then
        notifier.close(wait=False)
        raise
    notifier.close(wait=wait)


def watch_targets(
    given: Sequence[str] | None, settings: Settings, option: str, *, watching: bool
) -> tuple[Target, ...]:
    """The same, for a command that watches with an option only. UsageError for --notify without it."""
    if given and not watching:
        raise UsageError(
            f"--notify needs {option}: add it, or start `applejack up --notify ...`, which watches all runs"
        )
    return targets_of(given, settings) if watching else ()


def targets_of(given: Sequence[str] | None, settings: Settings) -> tuple[Target, ...]:
    """The targets of --notify, else of $APPLEJACK_NOTIFY. UsageError if one is not usable."""
    return parse_targets(given or (), settings.notify)
