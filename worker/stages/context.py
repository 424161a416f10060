"""One stage of one run on this worker: its ledger, settings, folder and student."""

import platform
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import DownloadError, StoppedError, StudentError, UsageError
from config.fetched import has_files
from config.ledger import Ledger, RunView
from config.settings import Settings
from config.topology import Stage
from worker.fleet.leases import Lease
from worker.models.pinned import pinned_model
from worker.models.progress import Downloads


@dataclass(frozen=True)
class StageContext:
    """One stage of one run, claimed."""

    ledger: Ledger
    settings: Settings
    worker: str
    run: RunView
    folder: Path
    """this machine's folder for the run"""
    lease: Lease
    downloads: Downloads = field(default_factory=Downloads)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.spec.run_id

    def require_wanted(self) -> None:
        """StoppedError if the run is cancelled, another worker has this stage, or this worker shuts down."""
        if self.lease.cancelled():
            raise StoppedError("stopped: its run was cancelled, its lease was lost, or its worker shuts down")

    def student(self, stage: Stage) -> Path:
        """The directory of the stage's student, downloaded if needed. StudentError names this machine and the repair.

        Curation needs the tokenizer, not the weights.
        """
        spec = self.run.spec
        named = spec.student if stage is Stage.CURATE else spec.trained_student
        if named is None:
            raise UsageError("the run names no student; submit with --student MODEL")
        try:
            with self.downloads.shown() as on_progress:
                return pinned_model(
                    self.ledger,
                    self.run_id,
                    named,
                    weights=stage is not Stage.CURATE,
                    on_progress=on_progress,
                    cancelled=self.lease.cancelled,
                ).path
        except (UsageError, DownloadError) as error:
            raise StudentError(
                f"{platform.node()}: {error}; then `applejack resubmit {self.run_id} --stage {stage.value}`, or take "
                f"another student: `applejack resubmit {self.run_id} --stage curate --student MODEL`"
            ) from error

    def place(self, name: str) -> Path:
        """Where this machine keeps one version of the run's dataset, adapter or report."""
        return self.folder / f"{name}-v{self.run.version}"

    def publish(self, name: str) -> None:
        """Store this machine's dataset, adapter or report in the ledger. StoppedError if its lease was lost."""
        self.ledger.files.put(self.run_id, name, self.place(name), lease=self.lease.ref)

    def copy(self, name: str) -> Path:
        """This machine's dataset or adapter of the run, fetched unless it has the ledger's files already."""
        folder, stored = self.place(name), self.ledger.files.hashes(self.run_id, name)
        if not folder.is_dir() or not has_files(folder, stored):  # a failed training leaves its log
            self.ledger.files.get(self.run_id, name, folder)
        return folder
