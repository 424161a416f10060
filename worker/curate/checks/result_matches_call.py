"""Checks that a result belongs to its call: finds swapped, moved and cut-off results of applejack's tools.

Each rule describes the format in which a tool of worker/tools/toolset.py answers. A mismatch is enough only in
trajectories recorded with that toolset. Elsewhere, tools of the same name may answer in another format, so two results
must each fit the other's call and not their own.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import pairwise

from config.errors import RejectionReason
from config.records import Finding, JsonObject, Message, ToolCall, Trajectory
from worker.curate.chat import calls, results
from worker.tools.patterns import Pattern, RefusedError, compiled
from worker.tools.toolset import digest

NOTE = re.compile(r"^\[.*\bnot (?:shown|searched)\b.*\]$")
HIT = re.compile(r"^(?P<path>\S.*?):(?P<number>\d+): ?(?P<text>.*)$")
# Structure around a path, such as {"line": "a.py or [{'path': 'a.py. Names on disk hold spaces, brackets, single quotes
# and any letter, but no control characters and, where Windows users take part, no double quotes.
STRUCTURE = re.compile(r"[\"\x00-\x1f\x7f]|: |[\[{(]\s*'")
NUMBERED = re.compile(r"^(\d+): ?")
CUT = re.compile(r" \[\d+ more characters\]$")
COUNTED = re.compile(r"^\d+ files?$")
COUNTED_LINES = re.compile(r"^\d+ matching lines? in \d+ of \d+ files?$")
INDENTS = (*(" " * width for width in range(41)), "\t", "\t\t", "\t\t\t")
HITS_SHOWN = 20  # at most, per grep
READ_LINES = 60  # at most, per read_file


def result_matches_call(trajectory: Trajectory) -> Iterator[Finding]:
    """A result that its call cannot have returned, or that is cut off."""
    found = results(trajectory)
    faults = {
        call.id: (call, result, fault)
        for _, call in calls(trajectory)
        if (result := found.get(call.id)) and (fault := _fault(call, result))
    }
    ours = _recorded_here(trajectory)
    for call, result, fault in faults.values():
        if ours or any(_swapped(call, result, other, theirs) for other, theirs, _ in faults.values()):
            yield Finding(
                reason=RejectionReason.UNPAIRED_RESULT,
                detail=f"the result does not belong to its {call.name!r} call: {fault}",
                message=trajectory.messages.index(result),
                call=call.id,
            )


def _fault(call: ToolCall, result: Message) -> str:
    text = result.content or ""
    rule = RULES.get(call.name)
    if rule is None or result.is_error or not text.strip() or isinstance(call.arguments, str):
        return ""
    return rule(call.arguments, text)


def _swapped(call: ToolCall, result: Message, other: ToolCall, theirs: Message) -> bool:
    """Each of the two results fits the other's call."""
    return call.id != other.id and not _fault(call, theirs) and not _fault(other, result)


def _recorded_here(trajectory: Trajectory) -> bool:
    """The tools match the digest in the provenance, so that their result formats are known."""
    stated = trajectory.provenance.toolset_digest if trajectory.provenance else ""
    return bool(trajectory.tools) and digest(trajectory.tools) == stated


def _read_file(arguments: JsonObject, text: str) -> str:
    path, start, end = str(arguments.get("path") or ""), _whole(arguments, "start", 1), _whole(arguments, "end", 0)
    if text == f"{path} is empty (0 lines)":
        return ""
    *lines, last = text.split("\n")
    note = re.fullmatch(r"\[lines (\d+)-\d+ not shown; use start=(\d+)\]", last)
    numbered = [NUMBERED.match(line) for line in (lines if note else [*lines, last])]
    shown = [int(found[1]) for found in numbered if found]
    if len(shown) < len(numbered) or not shown:
        return "it has lines without a number"
    if shown[0] != start:
        return f"it starts at line {shown[0]}, not {start}"
    if any(after != before + 1 for before, after in pairwise(shown)) or len(shown) > READ_LINES:
        return "its lines are not consecutive"
    if end and shown[-1] > end:
        return f"it ends at line {shown[-1]}, after {end}"
    return "its last lines are missing" if note and int(note[1]) != shown[-1] + 1 else ""


def _grep(arguments: JsonObject, text: str) -> str:
    if re.match(r"no matches in \d+ files?$", text.split("\n")[0]):
        return ""
    lines = _without_notes(text)
    hits = [HIT.match(line) for line in lines]
    found = [hit for hit in hits if hit and not STRUCTURE.search(hit["path"])]
    if len(found) < len(lines) or not found:
        return "it has lines that are not matches"
    if len(found) < HITS_SHOWN and re.search(r"\[\d+ more matches not shown", text) and len(text) < 3000:
        return f"it omits matches and shows only {len(found)}"
    if any(not _under(hit["path"], arguments) for hit in found):
        return f"{found[0]['path']!r} is outside the searched path"
    pattern = _compiled(str(arguments.get("pattern") or ""))
    if pattern is None:
        return ""
    whole = (hit["text"] for hit in found if not CUT.search(hit["text"]))
    missed = next((line for line in whole if not _matches(pattern, line)), None)
    return "" if missed is None else f"{missed[:60]!r} does not match its pattern"


def _find_files(arguments: JsonObject, text: str) -> str:
    if text.startswith("no file matches "):
        return ""
    glob = str(arguments.get("glob") or "*")
    for line in _without_notes(text):
        name = line.rsplit("/", 1)[-1]
        if STRUCTURE.search(line):
            return f"{line[:60]!r} is not a path"
        if not _under(line, {"path": arguments.get("path")}):
            return f"{line[:60]!r} is outside the searched path"
        if "/" not in glob and not fnmatchcase(name, glob):
            return f"{line[:60]!r} does not match the glob"
    return ""


def _list_dir(_: JsonObject, text: str) -> str:
    lines = _without_notes(text)
    if text == "the directory is empty":
        return ""
    if any("/" in line.rstrip("/") or any(form.search(line) for form in (HIT, NUMBERED, STRUCTURE)) for line in lines):
        return "it is not a list of names"
    return "its names are not sorted" if lines != sorted(lines, key=lambda line: line.rstrip("/")) else ""


def _count(arguments: JsonObject, text: str) -> str:
    expected = COUNTED_LINES if arguments.get("pattern") else COUNTED
    first = text.split("\n")[0]
    return "" if expected.match(first) else f"{first[:60]!r} is not such a count"


RULES: Mapping[str, Callable[[JsonObject, str], str]] = {
    "read_file": _read_file,
    "grep": _grep,
    "find_files": _find_files,
    "list_dir": _list_dir,
    "count": _count,
}


def _without_notes(text: str) -> list[str]:
    return [line for line in text.split("\n") if not NOTE.match(line)]


def _under(path: str, arguments: JsonObject) -> bool:
    """Whether the path is at or under the searched path, and its name matches the glob."""
    searched = "/".join(part for part in str(arguments.get("path") or ".").strip().split("/") if part not in ("", "."))
    glob = str(arguments.get("glob") or "*")
    inside = not searched or path == searched or path.startswith(f"{searched}/")
    at_file = path == searched  # a file given as the path is searched whatever the glob
    return inside and (at_file or "/" in glob or fnmatchcase(path.rsplit("/", 1)[-1], glob))


def _compiled(pattern: str) -> Pattern | None:
    """The pattern as compiled by the tool, in linear time for every pattern. None if the tool refuses it."""
    try:
        return compiled(pattern)
    except RefusedError:
        return None


def _matches(pattern: Pattern, line: str) -> bool:
    """Whether the line matches as shown, or with the white space that the tool stripped."""
    return pattern.search(line.encode()) is not None or any(
        pattern.search(f"{indent}{line}{end}".encode()) for indent in INDENTS for end in ("", " ")
    )


def _whole(arguments: JsonObject, name: str, default: int) -> int:
    value = arguments.get(name)
    return value if isinstance(value, int) else default
