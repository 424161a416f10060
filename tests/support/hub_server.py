"""A small model hub: the endpoints that huggingface_hub 2.4 uses to list and download models of a folder.

python -m tests.support.hub_server --root DIR --port P      (then HF_ENDPOINT=http://127.0.0.1:P)

DIR/ORG/NAME/ is a model's branch main, DIR/ORG/NAME@BRANCH/ another branch. Files of LARGE_BYTES or more are
stored as LFS: their ETag is the sha256, and a download is redirected, as on the real hub.
"""

import argparse
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGE_BYTES = 10_000
CHUNK = 16 * 1024
TOKEN = "hf_test"  # opens a gated model


@dataclass(frozen=True)
class StoredFile:
    """One file of a published model."""

    path: Path
    name: str

    @cached_property
    def sha256(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    @property
    def large(self) -> bool:
        return self.size >= LARGE_BYTES

    @property
    def oid(self) -> str:
        return self.sha256[:40]

    def as_json(self) -> dict[str, object]:
        lfs = {"lfs": {"oid": self.sha256, "size": self.size, "pointerSize": 134}} if self.large else {}
        return {"type": "file", "path": self.name, "size": self.size, "oid": self.oid, **lfs}


@dataclass
class Hub:
    """What is published, what is planted, and what was asked for. Fields may be changed while the server runs."""

    root: Path
    gated: frozenset[str] = frozenset()
    """models that need TOKEN; their metadata is public, as on the real hub"""
    bytes_per_second: float = float("inf")
    dies_after: float = float("inf")
    """bytes of large files; then every connection is cut, until this is raised"""
    damaged: frozenset[str] = frozenset()
    """names of large files of which wrong bytes are sent"""
    sent: Counter[str] = field(default_factory=Counter)
    """bytes of each large file, by name"""
    ranges: list[tuple[str, int]] = field(default_factory=list)
    """first byte of each request for a large file"""
    requests: int = 0

    @property
    def dead(self) -> bool:
        return self.sent.total() >= self.dies_after

    def branches(self, model: str) -> dict[str, list[StoredFile]]:
        """Files per branch; {} if there is no such model."""
        found = {"main": self.root / model}
        found |= {at.name.partition("@")[2]: at for at in self.root.glob(f"{model}@*")}
        return {name: _files(folder) for name, folder in found.items() if folder.is_dir()}

    def revision(self, model: str, revision: str) -> tuple[str, list[StoredFile]] | None:
        """Commit and files of a branch or a commit."""
        for branch, files in self.branches(model).items():
            if revision in (branch, commit := commit_of(files)):
                return commit, files
        return None

    def stored(self, sha256: str) -> StoredFile | None:
        """A large file by its hash."""
        every = (file for path in sorted(self.root.glob("*/*")) for file in _files(path))
        return next((file for file in every if file.large and file.sha256 == sha256), None)


_FILES: dict[Path, list[StoredFile]] = {}


def _files(folder: Path) -> list[StoredFile]:
    """The files of a folder, hashed once."""
    if folder not in _FILES:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        _FILES[folder] = [StoredFile(path, path.relative_to(folder).as_posix()) for path in paths]
    return _FILES[folder]


def commit_of(files: Sequence[StoredFile]) -> str:
    """Forty hex digits that follow from the files."""
    return hashlib.sha1("\n".join(f"{file.name} {file.sha256}" for file in files).encode()).hexdigest()


class HubHandler(BaseHTTPRequestHandler):
    """Answers one request. `hub` is set by `hub_handler`."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.requests += 1
        if self.hub.dead:
            self.close_connection = True
            return
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        match parts:
            case ["api", "models", org, name]:
                self._info(f"{org}/{name}", "main")
            case ["api", "models", org, name, "revision", revision]:
                self._info(f"{org}/{name}", revision)
            case ["api", "models", org, name, "tree", revision, *_]:
                if found := self._found(f"{org}/{name}", revision):
                    self._json([file.as_json() for file in found[1]])
            case [org, name, "resolve", revision, *path]:
                self._resolve(f"{org}/{name}", revision, "/".join(path))
            case ["cdn", commit, sha256] if stored := self.hub.stored(sha256):
                self._send_large(stored, commit)
            case _:
                self._error(HTTPStatus.NOT_FOUND, "EntryNotFound")

    def _info(self, model: str, revision: str) -> None:
        if found := self._found(model, revision):
            siblings = [{"rfilename": file.name} for file in found[1]]
            self._json({"id": model, "modelId": model, "sha": found[0], "siblings": siblings, "private": False})

    def _found(self, model: str, revision: str) -> tuple[str, list[StoredFile]] | None:
        """The revision; otherwise the error is sent."""
        if not self.hub.branches(model):
            self._error(HTTPStatus.UNAUTHORIZED, "RepoNotFound")  # the real hub's answer to strangers
            return None
        found = self.hub.revision(model, revision)
        if found is None:
            self._error(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        return found

    def _resolve(self, model: str, revision: str, name: str) -> None:
        found = self._found(model, revision)
        if found is None:
            return
        if model in self.hub.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._error(HTTPStatus.FORBIDDEN, "GatedRepo")
            return
        commit, files = found
        file = next((file for file in files if file.name == name), None)
        if file is None:
            self._error(HTTPStatus.NOT_FOUND, "EntryNotFound")
        elif file.large:
            self._start(HTTPStatus.FOUND, 0, {
                "Location": f"http://{self.headers['Host']}/cdn/{commit}/{file.sha256}", "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size),
            })  # fmt: skip
        else:
            self._start(HTTPStatus.OK, file.size, {"ETag": f'"{file.oid}"', "X-Repo-Commit": commit})
            self._body(file.path.read_bytes())

    def _send_large(self, file: StoredFile, commit: str) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        status = HTTPStatus.PARTIAL_CONTENT if "Range" in self.headers else HTTPStatus.OK
        span = {"Content-Range": f"bytes {start}-{file.size - 1}/{file.size}"} if "Range" in self.headers else {}
        self._start(status, file.size - start, {"ETag": f'"{file.sha256}"', "X-Repo-Commit": commit, **span})
        if self.command == "HEAD":
            return
        self.hub.ranges.append((file.name, start))
        with file.path.open("rb") as stream, suppress(ConnectionError):
            stream.seek(start)
            while chunk := stream.read(CHUNK):
                if self.hub.dead:
                    self.close_connection = True
                    return
                self._body(bytes(len(chunk)) if file.name in self.hub.damaged else chunk)
                self.hub.sent[file.name] += len(chunk)
                time.sleep(len(chunk) / self.hub.bytes_per_second)

    def _json(self, body: object) -> None:
        content = json.dumps(body).encode()
        self._start(HTTPStatus.OK, len(content), {"Content-Type": "application/json"})
        self._body(content)

    def _error(self, status: HTTPStatus, code: str) -> None:
        self._start(status, 0, {"X-Error-Code": code})

    def _start(self, status: HTTPStatus, size: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, content: bytes) -> None:
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub_server(hub: Hub, port: int = 0) -> Iterator[str]:
    """The hub's address, for HF_ENDPOINT, between `with` and its end."""
    handler = type("Handler", (HubHandler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Serve until a signal arrives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--root", type=Path, required=True, help="folder of ORG/NAME/ folders")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bytes-per-second", type=float, default=float("inf"), help="speed of each connection")
    parser.add_argument("--dies-after", type=float, default=float("inf"), help="bytes of large files")
    parser.add_argument("--gated", nargs="*", default=[], metavar="ORG/NAME", help=f"needs the token {TOKEN}")
    options = parser.parse_args()
    hub = Hub(options.root, frozenset(options.gated), options.bytes_per_second, options.dies_after)
    with hub_server(hub, options.port) as url:
        print(f"hub at {url}", flush=True)
        while not hub.dead:
            time.sleep(0.1)
    raise SystemExit(f"died after {hub.sent.total()} bytes")


if __name__ == "__main__":
    main()
