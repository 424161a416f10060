"""Pauses and resumes the consumer of one queue, and repeats that where a control broadcast was lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Consumer:
    """`pause` and `resume` stop and start the queue's consumer; both may be called twice."""

    reason: Callable[[], str]
    """why the queue must not be consumed now: everything that can pause it; "" if it may be consumed"""
    pause: Callable[[str], None]
    resume: Callable[[], None]
    consuming: Callable[[], bool | None]
    """whether the worker consumes its queue; None while that is unknown"""
    seconds: float
    """between two looks in the background"""

    def update(self) -> None:
        """Send pause or resume because the reason has changed."""
        if reason := self.reason():
            self.pause(reason)
        else:
            self.resume()

    def reconcile(self) -> None:
        """Re-send pause or resume if the consumer is in the wrong state; control broadcasts can be lost."""
        if self.consuming() is bool(self.reason()):
            self.update()

    @contextmanager
    def reconciled(self) -> Iterator[None]:
        """Keep reconciling during the block, which may take minutes while a model loads."""
        done = threading.Event()

        def reconcile() -> None:
            while not done.wait(self.seconds):
                self.reconcile()

        thread = threading.Thread(target=reconcile, name="consumer-reconciler", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
