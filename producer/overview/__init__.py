"""What people need to know of a run, in words and numbers that the terminal and the pages share."""

from producer.overview.overview import Overview, load_overview, lost_calls, overview
from producer.overview.workers import WorkerLine

__all__ = ["Overview", "WorkerLine", "load_overview", "lost_calls", "overview"]
