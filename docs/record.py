"""Runs a command in a real terminal of 100 columns and saves its last screen as an SVG picture.

    python docs/record.py docs/demo.svg -- applejack demo

The picture in the README was made with exactly this command. The command's exit code is passed on.
"""

import argparse
import os
import pty
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-HJKSTfhlsu]|\x1b[=>]")  # everything but colours: rich draws text, not a screen


def run(command: list[str]) -> tuple[bytes, int]:
    """Run the command in a pseudo-terminal; its output and its exit code."""
    output = bytearray()

    def read(descriptor: int) -> bytes:
        chunk = os.read(descriptor, 65536)
        output.extend(chunk)
        return chunk

    os.environ.update(COLUMNS=str(COLUMNS), LINES="40", TERM="xterm-256color", COLORTERM="truecolor")
    status = pty.spawn(command, read)
    return bytes(output), os.waitstatus_to_exitcode(status)


def lines(output: bytes) -> list[str]:
    """The lines that stay on the screen: of a line that was redrawn, only its last state."""
    kept: list[str] = []
    for line in output.replace(b"\r\n", b"\n").split(b"\n"):
        redrawn = b"\x1b[2K" in line or b"\x1b[1A" in line
        last = re.split(rb"\x1b\[2K|\r", line)[-1] if redrawn else line
        kept.append(ESCAPES.sub(b"", last).decode(errors="replace").rstrip())
    return kept


def main() -> None:
    """Record one command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", help="the SVG file to write")
    parser.add_argument("--last", type=int, default=47, help="how many of the last lines the picture shows")
    parser.add_argument("command", nargs="+", help="the command, after --")
    asked = parser.parse_args()
    output, code = run(asked.command)
    save(asked.out, asked.command, output, last=asked.last)
    sys.exit(code)


def save(out: str, command: list[str], output: bytes, *, last: int) -> None:
    """Draw the last lines of the output; the working directory is shown as "."."""
    text = output.replace(str(Path.cwd()).encode(), b".")
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115, PTH123
    console.print(f"[bold]$ {' '.join(command)}[/bold]")
    for line in lines(text)[-last:]:
        console.print(Text.from_ansi(line))
    svg = re.sub(
        r"@font-face \{.*?\}\s*", "", console.export_svg(title="applejack"), flags=re.DOTALL
    )  # they are fetched
    Path(out).write_text(svg.replace("Fira Code", "monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
