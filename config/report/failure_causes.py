"""Why answers failed: records for the report, one cause per answer that is not right."""

from config.records import Record


class Turn(Record):
    """One turn of a failed answer."""

    role: str
    """user, assistant, call or tool"""
    text: str
    """cut at 600 characters, with a mark of how much is left out"""


class FailedAnswer(Record):
    """One answer as an example of its cause."""

    job_id: str
    category: str
    prompt: str
    turns: tuple[Turn, ...]
    expected: str
    """the facts of a right answer, "" if none are recorded"""
    detail: str
    """the evidence of the cause"""


class FailureCause(Record):
    """The answers that failed for one reason."""

    cause: str
    """a snake_case name; worker/evaluate/cause_table.py lists them"""
    title: str
    """the cause in plain English"""
    count: int
    of: int
    """all answers that were looked at, right ones included"""
    categories: dict[str, int]
    """failed answers by category of question, most frequent first"""
    help: str
    """one line: what would help"""
    examples: tuple[FailedAnswer, ...]
    """at most three, from different categories where there are several"""
