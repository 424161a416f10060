"""docs/reference is what docs/generate.py writes from the code."""

import re
from pathlib import Path

import pytest
import typer

from docs import generate
from producer.cli import COMMANDS


@pytest.mark.parametrize("file", generate.PAGES, ids=lambda file: str(file.name))
def test_the_reference_is_that_of_the_code(file: object) -> None:
    assert file not in generate.differing(), "run: python docs/generate.py"


def test_a_reference_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PAGES", {file: lambda: "other" for file in generate.PAGES})
    assert generate.differing() == list(generate.PAGES)


def test_every_command_has_a_section_and_every_option_a_text() -> None:
    page = generate.commands_page()
    assert [name for name in COMMANDS if f"\n## {name}\n" not in page] == []
    assert re.findall(r"^\| `.+?` \|  \|.*", page, re.MULTILINE) == []


def test_the_commands_of_a_group_have_sections_of_their_own() -> None:
    group = typer.Typer(add_completion=False)

    @group.command()
    def pause(name: str, force: bool = typer.Option(False, "--force", help="At once.")) -> None:
        """Pause a worker."""

    @group.command()
    def drain(name: str) -> None:
        """Drain a worker."""

    sections = list(generate.describe(typer.main.get_command(group), ["worker"]))
    assert "### worker pause" in sections
    assert "    applejack worker pause NAME [OPTIONS]" in sections
    assert any("| `--force` | At once. |" in section for section in sections)


ROOT = Path(__file__).resolve().parents[2]
WRITTEN = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "config" / "deploy" / "README.md"])


def blocks(text: str) -> str:
    """The shell blocks of a page and its indented blocks, with continued lines joined and comments left out."""
    fenced = re.findall(r"(?ms)^ *```sh\n(.*?)^ *```", text)
    indented = re.findall(r"(?m)^ {4}(?! *[-*|]).*$", re.sub(r"(?ms)^ *```.*?^ *```", "", text))
    return re.sub(r"(?m)(^|\s)#.*", "", "\n".join([*fenced, *indented]).replace("\\\n", " "))


def prose(text: str) -> str:
    """The commands in the sentences of a page, a line each."""
    sentences = re.sub(r"(?m)^ {4}.*$", "", re.sub(r"(?ms)^ *```.*?^ *```", "", text))
    return "\n".join(" ".join(found.split()) for found in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", sentences))


def command_lines(text: str) -> list[str]:
    """What follows `applejack` in each of these lines."""
    found = (re.search(r"(?:^|[\s/])applejack ([a-z].*)", part) for part in re.split(r"&&|\||;|\n", text))
    return [at[1].strip() for at in found if at]


def options_of(command: typer.core.TyperCommand) -> set[str]:
    """The options of a command and of its subcommands."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*(options_of(child) for child in getattr(command, "commands", {}).values()), {"--help", "--json"})


def unknown_options(line: str) -> list[str]:
    """Options in a command line that the command does not have."""
    name, _, rest = line.partition(" ")
    if name not in COMMANDS:
        return []
    given = re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", re.sub(r"\"[^\"]*\"|'[^']*'", "", rest))
    return [option for option in given if option not in options_of(generate.command_of(name))]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_in_the_docs_has_only_options_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    lines = command_lines(f"{blocks(text)}\n{prose(text)}")
    assert [(line, wrong) for line in lines if (wrong := unknown_options(line))] == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_block_of_the_docs_exists(page: Path) -> None:
    fenced = "".join(re.findall(r"(?ms)^ *```sh\n.*?^ *```\n", page.read_text(encoding="utf-8")))
    assert {line.split()[0] for line in command_lines(blocks(fenced))} - set(COMMANDS) == set()


def test_an_option_that_does_not_exist_is_found() -> None:
    text = "Run `applejack submit x\n--job-second 3`.\n```sh\nuv run applejack status --wtach   # --nothing\n```\n"
    lines = command_lines(f"{blocks(text)}\n{prose(text)}")
    assert [unknown_options(line) for line in lines] == [["--wtach"], ["--job-second"]]
