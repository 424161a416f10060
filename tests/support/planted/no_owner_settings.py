"""The worker as it starts where nobody has set what its owner allows."""

import os

for name in ("APPLEJACK_WORKSPACE_ROOTS", "APPLEJACK_COMMANDS"):
    os.environ.pop(name, None)

from worker.app import app as app  # noqa: E402 - after the environment is changed
