"""Downloads a model from the hub into its cache, so that a killed download continues where it ended.

huggingface_hub writes each try into a new file, so nothing of a killed one is used again. Here the large files (those
with a sha256) are downloaded first: with Range requests into blobs/SHA256.applejack-partial, checked, then renamed to
blobs/SHA256. huggingface_hub finds them there, downloads the small files and makes links and refs.
Xet's own protocol is not used: it cannot continue after a kill, and the hub serves the same bytes over plain HTTP.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from filelock import FileLock, Timeout
from huggingface_hub import HfApi, constants, get_session, hf_hub_url, hf_raise_for_status, snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, logging

from config import logs
from config.errors import DownloadError
from config.model_names import parse_model
from worker.models.hub_errors import hub_errors
from worker.models.progress import OnProgress, Progress
from worker.models.remote import Remote, RemoteFile, list_files, size_of
from worker.models.resolve import (
    MODEL_FILES,
    TOKENIZER_FILES,
    LocalModel,
    NotHereError,
    hub_cache,
    local_model,
    pull_name,
)

MARGIN_BYTES = 1 << 30  # the same minimum that a worker needs to take jobs
RETRIES = 8  # connections in a row without a byte: two minutes in all
LONGEST_WAIT = 30.0  # seconds between them
READ_SECONDS = 30.0  # without a byte
POLL_SECONDS = 0.5  # between two looks at another process's download
REPORT_SECONDS = 0.5  # between two reports of progress

log = logs.get(__name__)


def ignore(_: Progress) -> None:
    """Report no progress."""


def never() -> bool:
    """Do not cancel."""
    return False


def free_bytes(folder: Path) -> int:
    """Free space on the disk of a folder, which may not exist yet."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.is_dir())).free


def ensure_local(
    model: str,
    *,
    revision: str | None = None,
    weights: bool = True,
    on_progress: OnProgress = ignore,
    cancelled: Callable[[], bool] = never,
) -> LocalModel:
    """The model on this machine; a hub id that is missing is downloaded first. The hub is not asked for a newer one."""
    try:
        return local_model(model, revision=revision, weights=weights)
    except NotHereError:
        return pull(model, revision=revision, weights=weights, on_progress=on_progress, cancelled=cancelled)


def pull(
    model: str,
    *,
    revision: str | None = None,
    weights: bool = True,
    on_progress: OnProgress = ignore,
    cancelled: Callable[[], bool] = never,
    free: Callable[[Path], int] = free_bytes,
) -> LocalModel:
    """Download what is missing of a hub id's revision (default: the newest of the default branch).

    Raises UsageError if the user has to act (wrong name, no access, offline), DownloadError for hub, network and disk.
    One process of a machine downloads a model at a time; the others wait and report its progress.
    """
    name = parse_model(model)
    revision = revision or name.revision
    if name.path:
        return local_model(model)
    if constants.is_offline_mode():
        try:
            return local_model(model, revision=revision, weights=weights)
        except NotHereError as error:
            raise NotHereError(f"{error} (HF_HUB_OFFLINE is set: unset it for that)") from None
    disable_progress_bars()  # ours counts what earlier tries have left
    logging.set_verbosity(logging.ERROR)  # its warnings repeat our errors
    with hub_errors(name.id, revision):
        HfApi().model_info(name.id, revision=revision)  # without a hub this raises; the next line warns and goes on
        resolved = HfApi().resolve_revision(name.id, revision=revision)
        patterns = list(MODEL_FILES if weights else TOKENIZER_FILES)
        remote = Remote(name.id, resolved.resolved, list_files(name.id, resolved.resolved, patterns))
        with _alone(remote, on_progress, cancelled):
            _require_space(remote, free)
            reporter = Reporter(remote, on_progress, cancelled)
            for file in remote.files:
                if file.sha256 and not remote.has(file):
                    Transfer(remote, file, reporter).run()
            path = snapshot_download(name.id, revision=resolved, allow_patterns=patterns)
            reporter.report(last=True)
    return LocalModel(Path(path), name.id, resolved.resolved)


class Reporter:
    """Reports progress, at most twice a second, and stops a cancelled download."""

    def __init__(self, remote: Remote, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        self._remote, self._on_progress, self._cancelled = remote, on_progress, cancelled
        self._next = 0.0

    def report(self, *, last: bool = False) -> None:
        """Report now if the time has come; DownloadError if the download is cancelled."""
        _stop_if(self._cancelled, self._remote.model)
        if last or time.monotonic() >= self._next:
            self._on_progress(Progress(self._remote.model, self._remote.present(), self._remote.size))
            self._next = time.monotonic() + REPORT_SECONDS

    def wait(self, seconds: float) -> None:
        """Sleep, unless cancelled."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _stop_if(self._cancelled, self._remote.model)
            time.sleep(min(POLL_SECONDS, seconds))


@dataclass
class Transfer:
    """The download of one large file, continued from its partial file."""

    remote: Remote
    file: RemoteFile
    reporter: Reporter
    failures: int = 0

    def run(self) -> None:
        """Download, check and rename. A lost connection is made again; DownloadError or the last error otherwise."""
        partial = self.remote.partial(self.file)
        partial.parent.mkdir(parents=True, exist_ok=True)
        if size_of(partial) > self.file.size:
            partial.unlink()
        while size_of(partial) < self.file.size:
            try:
                self._receive(partial)
            except (httpx2.TransportError, HfHubHTTPError) as error:
                self.failures += 1
                if self.failures > RETRIES or not _passes(error):
                    raise
                log.warning("download.interrupted", model=self.remote.model, file=self.file.name, error=str(error))
                self.reporter.wait(min(LONGEST_WAIT, 2.0 ** (self.failures - 1)))
        with partial.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != self.file.sha256:
            partial.unlink()
            raise DownloadError(
                f"{self.file.name!r} of {self.remote.model!r} arrived damaged (sha256 {found[:12]}..., expected "
                f"{str(self.file.sha256)[:12]}...) and was removed; run `applejack pull` again"
            )
        partial.replace(self.remote.blob(self.file))

    def _receive(self, partial: Path) -> None:
        """Append what the hub sends to the partial file, unbuffered: a kill loses nothing that has arrived."""
        start = size_of(partial)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        url = hf_hub_url(self.remote.model, self.file.name, revision=self.remote.commit)
        with get_session().stream("GET", url, headers=headers, timeout=READ_SECONDS) as response:
            hf_raise_for_status(response)
            # a server that ignores Range sends the whole file
            continues = start > 0 and response.status_code == httpx2.codes.PARTIAL_CONTENT
            with partial.open("ab" if continues else "wb", buffering=0) as out:
                for chunk in response.iter_raw():
                    out.write(chunk)
                    self.failures = 0
                    self.reporter.report()


@contextmanager
def _alone(remote: Remote, on_progress: OnProgress, cancelled: Callable[[], bool]) -> Iterator[None]:
    """Hold this machine's lock of one model; while another process holds it, report that process's progress."""
    folder = hub_cache() / ".locks" / remote.folder.name
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / "applejack-pull.lock"), folder / "applejack-pull.owner"
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            by = owner.read_text(encoding="utf-8") if owner.is_file() else "another process"
            on_progress(Progress(remote.model, remote.present(), remote.size, by=by))
            _stop_if(cancelled, remote.model)
            time.sleep(POLL_SECONDS)
    try:
        owner.write_text(f"process {os.getpid()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _require_space(remote: Remote, free: Callable[[Path], int]) -> None:
    needed, there = remote.size - remote.present(), free(remote.folder)
    if needed and there < needed + MARGIN_BYTES:
        raise DownloadError(
            f"{remote.model!r} needs {needed / 1e9:.1f} GB more and {MARGIN_BYTES / 1e9:.1f} GB to spare, but "
            f"{str(remote.folder.parent)!r} has {there / 1e9:.1f} GB free: free some space, or set HF_HOME to another "
            "disk"
        )


def _stop_if(cancelled: Callable[[], bool], model: str) -> None:
    if cancelled():
        raise DownloadError(
            f"the download of {model!r} was stopped; `applejack pull {pull_name(model, None)}` continues it"
        )


def _passes(error: httpx2.TransportError | HfHubHTTPError) -> bool:
    """Whether a retry may help: a lost connection, an overloaded or failing server."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500 or error.response.status_code in {408, 429}
    return True
