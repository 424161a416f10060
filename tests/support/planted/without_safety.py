"""A worker without a journal, whose tools mask no secrets: the baseline for what both cost."""

from worker import app as composed
from worker.tools import toolset

toolset.mask = lambda text: text
composed.worker.jobs.journal = None
app = composed.app
