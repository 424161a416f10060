"""A model server's turn on this host's device: it serves until a training or an evaluation waits, then queues again."""

import time
from dataclasses import dataclass
from pathlib import Path

from worker.device.device_lock import Claim, Use


@dataclass
class DeviceTurn:
    """Only the supervisor's thread uses it."""

    worker: str
    folder: Path
    """the lock directory"""
    grace_seconds: float
    """how long the device stays free after a training: its evaluation must not wait for a model to load and stop"""
    claim: Claim | None = None
    _not_before: float = 0.0

    @property
    def descriptor(self) -> int:
        """What the server's process inherits; only while this turn has a claim."""
        assert self.claim is not None
        return self.claim.descriptor

    def take(self) -> str:
        """Take the device, or a place in its queue; returns why the server cannot start now, "" if it can.

        Raises DeviceError if the lock directory cannot be used.
        """
        if self.claim and self.wanted_by():
            self.release()
        if self.claim is None:
            self.claim = Claim("model server", self.worker.partition("@")[0], folder=self.folder)
        if ahead := self.claim.ahead():
            self._not_before = time.monotonic() + self.grace_seconds
            return f"the model server waits for {ahead[0]}"
        if time.monotonic() < self._not_before:
            return f"the model server starts if nobody else claims the device within {self.grace_seconds:g} s"
        return ""

    def wanted_by(self) -> Use | None:
        """The first training or evaluation behind this claim. Two servers do not make room for each other."""
        waiting = self.claim.behind() if self.claim else []
        return next((use for use in waiting if use.purpose != "model server"), None)

    def release(self) -> None:
        """Leave the queue."""
        if self.claim:
            self.claim.release()
            self.claim = None
