"""The table of docs/first-mistakes.md: what newcomers type, and the line that answers it.

pytest tests/integration/test_first_mistakes.py tests/integration/test_worker_name.py --write-mistakes
writes the lines that appear into the page; without the option these tests fail where it differs.
"""

from dataclasses import dataclass
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "first-mistakes.md"
PREFIX = "applejack: "


@dataclass(frozen=True)
class Mistake:
    """One row. Ports and directories are those of a usual machine; a test puts its own in their place."""

    what: str
    command: str
    code: int
    line: str
    """on stderr, without PREFIX"""

    def check(self, code: object, line: str, *, config: pytest.Config) -> None:
        """Assert that the page tells what has happened; with --write-mistakes, write the line into the page."""
        assert code == self.code, line
        if config.getoption("write_mistakes"):
            PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(_row(self), _row(self, line)), encoding="utf-8")
        else:
            assert line == self.line


def mistakes() -> dict[str, Mistake]:
    """The rows of the page by what the mistake is."""
    cells = [row.strip("| ").split(" | ") for row in PAGE.read_text(encoding="utf-8").splitlines() if "| `" in row]
    rows = [Mistake(what, command.strip("`"), int(code), line.strip("`")) for what, command, code, line in cells]
    assert len({row.what for row in rows}) == len(rows)
    return {row.what: row for row in rows}


def _row(mistake: Mistake, line: str | None = None) -> str:
    cells = (mistake.what, _as_code(mistake.command), str(mistake.code), _as_code(line or mistake.line))
    return f"| {' | '.join(cells)} |"


def _as_code(text: str) -> str:
    assert "|" not in text
    assert text.strip("`") == text
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
