"""The journal of a generate worker: what it made, on its own disk, from which a lost ledger can be rebuilt.

    DIR/journal/RUN/run.json         the run's spec
                    prompts.jsonl    all its prompts, in order; {"unreadable": job_id} for one that the ledger had lost
                    unseen.jsonl     its questions about unseen code, if it has any
                    WORKER.jsonl     one line per trajectory; {"dropped": [job_id, attempt]} takes one back

A worker writes a trajectory here before it stores it in the ledger, and takes it back if the ledger refuses it. It
deletes the folder of a run that has been archived. What a full disk does not take is kept in memory for `catch_up`.
"""

import errno
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from config.atomic_files import replace_file, write_lines, write_text
from config.ledger import Ledger, RunView
from config.records import Prompt, Spec, Trajectory, job_id
from config.topology import UNSEEN

SPEC, PROMPTS, UNSEEN_FILE = "run.json", "prompts.jsonl", f"{UNSEEN}.jsonl"
UNREADABLE = "unreadable"
DROPPED = b'{"dropped":'  # start of a line that takes a trajectory back
OWN_FILES = {PROMPTS, UNSEEN_FILE}


@dataclass
class Journal:
    """The journal of one worker; its methods may be called from any thread."""

    folder: Path
    worker: str
    _kept: set[str] = field(default_factory=set)
    """runs whose spec and prompts are on this disk"""
    _unkept: dict[str, RunView] = field(default_factory=dict)
    """runs whose spec or prompts the disk did not take"""
    _unwritten: list[tuple[str, str]] = field(default_factory=list)
    """(run_id, line) that the disk did not take, oldest first"""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep_run(self, ledger: Ledger, run: RunView) -> None:
        """Copy the run's spec and prompts here, once. StoreError or OSError if that fails."""
        run_id = run.spec.run_id
        with self._lock:
            if run_id in self._kept:
                return
            try:
                self._copy(ledger, run)
            except OSError:
                self._unkept[run_id] = run
                raise
            self._kept.add(run_id)
            self._unkept.pop(run_id, None)

    def _copy(self, ledger: Ledger, run: RunView) -> None:
        run_id, place = run.spec.run_id, self.folder / run.spec.run_id
        if (place / SPEC).is_file():
            return
        place.mkdir(parents=True, exist_ok=True)
        ids = ledger.jobs.ids(run_id)
        prompts = zip(ids, ledger.jobs.readable_prompts(run_id, ids), strict=True)
        with replace_file(place / PROMPTS, private=True) as fresh:
            write_lines(fresh, (prompt_line(job, prompt) for job, prompt in prompts))
        if (unseen := ledger.files.read(run_id, UNSEEN, UNSEEN_FILE)) is not None:
            write_text(place / UNSEEN_FILE, unseen.decode(), private=True)
        write_text(place / SPEC, run.spec.model_dump_json(), private=True)  # last: it says that all is here

    def add(self, trajectory: Trajectory) -> None:
        """Write a trajectory, and wait until it is on the disk. OSError if that fails."""
        self._append(trajectory.run_id, trajectory.model_dump_json(exclude_defaults=True))

    def drop(self, trajectory: Trajectory) -> None:
        """Take a trajectory back, which the ledger has refused: it was the second one, or too late."""
        self._append(trajectory.run_id, json.dumps({"dropped": [trajectory.job_id, trajectory.attempt]}))

    def forget(self, run_id: str) -> None:
        """Delete the run's folder."""
        with self._lock:
            self._kept.discard(run_id)
            self._unkept.pop(run_id, None)
            self._unwritten = [(run, line) for run, line in self._unwritten if run != run_id]
            shutil.rmtree(self.folder / run_id, ignore_errors=True)

    def runs(self) -> list[str]:
        """Ids of the runs with a folder here."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []

    def catch_up(self, ledger: Ledger) -> None:
        """Write what earlier calls could not write. StoreError or OSError if that fails again."""
        with self._lock:
            self._write()
            unkept = list(self._unkept.values())
        for run in unkept:
            self.keep_run(ledger, run)

    def _append(self, run_id: str, line: str) -> None:
        with self._lock:
            self._unwritten.append((run_id, line))
            self._write()

    def _write(self) -> None:
        while self._unwritten:
            run_id, line = self._unwritten[0]
            place = self.folder / run_id
            place.mkdir(parents=True, exist_ok=True)
            _append_line(place / f"{self.worker}.jsonl", f"{line}\n".encode())
            del self._unwritten[0]


def _append_line(path: Path, line: bytes) -> None:
    """Append a line and wait until it is on the disk; OSError, and the file is as before, if it does not fit."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        end = os.fstat(file).st_size
        if end and os.pread(file, 1, end - 1) != b"\n":  # the power went in mid-line: only that line is lost
            line = b"\n" + line
        try:
            if os.write(file, line) < len(line):  # a full disk takes the first bytes without an error
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)
            raise
    finally:
        os.close(file)


def prompt_line(job: str, prompt: Prompt | None) -> str:
    """A line of prompts.jsonl."""
    return prompt.model_dump_json(exclude_defaults=True) if prompt else json.dumps({UNREADABLE: job})


@dataclass(frozen=True)
class Entries:
    """What the journals of some workers hold of one run."""

    run_id: str
    spec: Spec
    jobs: tuple[tuple[str, Prompt | None], ...]
    """the run's job ids and prompts, in order; None for a prompt that no journal has"""
    unseen: str | None
    """content of unseen.jsonl"""
    files: tuple[Path, ...]
    """one per worker"""

    def prompt(self, job: str) -> Prompt | None:
        """The prompt of a job; None if the run does not have it."""
        number = int(job.partition("-")[0]) - 1
        return self.jobs[number][1] if 0 <= number < len(self.jobs) else None

    def trajectories(self, broken: list[str]) -> Iterator[Trajectory]:
        """The trajectories that were not taken back. Lines that cannot be read are added to `broken`, "FILE:LINE"."""
        for file in self.files:
            dropped = {entry for entry in _lines(file, []) if isinstance(entry, tuple)}
            for entry in _lines(file, broken):
                if isinstance(entry, Trajectory) and (entry.job_id, entry.attempt) not in dropped:
                    yield entry


def read(folders: list[Path]) -> list[Entries]:
    """What the folders hold, run by run. A folder is a journal, or the folder of one run in it."""
    places: dict[str, list[Path]] = {}
    for folder in folders:
        found = [folder] if (folder / SPEC).is_file() else sorted(folder.iterdir()) if folder.is_dir() else []
        for place in found:
            if (place / SPEC).is_file():
                places.setdefault(place.name, []).append(place)
    return [_entries(run_id, found) for run_id, found in sorted(places.items())]


def _entries(run_id: str, places: list[Path]) -> Entries:
    unseen = next((place / UNSEEN_FILE for place in places if (place / UNSEEN_FILE).is_file()), None)
    return Entries(
        run_id,
        Spec.model_validate_json((places[0] / SPEC).read_text(encoding="utf-8")),
        _jobs(places),
        unseen.read_text(encoding="utf-8") if unseen else None,
        tuple(file for place in places for file in sorted(place.glob("*.jsonl")) if file.name not in OWN_FILES),
    )


def _jobs(places: list[Path]) -> tuple[tuple[str, Prompt | None], ...]:
    """The jobs of the first place; a prompt that it lacks is taken from the others."""
    jobs = _prompts(places[0])
    for place in places[1:]:
        if all(prompt for _, prompt in jobs):
            break
        jobs = [known if known[1] else found for known, found in zip(jobs, _prompts(place), strict=False)]
    return tuple(jobs)


def _prompts(place: Path) -> list[tuple[str, Prompt | None]]:
    found: list[tuple[str, Prompt | None]] = []
    with (place / PROMPTS).open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith(b'{"%s":' % UNREADABLE.encode()):
                found.append((str(json.loads(line)[UNREADABLE]), None))
            else:
                prompt = Prompt.model_validate_json(line)
                found.append((job_id(number, prompt), prompt))
    return found


def _lines(file: Path, broken: list[str]) -> Iterator[Trajectory | tuple[str, int]]:
    """Each line's trajectory, or the (job_id, attempt) that it takes back."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                if line.startswith(DROPPED):
                    job, attempt = json.loads(line)["dropped"]
                    yield str(job), int(attempt)
                else:
                    yield Trajectory.model_validate_json(line)
            except (ValueError, TypeError, LookupError):
                broken.append(f"{file}:{number}")
