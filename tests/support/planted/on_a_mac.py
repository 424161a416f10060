"""A worker that takes this machine for a Mac: it starts the `caffeinate` on its PATH."""

from worker import app as composed

composed.worker.keep_awake.system = "darwin"
app = composed.app
