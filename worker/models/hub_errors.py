"""Translates the hub's errors into one line each, with what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)

from config.errors import ApplejackError, DownloadError, UsageError

LOGIN = "log in here with `hf auth login`, or set HF_TOKEN"
AGAIN = "then run `applejack pull` again: it continues"


@contextmanager
def hub_errors(model: str, revision: str | None) -> Iterator[None]:
    """Raise UsageError where the user has to act, DownloadError where hub, network or disk is at fault."""
    try:
        yield
    except (RevisionResolutionError, LocalEntryNotFoundError) as error:  # these wrap what has happened
        raise translated(error.__cause__ or error, model, revision) from error
    except (HfHubHTTPError, HFValidationError, httpx2.HTTPError, OSError) as error:
        raise translated(error, model, revision) from error


def translated(error: BaseException, model: str, revision: str | None) -> ApplejackError:
    """Our error for one of the hub's."""
    where = constants.ENDPOINT
    match error:
        case GatedRepoError():
            return UsageError(f"the model {model!r} is gated: accept its conditions at {where}/{model}, then {LOGIN}")
        case RevisionNotFoundError():
            return UsageError(f"the model {model!r} has no revision {revision!r}; see {where}/{model}/commits")
        case RepositoryNotFoundError():
            return UsageError(f"the hub has no model {model!r}, or it is private: check the spelling, or {LOGIN}")
        case HfHubHTTPError() if error.response.status_code in {401, 403}:
            return UsageError(
                f"the hub refuses access to {model!r} ({error.response.status_code}): the token is invalid or has no "
                f"right to read it; {LOGIN}"
            )
        case HfHubHTTPError():
            return DownloadError(f"the hub at {where} answers {error.response.status_code}: wait, {AGAIN}")
        case HFValidationError():
            return UsageError(f"{model!r} is not a hub id: {' '.join(str(error).split())}")
        case httpx2.TransportError():
            return DownloadError(
                f"the hub at {where} cannot be reached ({str(error) or type(error).__name__}): check the network, "
                f"and HF_ENDPOINT if it is set, {AGAIN}"
            )
        case _:
            return DownloadError(f"the download of {model!r} failed ({' '.join(str(error).split())}); {AGAIN}")
