"""A worker of a later version of applejack, which knows fields that this one does not."""

import config.version
from config.records import Prompt, Spec

LATER = "0.2.0"

config.version.version = lambda: LATER  # type: ignore[assignment]
for record in (Spec, Prompt):
    record.model_config = {**record.model_config, "extra": "ignore"}
    record.model_rebuild(force=True)

from worker import app as composed  # noqa: E402 - the worker of that version

app = composed.app
