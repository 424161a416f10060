"""A private repository on a real HTTP server: the credentials of a worker's user are not for every run."""

import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from config.errors import WorkspaceError, WorkspaceRefusedError
from config.owner_policy import Policy
from tests.support.http_server import QuietHandler, serving
from worker.tools.workspace import open_workspace, reopen

LOGIN = "me:s3cret"
STRICT = Policy(roots=())


class Private(QuietHandler, SimpleHTTPRequestHandler):
    """Files of a folder; those below /private/ need the login."""

    def do_GET(self) -> None:
        given = self.headers.get("Authorization")
        if self.path.startswith("/private/") and given != f"Basic {b64encode(LOGIN.encode()).decode()}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """Address of a server with one public and one private repository."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("x = 1\n")
    git = ["git", "-C", str(code), "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    for name in ("public", "private"):
        bare = tmp_path / "served" / name / "code.git"
        subprocess.run(["git", "clone", "-q", "--bare", str(code), str(bare)], check=True)
        subprocess.run(["git", "-C", str(bare), "update-server-info"], check=True)
    with serving(partial(Private, directory=str(tmp_path / "served"))) as address:
        yield address.removesuffix("/v1")


def netrc(home: Path, host: str) -> None:
    """What curl reads."""
    user, password = LOGIN.split(":")
    (home / ".netrc").write_text(f"machine 127.0.0.1 login {user} password {password}\n")


def helper(home: Path, host: str) -> None:
    """As git asks a keychain."""
    (home / "stored").write_text(f"{host.replace('://', f'://{LOGIN}@')}\n")
    (home / ".gitconfig").write_text(f"[credential]\n\thelper = store --file={home / 'stored'}\n")


def rewritten(home: Path, host: str) -> None:
    """As continuous integration has it."""
    (home / "xdg" / "git").mkdir(parents=True)
    (home / "xdg" / "git" / "config").write_text(
        f'[url "{host.replace("://", f"://{LOGIN}@")}"]\n\tinsteadOf = {host}\n'
    )


def asked(home: Path, host: str) -> None:
    """As a desktop asks for a password."""
    program = home / "ask"
    user, password = LOGIN.split(":")
    program.write_text(f'#!/bin/sh\ncase "$1" in Username*) echo {user};; *) echo {password};; esac\n')
    program.chmod(0o700)
    (home / ".gitconfig").write_text(f"[core]\n\taskPass = {program}\n")


@pytest.mark.parametrize("log_in", [netrc, helper, rewritten, asked])
def test_a_private_repository_is_read_only_where_the_owner_lends_credentials(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_in: Callable[[Path, str], None]
) -> None:
    """Fails without ANONYMOUS in checkout.py, and without the policy in _mirror: the owner's clone is in the cache."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    log_in(home, host)
    private, public = f"{host}/private/code.git", f"{host}/public/code.git"

    def refused() -> None:
        with pytest.raises(
            WorkspaceRefusedError, match=f"git credentials for '{private}'.*--workspace-root {host}/private/"
        ):
            open_workspace(f"{private}@main", cache=cache, policy=STRICT)

    refused()
    own = open_workspace(f"{private}@main", cache=cache)  # a command that this user runs
    assert (own.root / "a.py").read_text() == "x = 1\n"
    refused()
    with pytest.raises(WorkspaceError, match="has not been fetched"):
        reopen(own.pin, cache=cache, policy=STRICT)
    named = Policy(roots=(), urls=(f"{host}/private/",))
    assert open_workspace(f"{private}@main", cache=cache, policy=named).pin == own.pin
    with pytest.raises(WorkspaceRefusedError):
        open_workspace(
            f"{host}/public/../private/code.git@main", cache=cache, policy=Policy((), (), (f"{host}/public/",))
        )
    assert open_workspace(f"{public}@main", cache=cache, policy=STRICT).pin.commit == own.pin.commit
