"""Whether a student is on this machine, or can come here by its hub id."""

from huggingface_hub import constants

from config.errors import DownloadError, UsageError
from config.model_names import parse_model
from config.records import JsonObject
from worker.models.resolve import NotHereError, local_model

HUB_SECONDS = 1.0  # `submit` waits four seconds, of which importing the HTTP client takes half a second or more


def student_here(student: str) -> JsonObject:
    """`here`: True, False, or None for a hub id that may be downloaded; `why` says what is missing."""
    try:
        local_model(student, weights=False)
    except NotHereError as error:
        if constants.is_offline_mode():
            return {"here": False, "why": f"{error} (HF_HUB_OFFLINE is set there)"}
        refused = hub_refusal(student)
        return {"here": False if refused else None, "why": refused or str(error)}
    except UsageError as error:
        return {"here": False, "why": str(error)}
    return {"here": True, "why": None}


def hub_refusal(model: str) -> str:
    """Why the hub does not give this machine a model (no such model or revision, gated); "" if it may."""
    from huggingface_hub import HfApi, hf_hub_url  # half a second with its HTTP client

    from worker.models.hub_errors import hub_errors

    name = parse_model(model)
    url = hf_hub_url(name.id, "config.json", revision=name.revision)
    try:
        with hub_errors(name.id, name.revision):
            HfApi().get_hf_file_metadata(url=url, timeout=HUB_SECONDS)
    except UsageError as error:
        return str(error)
    except DownloadError:  # it did not answer in time, or the model has no config.json
        return ""
    return ""
