"""Whether a student is on this machine, or can come here by its hub id."""

from config.errors import UsageError
from config.records import JsonObject
from worker.models.resolve import NotHereError, local_model


def student_here(student: str) -> JsonObject:
    """`here`: True, False, or None for a hub id that may be downloaded; `why` says what is missing."""
    try:
        local_model(student, weights=False)
    except NotHereError as error:
        return {"here": None, "why": str(error)}
    except UsageError as error:
        return {"here": False, "why": str(error)}
    return {"here": True, "why": None}
