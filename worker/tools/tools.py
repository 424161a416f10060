"""The arguments and results of each tool. A result is never empty; a long one is capped, with a marker at the cut."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from worker.tools.files import BinaryError, files_at, locate, read_bytes
from worker.tools.patterns import LinePattern, RefusedError, line_pattern
from worker.tools.workspace import Workspace

READ_LINES = 60  # per read_file; about 700 tokens of code, so that several fit a training row of 2048 tokens
MATCHES = 20  # shown per grep
ENTRIES = 40  # shown per find_files or list_dir
LINE_CHARS = 240  # shown per line
RESULT_CHARS = 4000  # of any tool
SEARCH_SECONDS = 10.0  # per grep or count, over all files
_UNFINISHED = "not searched to the end in time; narrow the path]"


class Arguments(BaseModel):
    """Arguments of one tool. The docstrings and fields of its subclasses are sent to the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadFile(Arguments):
    """Read lines of a text file."""

    path: str
    start: int = Field(1, ge=1)
    end: int = Field(0, ge=0, description="last line, 0: as many as fit")


class Grep(Arguments):
    """Show the lines that match a regular expression."""

    pattern: str
    path: str = Field(".", description="file or directory")
    glob: str = Field("*", description="only files like *.py")


class FindFiles(Arguments):
    """List the files whose name matches a glob."""

    glob: str
    path: str = "."


class ListDir(Arguments):
    """List a directory."""

    path: str = "."


class Count(Arguments):
    """Count files, or with a pattern the lines that match it."""

    pattern: str = Field("", description="regular expression, empty: count files")
    path: str = "."
    glob: str = "*"


class RunCommand(Arguments):
    """Run one allowed program in the workspace, without a shell."""

    command: str = Field(description="program and arguments")


def read_file(workspace: Workspace, arguments: ReadFile) -> str:
    """Numbered lines, and how to read the lines that are not shown."""
    lines = _text_lines(_content(workspace, locate(workspace.tree, arguments.path), arguments.path))
    if not lines:
        return f"{arguments.path} is empty (0 lines)"
    if arguments.start > len(lines):
        raise RefusedError(f"{arguments.path!r} has {len(lines)} lines; start={arguments.start} is past its end")
    if arguments.end and arguments.end < arguments.start:
        raise RefusedError(f"end={arguments.end} is before start={arguments.start}")
    last = min(arguments.end or len(lines), len(lines), arguments.start + READ_LINES - 1)
    shown: list[str] = []
    for number in range(arguments.start, last + 1):
        shown.append(f"{number}: {_line(lines[number - 1])}")
        if sum(map(len, shown)) > RESULT_CHARS - 400:  # room for the marker
            last = number
            break
    if last < len(lines):
        shown.append(f"[lines {last + 1}-{len(lines)} not shown; use start={last + 1}]")
    return "\n".join(shown)


def grep(workspace: Workspace, arguments: Grep) -> str:
    """Matching lines as "path:line: text", ordered by path and line."""
    pattern = line_pattern(arguments.pattern)
    files = _files(workspace, arguments.path, arguments.glob)
    shown: list[str] = []
    found = 0
    search = _Search(workspace, pattern)
    for path, number, line in search.over(files):
        found += 1
        if len(shown) < MATCHES:
            shown.append(f"{path}:{number}: {_line(line).strip()}")
    if not found:
        return f"no matches in {_plural(search.read, 'file')}{search.note}"
    return "\n".join(shown) + _left_out(found - len(shown), "matches", "narrow the pattern") + search.note


def count(workspace: Workspace, arguments: Count) -> str:
    """The number of files, or of matching lines and of files with a match."""
    files = files_at(workspace.tree, arguments.path, arguments.glob)
    if not arguments.pattern:
        return _plural(len(files), "file")
    search = _Search(workspace, line_pattern(arguments.pattern))
    paths = [path for path, _, _ in search.over(files)]
    return f"{_plural(len(paths), 'matching line')} in {len(set(paths))} of {_plural(search.read, 'file')}{search.note}"


def find_files(workspace: Workspace, arguments: FindFiles) -> str:
    """Paths relative to the top of the workspace."""
    if not arguments.glob:
        raise RefusedError("the glob is empty; give one like '*.py'")
    files = files_at(workspace.tree, arguments.path, arguments.glob)
    if not files:
        searched = len(files_at(workspace.tree, arguments.path, "*"))
        return f"no file matches {arguments.glob!r} among {_plural(searched, 'file')}"
    return "\n".join(files[:ENTRIES]) + _left_out(len(files) - ENTRIES, "files", "narrow the glob")


def list_dir(workspace: Workspace, arguments: ListDir) -> str:
    """Names, directories with a trailing "/"."""
    located = locate(workspace.tree, arguments.path)
    names = workspace.tree.listings.get(located)
    if names is None:
        raise RefusedError(f"{arguments.path!r} is a file; read_file shows what it holds")
    if not names:
        return "the directory is empty"
    return "\n".join(names[:ENTRIES]) + _left_out(len(names) - ENTRIES, "entries", "find_files takes a glob")


@dataclass
class _Search:
    """Searches files for one pattern. Counts the files that were read and those that were not."""

    workspace: Workspace
    pattern: LinePattern
    read: int = 0
    unreadable: int = 0
    late: int = 0

    def over(self, files: Sequence[str]) -> Iterator[tuple[str, int, str]]:
        """Path, line number (from 1) and text of every matching line."""
        deadline = time.monotonic() + SEARCH_SECONDS
        for place, path in enumerate(files):
            try:
                content = _content(self.workspace, path, path)
                self.read += 1
                for number, line in self.pattern.matching_lines(content, deadline=deadline):
                    yield path, number, line.decode(errors="replace")
            except BinaryError:  # has no lines; not worth a note
                continue
            except RefusedError:
                self.unreadable += 1
            except TimeoutError:
                self.read -= 1
                self.late = len(files) - place
                return

    @property
    def note(self) -> str:
        """A note on files that were not searched, "" if all were."""
        late = f"\n[{_plural(self.late, 'file')} {_UNFINISHED}" if self.late else ""
        skipped = f"\n[{_plural(self.unreadable, 'large or unreadable file')} not searched]" if self.unreadable else ""
        return late + skipped


def is_unfinished(result: str) -> bool:
    """Whether a search reached its time limit. Another run of the same call may then return another result."""
    return any(line.startswith("[") and line.endswith(_UNFINISHED) for line in result.split("\n")[-2:])


def _files(workspace: Workspace, path: str, glob: str) -> list[str]:
    files = files_at(workspace.tree, path, glob)
    if not files:
        among = _plural(len(files_at(workspace.tree, path, "*")), "file")
        raise RefusedError(f"no file matches glob {glob!r} among {among} in {path!r}")
    return files


def _content(workspace: Workspace, located: str, named: str) -> bytes:
    return read_bytes(workspace.tree, located, named, allowed=workspace.allow_files, masked=workspace.mask_secrets)


def _text_lines(content: bytes) -> list[str]:
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def _line(text: str) -> str:
    text = text.rstrip("\r")
    return text if len(text) <= LINE_CHARS else f"{text[:LINE_CHARS]} [{len(text) - LINE_CHARS} more characters]"


def _left_out(number: int, what: str, remedy: str) -> str:
    return f"\n[{number} more {what} not shown; {remedy}]" if number > 0 else ""


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
