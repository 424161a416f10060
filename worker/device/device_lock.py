"""One model process per device: a queue of claims in a directory that every user and service of this machine shares.

with device_lock("training", "night-1") as claim:
    start_child(..., keep=[claim.descriptor])

A claim is a file DEVICE.NUMBER, locked by the kernel (flock) while a process has it open. The claim with the lowest
number holds the device; the others wait in the order of their numbers. The kernel unlocks the claim of a killed
process, and the next reader of the queue removes its file. A model process inherits its claim's descriptor: the device
stays in use until that process has ended, even if the worker that started it is killed.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config import logs
from config.errors import DeviceError
from config.records import JsonObject
from config.settings import settings
from worker.device.backend import device_name

POLL_SECONDS = 0.5
EVERYONE = 0o666  # mode of the files; without O_CREAT any user can open them, whatever fs.protected_regular is

Purpose = Literal["training", "evaluation", "model server"]

log = logs.get(__name__)


@dataclass(frozen=True)
class Use:
    """A claim as others see it: who uses the device or waits for it."""

    number: int
    pid: int
    purpose: str
    name: str
    """the run's id, or the worker's name"""

    def __str__(self) -> str:
        return f"{self.purpose} ({self.name})" if self.purpose == "model server" else f"{self.purpose} of {self.name}"


class Claim:
    """This process's place in the queue of a device. Made at the end of the queue; ends with `release`."""

    def __init__(self, purpose: Purpose, name: str, *, folder: Path | None = None) -> None:
        self._folder, self._device = folder or settings().lock_dir, device_name()
        with _queue(self._folder, self._device, create=True):
            self.number = 1 + max([0, *(number for number, _ in _claim_files(self._folder, self._device))])
            file = self._folder / f"{self._device}.{self.number}"
            self.descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, EVERYONE)
            os.fchmod(self.descriptor, EVERYONE)  # whatever the umask
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            os.write(self.descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose, "name": name}).encode())

    def ahead(self) -> list[Use]:
        """Whose turn comes before this one; the device is this claim's when there is nobody."""
        return [use for use in self._uses() if use.number < self.number]

    def behind(self) -> list[Use]:
        """Who waits behind this claim."""
        return [use for use in self._uses() if use.number > self.number]

    def release(self) -> None:
        """Leave the queue. A child process that inherited the descriptor keeps the claim until it ends."""
        os.close(self.descriptor)

    def _uses(self) -> list[Use]:
        with _queue(self._folder, self._device) as uses:
            return uses


@contextmanager
def device_lock(purpose: Purpose, name: str, cancelled: Callable[[], bool] = lambda: False) -> Iterator[Claim]:
    """Hold this host's device during the block. Waits for its turn, and logs that once.

    Raises DeviceError when `cancelled` turns true while waiting, or if the lock directory cannot be used.
    """
    claim = Claim(purpose, name)
    try:
        if ahead := claim.ahead():
            log.info("device.waiting", purpose=purpose, name=name, ahead=", ".join(map(str, ahead)))
            started = time.monotonic()
            while ahead := claim.ahead():
                if cancelled():
                    raise DeviceError(f"cancelled while the {purpose} of {name} waited for {ahead[0]}")
                time.sleep(POLL_SECONDS)
            log.info("device.acquired", purpose=purpose, name=name, seconds=round(time.monotonic() - started, 1))
        yield claim
    finally:
        claim.release()


def uses(folder: Path) -> list[Use]:
    """Who uses this host's device: the first holds it, the others wait. DeviceError if the directory is unusable."""
    with _queue(folder, device_name()) as found:
        return found


def occupancy(folder: Path) -> JsonObject:
    """The queue of this host's device for a worker's status; empty if it cannot be read."""
    name = device_name()
    with suppress(DeviceError):
        with _queue(folder, name) as queue:
            found = [str(use) for use in queue]
        holder = found[0] if found else None
        return {"name": name, "holder": holder, "waiting": [*found[1:]], "lock_dir": str(folder)}
    return {}


@contextmanager
def _queue(folder: Path, device: str, *, create: bool = False) -> Iterator[list[Use]]:
    """The live claims in their order, while no other process changes or reads them."""
    try:
        if create:
            _create_folder(folder)
        elif not folder.exists():
            yield []
            return
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, "this user cannot write to it")
        with os.fdopen(_open(folder / f"{device}.lock")) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield [use for number, file in _claim_files(folder, device) if (use := _live(number, file))]
    except OSError as error:
        raise DeviceError(
            f"the lock directory {str(folder)!r} cannot be used: {error.strerror or error}; let every user write to it "
            "(sudo chmod 777), or set APPLEJACK_LOCK_DIR to one directory for all users of this machine"
        ) from error


def _create_folder(folder: Path) -> None:
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # not sticky: every user removes the void claims of others


def _open(file: Path) -> int:
    with suppress(FileNotFoundError):
        return os.open(file, os.O_RDONLY)
    descriptor = os.open(file, os.O_RDONLY | os.O_CREAT, EVERYONE)
    with suppress(PermissionError):  # another user has just made it
        os.fchmod(descriptor, EVERYONE)
    return descriptor


def _claim_files(folder: Path, device: str) -> list[tuple[int, Path]]:
    """The files of claims on the device with their numbers, in order."""
    files = [(file.suffix.removeprefix("."), file) for file in folder.glob(f"{device}.*")]
    return sorted((int(number), file) for number, file in files if number.isdecimal())


def _live(number: int, file: Path) -> Use | None:
    """The claim in a file; None, and the file is removed, if no process holds it."""
    with file.open(encoding="utf-8") as claim:
        with suppress(BlockingIOError):
            fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
            with suppress(PermissionError):  # in a sticky directory only its owner can remove it
                file.unlink()
            return None
        try:
            content = json.load(claim)
            return Use(number, int(content["pid"]), str(content["purpose"]), str(content["name"]))
        except (ValueError, KeyError, TypeError):
            return Use(number, 0, "a process", file.name)
