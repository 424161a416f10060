"""Pauses and resumes a worker's consumer of jobs, and repeats that where a control broadcast was lost."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from worker.endpoint.circuit_breaker import CircuitBreaker


@dataclass(frozen=True)
class Consumer:
    """`pause` and `resume` stop and start the queue's consumer; both may be called twice."""

    circuit_breaker: CircuitBreaker
    pause: Callable[[str], None]
    resume: Callable[[], None]
    consuming: Callable[[], bool | None]
    """whether the worker consumes its queue; None while that is unknown"""
    seconds: float
    """between two looks in the background"""

    def reconcile(self) -> None:
        """Re-send pause or resume if the consumer is in the wrong state; control broadcasts can be lost."""
        consuming, reason = self.consuming(), self.circuit_breaker.reason
        if consuming is True and reason:
            self.pause(reason)
        elif consuming is False and not reason:
            self.resume()

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
