"""The cause behind the text of a worker's pause, as a label with few values."""

import re
from typing import Final

OTHER: Final = "other"
DISK: Final = "disk"
PERSON: Final = "person"
DEVICE: Final = "device"

# The worker's own words, most specific first: worker/endpoint/{supervisor,served_model,device_turn}.py,
# config/endpoint/client.py, worker/models/progress.py. tests/unit/test_pause_causes.py has each text.
A_PERSON: Final = r"\ba person\b"  # a person's wish stands before the worker's own reason, if there are both
CAUSES: Final = (
    (DISK, r"\bMB free in|GB free:|no space left"),
    (DEVICE, r"makes room for|waits for|claims the device"),
    ("starting", r"starting the server of|downloading|downloads it|download of"),
    ("server_lost", r"the server of .* (died|is wedged|does not answer)"),
    ("wrong_model", r"requested model|instead of a completion.*not.found|does not exist"),
    ("endpoint_wedged", r"did not respond within"),
    ("endpoint_unreachable", r"cannot be reached"),
    ("jobs_failed", r"jobs in a row failed"),
    ("endpoint_error", r"answered \d+ with|redirects to"),
)
VALUES: Final = (PERSON, *(cause for cause, _ in CAUSES), OTHER)
HEALTHY_ENDPOINT: Final = frozenset({PERSON, DISK, DEVICE})  # pauses that say nothing against the endpoint


def pause_causes(text: str) -> tuple[str, ...]:
    """One or two of VALUES; none for an empty text."""
    person = (PERSON,) if re.search(A_PERSON, text) else ()
    own = next(((cause,) for cause, pattern in CAUSES if re.search(pattern, text)), ())
    return (*person, *own) or ((OTHER,) if text else ())
