"""The student of a run, at the revision that the run's first stage found: the same weights on every machine."""

from collections.abc import Callable

from config.ledger import Ledger
from config.records import Pin
from worker.models.progress import OnProgress
from worker.models.resolve import LocalModel


def pinned_model(
    ledger: Ledger,
    run_id: str,
    model: str,
    *,
    weights: bool,
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
) -> LocalModel:
    """A model of a run, downloaded where this machine lacks it. The first call pins a hub id's revision in the ledger.

    Raises UsageError or DownloadError if it is not on this machine and cannot be downloaded.
    """
    from worker.models.download import ensure_local  # its HTTP client takes half a second to import

    def found(revision: str | None) -> LocalModel:
        return ensure_local(model, revision=revision, weights=weights, on_progress=on_progress, cancelled=cancelled)

    name = f"model:{model}"  # beside the run's workspaces
    known = ledger.pinned(run_id, name)
    local = found(known.commit if known else None)
    if local.revision is None:  # a directory
        return local
    pin = known or ledger.pin(run_id, name, Pin(origin=local.model, commit=local.revision))
    return local if pin.commit == local.revision else found(pin.commit)
