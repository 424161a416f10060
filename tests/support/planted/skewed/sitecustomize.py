"""A machine whose clock is TEST_CLOCK_SECONDS ahead: Python imports this file first if its folder is in PYTHONPATH.

Like libfaketime with DONT_FAKE_MONOTONIC, which CI does not have: clocks that only measure durations are right.
"""

import datetime
import os
import time

AHEAD = float(os.environ["TEST_CLOCK_SECONDS"])
true_time, true_datetime = time.time, datetime.datetime


class _Either(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, true_datetime)


class Skewed(true_datetime, metaclass=_Either):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "Skewed":
        return super().now(tz) + datetime.timedelta(seconds=AHEAD)


time.time = lambda: true_time() + AHEAD
time.time_ns = lambda: int(time.time() * 1e9)
datetime.datetime = Skewed  # type: ignore[misc]
