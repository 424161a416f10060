"""Numbers, durations and lists in words."""

from collections.abc import Sequence


def number(value: int) -> str:
    """ "1,938"."""
    return f"{value:,}"


def counted(value: int, noun: str) -> str:
    """ "1 job", "1,938 jobs"."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def about(seconds: float) -> str:
    """An estimate: "less than a minute", "about 35 minutes", "about 2 hours 10 minutes", "about 3 days"."""
    minutes = round(seconds / 60)
    if seconds < 45:
        return "less than a minute"
    if minutes <= 1:
        return "about a minute"
    if minutes < 60:
        return f"about {minutes} minutes"
    hours, rest = divmod(10 * round(minutes / 10), 60)  # an estimate of hours is not exact to the minute
    if hours >= 48:
        return f"about {round(hours / 24)} days"
    words = f"about {counted(hours, 'hour')}"
    return f"{words} {rest} minutes" if rest else words


def percent(done: int, total: int) -> str:
    """ "41%", rounded down: 100% means all."""
    return f"{100 * done // total if total else 0}%"


def pace(per_minute: float) -> str:
    """ "34 a minute", "3.4 a minute", "20 an hour"."""
    if per_minute < 1:
        return f"{60 * per_minute:.0f} an hour"
    return f"{per_minute:.1f} a minute" if per_minute < 9.95 else f"{per_minute:,.0f} a minute"


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
