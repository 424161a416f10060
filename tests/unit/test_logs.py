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
