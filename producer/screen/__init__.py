"""The overview of a run in a terminal of any width, without anything that is wider than it."""

from producer.screen.fitting import Screen
from producer.screen.sections import other_runs

__all__ = ["Screen", "other_runs"]
