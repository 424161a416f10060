"""Log lines of an exception hold no local variables: those of a connection are its URL with the password."""

import subprocess
import sys
import textwrap
from typing import Literal

import pytest

SECRET = "hunter2"
CODE = """
    from config import logs
    from config.settings import Settings
    logs.configure(Settings(log_format={format!r}))
    def connect(url):
        raise ConnectionError("refused")
    try:
        connect("redis://:" + "hunter" + "2@host:6379/0")
    except ConnectionError:
        logs.get("test").exception("connection.failed")
"""


@pytest.mark.parametrize("log_format", ["json", "pretty"])
def test_a_traceback_holds_no_local_variables(log_format: Literal["json", "pretty"]) -> None:
    code = textwrap.dedent(CODE.format(format=log_format))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "connection.failed" in done.stderr
    assert "refused" in done.stderr
    assert SECRET not in done.stderr


def test_escape_sequences_do_not_reach_a_terminal_through_a_log() -> None:
    """Fails without _without_controls and _plain_traceback."""
    code = """
        from config import logs
        from config.settings import Settings
        logs.configure(Settings(log_format="pretty"))
        try:
            raise ConnectionError("\\x1b]52;c;aaaa\\x07")
        except ConnectionError:
            logs.get("test").exception("failed", worker="\\x1b]0;title\\x07", reason="\\x9b2J")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "52;c;aaaa" in done.stderr
    assert "title" in done.stderr
    assert not {"\x1b]", "\x07", "\x9b"} & {done.stderr[at : at + n] for at in range(len(done.stderr)) for n in (1, 2)}
