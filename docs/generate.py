"""Writes docs/reference/commands.md and settings.md from the code. It needs the worker's libraries.

python docs/generate.py            write both files
python docs/generate.py --check    exit with 1 if one of them differs from the code
"""

import argparse
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import Literal, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings import PREFIX, Settings
from producer.cli import COMMANDS, load
from worker.cli.__main__ import COMMANDS as STAGES

ROOT = Path(__file__).resolve().parents[1]
NOTE = "<!-- written by `python docs/generate.py`; a test compares it with the code -->"
TYPES = {int: "N", float: "NUMBER", Path: "PATH", str: "TEXT"}
COMMON = """\
Options follow the command's name. With `--json` the last line on stdout is one JSON object (for an error
`{"error", "exit_code"}`), and text for people goes to stderr. Exit codes: 0 done; 1 some of the work failed; 2 bad
usage or bad input, and nothing was changed. `-h` and `--help` show the same text as this page."""
HEAD = """\
Environment variables, read once by each process; `config/settings.py` is the only reader. A name that is close to one
of these is reported as misspelt. Services read them from `~/.config/applejack/env`
([config/deploy](../../config/deploy/README.md)). Options of a command win over them."""
SAME = """\
`APPLEJACK_VISIBILITY_SECONDS` must be the same in the whole fleet, and `APPLEJACK_LOCK_DIR` for all users and services
of one machine. `applejack doctor` compares what the live workers use."""
OTHERS = """\
## Variables of other programs

| variable | effect |
|---|---|
| `HF_HOME`, `HF_HUB_CACHE` | where the hub's models are on this machine ([models.md](../models.md)) |
| `HF_TOKEN` | login for gated and private models |
| `HF_HUB_OFFLINE` | `1` forbids downloads |
| `HF_ENDPOINT` | another hub |
"""


def commands_page() -> str:
    """The reference of all commands, in the order of `applejack --help`."""
    parts = ["# Commands", NOTE, COMMON]
    panels = list(dict.fromkeys(entry.panel for entry in COMMANDS.values()))
    names = {panel: [name for name, entry in COMMANDS.items() if entry.panel == panel] for panel in panels}
    parts.append(
        "\n".join(f"- {panel}: {', '.join(f'[{name}](#{name})' for name in names[panel])}" for panel in panels)
    )
    for panel in panels:
        for name in names[panel]:
            parts += describe(command_of(name), [name])
    return "\n\n".join(parts) + "\n"


def command_of(name: str):  # noqa: ANN201 - typer's copy of click has no public name
    """A command as it is used; a stage by hand is the worker's own command."""
    if COMMANDS[name].module != "stages":
        return load(name)
    module, function = STAGES[name]
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name)(getattr(import_module(module), function))
    return typer.main.get_command(single)


def describe(command, path: Sequence[str]) -> Iterator[str]:  # noqa: ANN001 - as above
    """The section of a command; the sections of its subcommands follow."""
    shown = [parameter for parameter in command.params if parameter.name != "help" and not parameter.hidden]
    yield f"{'#' * (1 + len(path))} {' '.join(path)}"
    arguments = [written(parameter) for parameter in shown if is_argument(parameter)]
    more = ["COMMAND ..."] if getattr(command, "commands", {}) else []
    options = ["[OPTIONS]"] if len(arguments) < len(shown) else []
    yield "    " + " ".join(["applejack", *path, *arguments, *options, *more])
    yield from (prose(text) for text in (command.help, command.epilog) if text)
    if shown:
        yield "\n".join(["| option | what | default |", "|---|---|---|", *map(parameter_row, shown)])
    for name, child in getattr(command, "commands", {}).items():
        yield from describe(child, [*path, name])


def is_argument(parameter) -> bool:  # noqa: ANN001 - as above
    """Whether a parameter is given by its place, not by its name."""
    return not parameter.opts[0].startswith("-")


def written(parameter) -> str:  # noqa: ANN001 - as above
    """A parameter as it is written on a command line."""
    kind = value_name(parameter)
    if is_argument(parameter):
        repeated = f"{kind}..." if parameter.nargs == -1 else kind
        return repeated if parameter.required else f"[{repeated}]"
    names = [*parameter.opts, *parameter.secondary_opts]
    return " / ".join(names) + (f" {kind}" if kind and not parameter.is_flag else "")


def parameter_row(parameter) -> str:  # noqa: ANN001 - as above
    """One line of the table."""
    about, default = split_default(parameter.help or "", default_of(parameter))
    if parameter.multiple and "repeat" not in about.lower():
        about = f"{about} Repeatable.".strip()
    required = "required" if parameter.required else ""
    return f"| `{cell(written(parameter))}` | {cell(prose(about))} | {cell(required or default)} |"


def value_name(parameter) -> str:  # noqa: ANN001 - as above
    """What to write for the value: its metavar, its choices or its type."""
    if parameter.metavar is not None:
        return str(parameter.metavar).removesuffix("...").strip("[]")
    annotation = parameter.type_descriptor.annotation
    parts = (annotation,) if literal(annotation) else get_args(annotation)  # of list[KIND], or KIND | None
    kind = next((part for part in parts if part is not NoneType), annotation)
    if literal(kind):
        return "|".join(str(choice) for choice in get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    return parameter.name.upper() if is_argument(parameter) else TYPES.get(kind, "TEXT")


def literal(annotation: object) -> bool:
    """Whether a type is a list of allowed words."""
    return get_origin(annotation) is Literal


def split_default(about: str, default: str) -> tuple[str, str]:
    """The help text without a default in brackets at its end, and that default."""
    found = re.search(r"\s*\[default: ([^\]]*)\]\s*\.?$", about)
    return (f"{about[: found.start()].rstrip('.')}.", found[1]) if found else (about, default)


def default_of(parameter) -> str:  # noqa: ANN001 - as above
    """The default as one writes it; "" for none, and for a flag that is off."""
    value = parameter.default
    if callable(value) or value is None or value in ((), [], "") or type(value).__name__ == "Sentinel":
        return ""
    if isinstance(value, bool):
        return "" if not value and not parameter.secondary_opts else shown_flag(parameter, value)
    if isinstance(value, list | tuple):
        return ", ".join(f"`{item}`" for item in value)
    text = str(getattr(value, "value", value))
    return f"`{text.removeprefix(f'{ROOT}/')}`"  # a file of the package lies elsewhere on each machine


def shown_flag(parameter, value: bool) -> str:  # noqa: ANN001 - as above
    """The name of the flag that is in force."""
    names = parameter.opts if value or not parameter.secondary_opts else parameter.secondary_opts
    return f"`{names[0]}`"


def settings_page() -> str:
    """The reference of all settings, in the order of the class."""
    rows = [setting_row(name, field) for name, field in Settings.model_fields.items()]
    table = "\n".join(["| variable | what | default |", "|---|---|---|", *rows])
    return "\n\n".join(["# Settings", NOTE, HEAD, table, SAME, OTHERS])


def setting_row(name: str, field: FieldInfo) -> str:
    """One line of the table."""
    variable = str(field.validation_alias or f"{PREFIX}{name.upper()}")
    assert field.description, f"the setting {name!r} has no description"
    return f"| `{variable}` | {cell(field.description)} | {cell(setting_default(field))} |"


def setting_default(field: FieldInfo) -> str:
    """The default; of a function the first line of its docstring, because its value depends on the machine."""
    if field.default_factory is not None:
        return (inspect.getdoc(field.default_factory) or "").splitlines()[0].rstrip(".")
    value = field.default
    if value is None or value is PydanticUndefined or isinstance(value, SecretStr):
        return "unset"
    return f"`{int(value) if isinstance(value, bool) else f'{value:g}' if isinstance(value, float) else value}`"


def prose(text: str) -> str:
    """A docstring as Markdown: paragraphs stay, line breaks inside them do not matter; \\b and \\f of click go."""
    return re.sub(r"[\b\f]\n?", "", inspect.cleandoc(text))


def cell(text: str) -> str:
    """Text for a table: one line, and no bar that would end the cell."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|").strip()


PAGES = {
    ROOT / "docs" / "reference" / "commands.md": commands_page,
    ROOT / "docs" / "reference" / "settings.md": settings_page,
}


def differing() -> list[Path]:
    """The files that differ from the code."""
    return [file for file, page in PAGES.items() if not file.is_file() or file.read_text("utf-8") != page()]


def main() -> int:
    """Write the files, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file differs")
    found = differing()
    if parser.parse_args().check:
        for file in found:
            print(f"{file.relative_to(ROOT)} differs from the code; run: python docs/generate.py")
        return 1 if found else 0
    for file in found:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PAGES[file](), encoding="utf-8")
        print(f"wrote {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
