"""The tools for reading a pinned workspace: their names, JSON schemas and functions.

Every result is text that is never empty. A long result is capped, with a marker that states what was left out. An
invalid call raises RefusedError, which the model receives as an error that it can correct. A file that was edited since
the workspace was opened raises EditedError, which ends the job: its result would be that of other code.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from pydantic import ValidationError

from config.errors import UsageError
from config.records import JsonObject
from worker.secrets import is_secret_file, mask
from worker.tools import run_command, tools
from worker.tools.patterns import RefusedError
from worker.tools.tree import EditedError
from worker.tools.workspace import Workspace

ToolFunction = Callable[[JsonObject], str]
"""Takes a call's arguments and returns the result. Raises RefusedError for a call that the model can correct."""


RUN_COMMAND = "run_command"
_ARGUMENTS: dict[str, type[tools.Arguments]] = {
    "read_file": tools.ReadFile,
    "grep": tools.Grep,
    "find_files": tools.FindFiles,
    "list_dir": tools.ListDir,
    "count": tools.Count,
    RUN_COMMAND: tools.RunCommand,
}


def offered(names: Sequence[str], allow_commands: Sequence[str]) -> tuple[str, ...]:
    """The tools that a run offers. run_command is one of them only if some program is allowed.

    Raises:
        UsageError: a name is not a tool.
    """
    for name in names:
        if name not in _ARGUMENTS:
            raise UsageError(f"there is no tool {name!r}; choose among {', '.join(_ARGUMENTS)}")
    reading = tuple(dict.fromkeys(name for name in names if name != RUN_COMMAND))
    return (*reading, RUN_COMMAND) if allow_commands else reading


def schemas(names: Sequence[str]) -> tuple[JsonObject, ...]:
    """The JSON sent as `tools`, in the order of the names."""
    return tuple(_schema(name) for name in names)


@cache  # a millisecond for each job otherwise
def _schema(name: str) -> JsonObject:
    return {
        "type": "function",
        "function": {"name": name, "description": _purpose(name), "parameters": _parameters(name)},
    }


def digest(offered_schemas: Sequence[JsonObject]) -> str:
    """Hex sha256 of the tool schemas sent to a model. Equal digests mean equal tools."""
    canonical = json.dumps(list(offered_schemas), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def build(
    workspace: Workspace,
    *,
    names: Sequence[str],
    allow_commands: Sequence[str] = (),
    allow_files: Sequence[str] = (),
    mask_secrets: bool = True,
) -> Mapping[str, ToolFunction]:
    """The tools over one workspace, by name. `names` come from `offered`.

    Files for secrets are not read, except those that match a glob of `allow_files`. With `mask_secrets` tools read
    the kind of each secret in the place of its value; what they search and count has none either.
    """
    readable = replace(workspace, allow_files=tuple(allow_files), mask_secrets=mask_secrets)
    bodies: dict[str, Callable[..., str]] = {
        "read_file": tools.read_file,
        "grep": tools.grep,
        "find_files": tools.find_files,
        "list_dir": tools.list_dir,
        "count": tools.count,
        RUN_COMMAND: lambda where, arguments: _run_command(where, arguments, allow_commands),
    }

    def bound(name: str) -> ToolFunction:
        def run(arguments: JsonObject) -> str:
            read = _read_arguments(name, arguments)
            try:
                result = _on_pinned_files(readable, lambda: bodies[name](readable, read))
                return _shortened(mask(result) if mask_secrets else result)
            except OSError as error:
                raise RefusedError(f"{name} cannot read that: {error.strerror or error}") from error

        return run

    return {name: bound(name) for name in names}


def _on_pinned_files(workspace: Workspace, body: Callable[[], str]) -> str:
    """The result of a tool. An edited checkout is made anew first; an edited directory ends the job."""
    try:
        return body()
    except EditedError:
        if workspace.restore is None:
            raise
        workspace.restore()
        return body()


def _run_command(workspace: Workspace, arguments: tools.RunCommand, allow: Sequence[str]) -> str:
    workspace.tree.verify()  # the program reads the directory itself
    hidden = [path for path in workspace.tree.paths() if is_secret_file(path, allowed=workspace.allow_files)]
    clean = mask if workspace.mask_secrets else None
    return run_command.run(workspace.root, arguments.command, allow=allow, hidden=hidden, clean=clean)


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


def _read_arguments(name: str, arguments: JsonObject) -> tools.Arguments:
    model = _ARGUMENTS[name]
    # null counts as absent where there is a default. mlx_lm reads a pattern "null" as null, which is another question
    for field, described in model.model_fields.items():
        if field in arguments and arguments[field] is None and (described.is_required() or field == "pattern"):
            hint = "to search for the word null write [n]ull" if field == "pattern" else f"give {field!r} a value"
            raise RefusedError(f"{name}: argument {field!r} is null, not text; {hint}")
    given = {key: value for key, value in arguments.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        takes = ", ".join(model.model_fields)
        raise RefusedError(f"{name} takes {takes}; argument {field!r}: {first['msg']}") from None


def _shortened(text: str) -> str:
    if len(text) <= tools.RESULT_CHARS:
        return text
    return f"{text[: tools.RESULT_CHARS]}\n[{len(text) - tools.RESULT_CHARS} more characters not shown; ask for less]"
