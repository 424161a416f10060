"""No text of a run reaches a terminal as an escape sequence, as markup, or as a link."""

import io
import json

import pytest
from rich.table import Table
from rich.text import Text

from config.console import PlainConsole
from config.terminal import plain, say, say_json

ATTACKS = [
    "\x1b]0;title\x07",  # the window's title
    "\x1b]52;c;aGFja2Vk\x07",  # the clipboard
    "\x1b]8;;http://evil.example\x1b\\text\x1b]8;;\x1b\\",  # a link
    "\x1b[2J\x1b[1;1H",  # clears the screen
    "\x1b[8mhidden\x1b[0m",
    "\x9b31m\x9d0;title\x9c",  # the same in C1
    "50 of 100\r100 of 100",  # writes over the line
    "a\x08b\x7f",
    "\u202egnp.exe\u202c\u2066x\u2069",  # changes the order of a line
]
CODES = (*range(9), *range(0xB, 0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
BAD = set(map(chr, CODES))


def shown(attack: str) -> list[str]:
    """What a console prints of a text, of a Text, and of a table with it."""
    table = Table("a")
    table.add_row(attack)
    texts = []
    for content in (attack, Text(attack, "bold"), table):
        out = io.StringIO()
        PlainConsole(file=out).print(content)
        texts.append(out.getvalue())
    return texts


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_console_prints_no_control_character(attack: str) -> None:
    """Fails without PlainConsole.render."""
    assert [text for text in shown(f"before {attack} after") if BAD & set(text) or "after" not in text] == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_printed_line_has_no_control_character(attack: str, capsys: pytest.CaptureFixture[str]) -> None:
    say(f"before {attack} after")
    say_json({"answer": attack, attack: 1})
    line, body = capsys.readouterr().out.splitlines()
    assert not BAD & set(line + body)
    assert json.loads(body) == {"answer": attack, attack: 1}  # a program reads what was there


@pytest.mark.parametrize("markup", ["[link=http://evil.example]x[/link]", "[/red]", "[bold]x[/bold]", "x\\"])
def test_markup_in_a_text_is_printed_as_it_is(markup: str) -> None:
    """Fails without markup=False: the first would be a link, the second end the command."""
    assert [text for text in shown(markup) if markup not in text] == []


def test_line_breaks_and_tabs_stay() -> None:
    assert plain("a\tb\n") == "a\tb\n"


def test_a_text_that_cannot_be_encoded_is_printed(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    say("a \ud800 b")
    say_json({"a": "\ud800"})
    assert capsysbinary.readouterr().out == b'a ? b\n{"a": "\\ud800"}\n'
