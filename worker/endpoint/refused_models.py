"""The models that a worker's endpoint does not serve. The worker goes on with the runs that request another model.

The memory of one worker. What other workers refuse stands in the ledger (config/ledger/refusals.py).
"""

import threading
import time
from dataclasses import dataclass, field

FIRST_SECONDS = 5.0  # before a job asks the endpoint for the model again; doubled at each refusal in a row
LONGEST_SECONDS = 30.0  # below the grace of worker/fleet/wrong_model.py, so that a model loaded meanwhile is noticed


@dataclass(frozen=True)
class _Refusal:
    reason: str
    until: float
    """time.monotonic() from which the next job asks again"""
    seconds: float


@dataclass
class RefusedModels:
    """Thread-safe."""

    _refusals: dict[str, _Refusal] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, model: str, reason: str) -> None:
        """Remember that the endpoint refused a model. Refusals while it is remembered do not extend it."""
        with self._lock:
            now, known = time.monotonic(), self._refusals.get(model)
            if known and now < known.until:
                return
            seconds = min(LONGEST_SECONDS, 2 * known.seconds) if known else FIRST_SECONDS
            self._refusals[model] = _Refusal(reason, now + seconds, seconds)

    def reason(self, model: str) -> str:
        """Why the endpoint does not serve a model; "" if it is not known to, or if it is time to ask again."""
        with self._lock:
            known = self._refusals.get(model)
            return known.reason if known and time.monotonic() < known.until else ""

    def remove(self, model: str) -> None:
        """The endpoint has served this model."""
        with self._lock:
            self._refusals.pop(model, None)

    def all(self) -> dict[str, str]:
        """Reasons by model, for `status`."""
        with self._lock:
            return {model: refusal.reason for model, refusal in self._refusals.items()}
