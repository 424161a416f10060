"""Detects names that are miscopied into a call."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from config.questions.wording import GENERAL_FORMS, parse
from worker.curate.checks.support.answer import PATH
from worker.curate.checks.support.results import plain_path
from worker.curate.split import subjects
from worker.evaluate.findings.names import AnswerFault, AnswerFinding
from worker.evaluate.findings.rollout import Rollout

SIMILAR = 0.75  # ratio of two names: one wrong letter of four, three of twelve
PATH_SIMILAR = 0.85  # paths of one codebase have long common parts
LEAST = 3  # characters of a name
TOKEN = re.compile(r"[\w./+-]*\w")
NO_FILE = re.compile(r"(?i)\bthere is no '([^'\n]+)'|\bno such file or directory: '([^'\n]+)'")
ANCHOR = re.compile(r"\[|\(|\$|\\b|:|,| = |\Z|\"")
PATH_ARGUMENTS = frozenset({"path", "glob", "file", "directory"})
ESCAPES = re.compile(r"\\(?:[bBsSdDwWAZz]|.)")


def wrong_argument(rollout: Rollout) -> AnswerFinding | None:
    """A name of the question that is in no call, while something similar is: "Conection" for "Connection".

    Also a path that a tool did not find and that misspells one of an earlier result. A part of a name is not a
    misspelling: a search for it finds the name as well.
    """
    calls = [call for call in rollout.trajectory.tool_calls if call not in rollout.cut_calls]
    given = [value for call in calls for value in _values(call.arguments)]
    if not given:
        return None
    for subject in _subjects(rollout):
        is_name = subject.isidentifier()
        values = [value for value, is_path in given if not (is_name and is_path)]  # a file may be named like a class
        tokens = list(dict.fromkeys(token for value in values for token in _tokens(value)))
        if any(_means(token, subject) for token in tokens) or (is_name and _searched_by_part(subject, values)):
            continue
        near = max(tokens, key=lambda token: _ratio(token, subject), default="")
        if _ratio(near, subject) >= (PATH_SIMILAR if "/" in subject else SIMILAR):
            return _finding(f"the question has {subject!r}, the call {near!r}")
    return _misspelt_path(rollout)


def _subjects(rollout: Rollout) -> Iterator[str]:
    question = parse(rollout.trajectory.prompt)
    if question is not None and question.category in GENERAL_FORMS:
        return
    for joined in subjects(rollout.trajectory):
        yield from (part for part in joined.split("\0") if len(part) >= LEAST and not part.isdigit())


def _values(arguments: object) -> Iterator[tuple[str, bool]]:
    """The texts among the arguments, and whether each is a path or a glob."""
    if isinstance(arguments, dict):
        yield from ((value, key in PATH_ARGUMENTS) for key, value in arguments.items() if isinstance(value, str))
    elif isinstance(arguments, str):
        yield arguments, False


def _tokens(value: str) -> Iterator[str]:
    """The names and paths in an argument, without the escapes of a regular expression."""
    plain = ESCAPES.sub(lambda found: "." if found.group() == r"\." else " ", value)
    for found in TOKEN.finditer(plain):
        whole = found.group().strip("./")
        yield whole
        yield from (part for part in re.split(r"[^\w]", whole) if part and "/" not in whole and part != whole)


def _means(token: str, subject: str) -> bool:
    """Whether a token of a call is the subject; for a path or a module, also its end, its directory or its stem."""
    if token == subject:
        return True
    if subject.isidentifier():
        return False
    path, plain = plain_path(token), plain_path(subject)
    if not PATH.fullmatch(subject) and "/" not in subject:  # a module
        path, plain = path.removesuffix(".py").replace("/", "."), plain.replace("/", ".")
        ends = plain.endswith(f".{path}") or path.endswith(f".{plain}")
        return path == plain or ends or plain.startswith(f"{path}.")
    stem = plain.rpartition("/")[2].rpartition(".")[0]
    ends = plain.endswith(f"/{path}") or path.endswith(f"/{plain}")
    return ends or plain.startswith(f"{path}/") or path in (plain, stem)


def _searched_by_part(subject: str, values: list[str]) -> bool:
    """Whether a call searches for a part of the name, not anchored at its end."""
    for value in values:
        bare = value.strip("*^")
        if len(bare) >= LEAST and re.fullmatch(r"[\w./]+", bare) and bare in subject:
            return True
        for token in re.findall(r"\w{4,}", value):
            if token in subject and not ANCHOR.match(value, value.index(token) + len(token)):
                return True
    return False


def _ratio(token: str, subject: str) -> float:
    if not token:
        return 0.0
    if token.lower() == subject.lower():
        return 1.0
    return SequenceMatcher(None, token, subject, autojunk=False).ratio()


def _misspelt_path(rollout: Rollout) -> AnswerFinding | None:
    known: list[str] = []
    for message in rollout.trajectory.messages:
        if message.role != "tool" or not message.content:
            continue
        missing = NO_FILE.search(message.content) if message.is_error else None
        path = plain_path(missing[1] or missing[2]) if missing else ""
        near = next((other for other in known if _ratio(path, other) >= PATH_SIMILAR), "") if path else ""
        if near and path not in known and not any(other.startswith(f"{path}/") for other in known):
            return _finding(f"an earlier result has {near!r}, the call {path!r}")
        if not message.is_error:
            known += [plain_path(token) for token in re.findall(r"(?:[\w.-]+/)*[\w-]+\.\w{1,5}\b", message.content)]
    return None


def _finding(detail: str) -> AnswerFinding:
    return AnswerFinding(AnswerFault.WRONG_ARGUMENT, detail)
