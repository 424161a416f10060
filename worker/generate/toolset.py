"""The tools a model is given to read a pinned workspace: what they are called, what they take, what they say.

Every result is text a model can use: never empty, capped with a marker that says what was left out. What cannot be
had raises RefusedError, which reaches the model as an error it can mend.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from config.errors import UsageError
from config.records import JsonObject
from worker.generate import run_command
from worker.generate.files import BinaryError, Entry, files_at, listed, locate, read_bytes
from worker.generate.patterns import LinePattern, RefusedError, line_pattern
from worker.generate.workspace import Workspace

READ_LINES = 60  # one read_file; about 700 tokens of code, so that several fit a 2048-token training row
MATCHES = 20  # shown by one grep
ENTRIES = 40  # shown by one find_files or list_dir
LINE_CHARS = 240  # of one shown line
RESULT_CHARS = 4000  # whatever the tool
SEARCH_SECONDS = 10.0  # for one grep or count over all files


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ReadFile(_Arguments):
    """Read lines of a text file."""

    path: str
    start: int = Field(1, ge=1)
    end: int = Field(0, ge=0, description="last line, 0: as many as fit")


class Grep(_Arguments):
    """Show the lines that match a regular expression."""

    pattern: str
    path: str = Field(".", description="file or directory")
    glob: str = Field("*", description="only files like *.py")


class FindFiles(_Arguments):
    """List the files whose name matches a glob."""

    glob: str
    path: str = "."


class ListDir(_Arguments):
    """List a directory."""

    path: str = "."


class Count(_Arguments):
    """Count files, or with a pattern the lines that match it."""

    pattern: str = Field("", description="regular expression, empty: count files")
    path: str = "."
    glob: str = "*"


class RunCommand(_Arguments):
    """Run one allowed program in the workspace, without a shell."""

    command: str = Field(description="program and arguments")


ToolFunction = Callable[[JsonObject], str]
"""Takes the call's arguments, gives the result's text; raises RefusedError for what the model can mend."""


def offered(names: Sequence[str], allow_commands: Sequence[str]) -> tuple[str, ...]:
    """The tools a run really offers: run_command exactly when some program is allowed.

    Raises:
        UsageError: an unknown tool.
    """
    for name in names:
        if name not in _ARGUMENTS:
            raise UsageError(f"there is no tool {name!r}; choose among {', '.join(_ARGUMENTS)}")
    reading = tuple(dict.fromkeys(name for name in names if name != RUN_COMMAND))
    return (*reading, RUN_COMMAND) if allow_commands else reading


def schemas(names: Sequence[str]) -> tuple[JsonObject, ...]:
    """The JSON that goes over the wire as `tools`, in the order of the names."""
    return tuple(
        {"type": "function", "function": {"name": name, "description": _purpose(name), "parameters": _parameters(name)}}
        for name in names
    )


def digest(offered_schemas: Sequence[JsonObject]) -> str:
    """Hex sha256 of the tools a model is shown; two runs with the same digest show the same."""
    canonical = json.dumps(list(offered_schemas), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def build(
    workspace: Workspace, *, names: Sequence[str], allow_commands: Sequence[str] = ()
) -> Mapping[str, ToolFunction]:
    """The tools over one workspace, by name; `names` as `offered` gives them."""
    bodies: dict[str, Callable[..., str]] = {
        "read_file": read_file,
        "grep": grep,
        "find_files": find_files,
        "list_dir": list_dir,
        "count": count,
        RUN_COMMAND: lambda where, asked: run_command.run(where.root, asked.command, allow=allow_commands),
    }

    def bound(name: str) -> ToolFunction:
        return lambda arguments: _shortened(bodies[name](workspace, _read_arguments(name, arguments)))

    return {name: bound(name) for name in names}


def read_file(workspace: Workspace, asked: ReadFile) -> str:
    """Numbered lines, and how to get those that are not shown."""
    lines = _text_lines(read_bytes(locate(workspace.root, asked.path), asked.path))
    if not lines:
        return f"{asked.path} is empty (0 lines)"
    if asked.start > len(lines):
        raise RefusedError(f"{asked.path!r} has {len(lines)} lines; start={asked.start} is past its end")
    if asked.end and asked.end < asked.start:
        raise RefusedError(f"end={asked.end} is before start={asked.start}")
    last = min(asked.end or len(lines), len(lines), asked.start + READ_LINES - 1)
    shown: list[str] = []
    for number in range(asked.start, last + 1):
        shown.append(f"{number}: {_line(lines[number - 1])}")
        if sum(map(len, shown)) > RESULT_CHARS - 400:  # room for the marker
            last = number
            break
    if last < len(lines):
        shown.append(f"[lines {last + 1}-{len(lines)} not shown; use start={last + 1}]")
    return "\n".join(shown)


def grep(workspace: Workspace, asked: Grep) -> str:
    """Matching lines as path:line: text, in the order of paths and lines."""
    pattern = line_pattern(asked.pattern)
    files = _files(workspace, asked.path, asked.glob)
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


def count(workspace: Workspace, asked: Count) -> str:
    """How many files there are, or how many lines match in how many of them."""
    files = files_at(workspace.root, asked.path, asked.glob)
    if not asked.pattern:
        return _plural(len(files), "file")
    search = _Search(workspace, line_pattern(asked.pattern))
    paths = [path for path, _, _ in search.over(files)]
    return f"{_plural(len(paths), 'matching line')} in {len(set(paths))} of {_plural(search.read, 'file')}{search.note}"


def find_files(workspace: Workspace, asked: FindFiles) -> str:
    """Paths from the top of the workspace."""
    if not asked.glob:
        raise RefusedError("the glob is empty; give one like '*.py'")
    files = files_at(workspace.root, asked.path, asked.glob)
    if not files:
        return f"no file matches {asked.glob!r} among {_plural(len(files_at(workspace.root, asked.path, '*')), 'file')}"
    shown = [entry.path for entry in files[:ENTRIES]]
    return "\n".join(shown) + _left_out(len(files) - len(shown), "files", "narrow the glob")


def list_dir(workspace: Workspace, asked: ListDir) -> str:
    """Names, directories with a trailing "/"."""
    real = locate(workspace.root, asked.path)
    if not real.is_dir():
        raise RefusedError(f"{asked.path!r} is a file; read_file shows what it holds")
    names = [
        f"{child.name}/" if child.is_dir() else child.name for child in sorted(real.iterdir()) if listed(child.name)
    ]
    if not names:
        return "the directory is empty"
    return "\n".join(names[:ENTRIES]) + _left_out(len(names) - ENTRIES, "entries", "find_files takes a glob")


RUN_COMMAND = "run_command"
_ARGUMENTS: dict[str, type[_Arguments]] = {
    "read_file": ReadFile,
    "grep": Grep,
    "find_files": FindFiles,
    "list_dir": ListDir,
    "count": Count,
    RUN_COMMAND: RunCommand,
}


@dataclass
class _Search:
    """One pattern over files; counts what was read and what was not."""

    workspace: Workspace
    pattern: LinePattern
    read: int = 0
    unreadable: int = 0
    late: int = 0

    def over(self, files: Sequence[Entry]) -> Iterator[tuple[str, int, str]]:
        """Path, line number from 1 and text of every matching line."""
        deadline = time.monotonic() + SEARCH_SECONDS
        for place, entry in enumerate(files):
            try:
                content = read_bytes(self.workspace.root / entry.path, entry.path)
                self.read += 1
                for number, line in self.pattern.matching_lines(content, deadline=deadline):
                    yield entry.path, number, line.decode(errors="replace")
            except BinaryError:  # has no lines; to say so each time would teach nothing
                continue
            except RefusedError:
                self.unreadable += 1
            except TimeoutError:
                self.read -= 1
                self.late = len(files) - place
                return

    @property
    def note(self) -> str:
        """What was not searched, "" when everything was."""
        late = f"\n[{_plural(self.late, 'file')} not searched to the end in time; narrow the path]" if self.late else ""
        skipped = f"\n[{_plural(self.unreadable, 'large or unreadable file')} not searched]" if self.unreadable else ""
        return late + skipped


def _files(workspace: Workspace, path: str, glob: str) -> list[Entry]:
    files = files_at(workspace.root, path, glob)
    if not files:
        among = _plural(len(files_at(workspace.root, path, "*")), "file")
        raise RefusedError(f"no file matches glob {glob!r} among {among} in {path!r}")
    return files


def _purpose(name: str) -> str:
    return (_ARGUMENTS[name].__doc__ or "").strip()


def _parameters(name: str) -> JsonObject:
    schema = _ARGUMENTS[name].model_json_schema()
    properties = {
        field: {key: described[key] for key in ("type", "description", "default") if key in described}
        for field, described in schema["properties"].items()
    }
    required = {"required": schema["required"]} if "required" in schema else {}
    return {"type": "object", "properties": properties, **required}


def _read_arguments(name: str, arguments: JsonObject) -> _Arguments:
    model = _ARGUMENTS[name]
    given = {key: value for key, value in arguments.items() if value is not None}  # null: as if left out
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        takes = ", ".join(model.model_fields)
        raise RefusedError(f"{name} takes {takes}; argument {field!r}: {first['msg']}") from None


def _text_lines(content: bytes) -> list[str]:
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def _line(text: str) -> str:
    text = text.rstrip("\r")
    return text if len(text) <= LINE_CHARS else f"{text[:LINE_CHARS]} [{len(text) - LINE_CHARS} more characters]"


def _left_out(number: int, what: str, remedy: str) -> str:
    return f"\n[{number} more {what} not shown; {remedy}]" if number > 0 else ""


def _shortened(text: str) -> str:
    if len(text) <= RESULT_CHARS:
        return text
    return f"{text[:RESULT_CHARS]}\n[{len(text) - RESULT_CHARS} more characters not shown; ask for less]"


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
