"""A worker with a fault planted: what it has in hand is never renewed in the broker."""

from worker import app as composed
from worker.fleet import visibility_timeout

visibility_timeout.renew = lambda *_: 0  # type: ignore[assignment]
app = composed.app
