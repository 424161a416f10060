"""Words of the run pages: states, times, causes of failures and rejections."""

from datetime import UTC, datetime

from config.records import RunControl
from producer.output import pluralise
from producer.overview.words import counted as counted

STATES = ("generating", "curating", "training", "evaluating", "paused", "cancelled", "failed", "done")
STAGE_STATES = {"generate": "generating", "curate": "curating", "train": "training", "evaluate": "evaluating"}
JUST_NOW = 15.0  # seconds; workers send a heartbeat every few seconds, so an exact age would change all the time
SHORT = 160  # characters of an error in a list

FAILURES = {
    "endpoint_unreachable": "No connection to the model server",
    "endpoint_wedged": "The model server took requests and sent no tokens",
    "endpoint_error": "The model server returned an error",
    "wrong_model": "The model server has another model",
    "timeout": "The job took longer than its time limit",
    "request_limit": "Too many requests or tool calls in one job",
    "tool_retries_exceeded": "The model did not correct a refused tool call",
    "malformed_tool_call": "A tool call could not be parsed",
    "context_overflow": "The conversation did not fit the model's context",
    "workspace_unavailable": "The code to read was not available",
    "workspace_refused": "The owner of the worker does not allow the folder or a program",
    "worker_lost": "Its worker died each time",
    "internal": "An error in applejack",
}
REJECTIONS = {
    "null_result": "A tool call has no result",
    "unpaired_result": "Calls and results do not match",
    "phantom_call": "A result was recorded as a call",
    "placeholder_result": "A placeholder stands for a result",
    "retry_unanswered": "A refused call was not corrected",
    "tools_required_but_none": "Answered without the tools it needs",
    "leaked_tool_call": "Text of a tool call in the answer",
    "chat_markup": "Chat markup in a text",
    "truncated": "Cut at the token limit",
    "empty_answer": "No final answer",
    "repeated_call": "The same call twice",
    "too_many_calls": "More calls than the student should learn",
    "unsupported_claim": "Asserts what no result holds",
    "wrong_answer": "Contradicts the expected answer",
    "replay_mismatch": "The call returns another result today",
    "over_length": "Longer than the training length",
    "duplicate": "Same as another example",
    "malformed": "Not in the form of a conversation",
    "sampled_out": "Left out to keep the proportions",
    "leaked_secret": "Contains a secret",
}


def run_state(control: RunControl, stage: str) -> str:
    """One of STATES. `stage`: the current stage, "done" or "failed"."""
    if control is not RunControl.GO:
        return control.value
    return STAGE_STATES.get(stage, stage)


def about(seconds: float | None) -> str:
    """A duration as people say it: "less than a minute", "about 40 minutes", "about 3 hours"; "" for None."""
    if seconds is None:
        return ""
    if seconds < 60:
        return "less than a minute"
    if seconds < 100 * 60:
        return f"about {pluralise(round(seconds / 60), 'minute')}"
    if seconds < 36 * 3600:
        return f"about {pluralise(round(seconds / 3600), 'hour')}"
    return f"about {pluralise(round(seconds / 86400), 'day')}"


def age(seconds: float) -> str:
    """How long ago: "just now", "40 s ago", "3 minutes ago"; it changes seldom, so that a stream sends little."""
    if seconds < JUST_NOW:
        return "just now"
    if seconds < 60:
        return f"{seconds // 10 * 10:.0f} s ago"
    return f"{about(seconds).removeprefix('about ')} ago"


def clock(moment: float | None, *, now: float | None = None) -> str:
    """A time in UTC, "22:14", with the date if it is not the day of `now`; "" for None."""
    if moment is None:
        return ""
    at = datetime.fromtimestamp(moment, UTC)
    same_day = now is not None and datetime.fromtimestamp(now, UTC).date() == at.date()
    return f"{at:%H:%M}" if same_day else f"{at:%d %b %H:%M}".lstrip("0")


def stamp(moment: float | None) -> str:
    """The same for machines, in an attribute of <time>; "" for None."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else ""


def rate_text(per_minute: float) -> str:
    """ "12 a minute", "0.4 a minute"; "" for 0."""
    if per_minute <= 0:
        return ""
    return f"{pace(per_minute)} a minute"


def pace(per_minute: float) -> str:
    """ "1,204", "12", "0.4"."""
    return number(per_minute) if per_minute >= 10 else f"{per_minute:.1f}"


def number(value: float) -> str:
    """A count with separators of thousands."""
    return f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """ "12%"; "<1%" for a small part, "" for no whole."""
    if not whole:
        return ""
    share = 100 * part / whole
    return "<1%" if 0 < share < 1 else f"{share:.0f}%"


def shorten(text: str, most: int = SHORT) -> str:
    """The text on one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
