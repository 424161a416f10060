"""docs/reference is what docs/generate.py writes from the code."""

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
    assert [
        line for line in page.splitlines() if line.startswith("| `") and "|  |" in line and line.count("|") > 4
    ] == []


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
