"""An evaluation from files: with the settings of the run that a dataset's directory records, else with defaults."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import ValidationError

from config.errors import UsageError, WorkspaceError
from config.records import Adapter, Pin, Prompt, Spec
from config.report.metrics import Fraction
from config.report.model import Report
from worker.curate.dataset import MANIFEST
from worker.curate.evaluation import RecordedSettings
from worker.evaluate.checkpoint_choice import recorded_choice
from worker.evaluate.held_out import read_prompts, select
from worker.evaluate.unseen import UnseenQuestions, unseen_questions
from worker.tools.workspace import Workspace, open_workspace
from worker.train.file_names import RECORD
from worker.train.recipe import dataset_hash


@dataclass(frozen=True)
class Overrides:
    """What the user gives instead of the run's settings; None takes the run's."""

    workspace: str | None = None
    system_prompt: str | None = None
    limit: int | None = None
    unseen: bool = True


@dataclass(frozen=True)
class Repeat:
    """The inputs of an evaluation of `source`, a dataset's directory or a prompts file."""

    source: Path
    run_id: str
    """id of the Report where no run is recorded"""
    overrides: Overrides
    cache: Path
    """of checkouts"""
    warn: Callable[[str], object]

    @cached_property
    def settings(self) -> RecordedSettings | None:
        """The recorded settings of the run."""
        return RecordedSettings.read(self.source)

    @cached_property
    def spec(self) -> Spec:
        """The run's Spec, as far as an evaluation reads it, with the overrides."""
        spec = self.settings.run() if self.settings else Spec(run_id=self.run_id)
        given = {"system_prompt": self.overrides.system_prompt, "workspace": self.overrides.workspace}
        return spec.model_copy(update={name: value for name, value in given.items() if value is not None})

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The prompts to ask: as many as the run asked, and the same ones. UsageError if some have no workspace."""
        usual = self.spec.evaluate_prompts if self.settings else None
        chosen = select(read_prompts(self.source), self.overrides.limit or usual)
        if self.spec.workspace is None and any(prompt.requires_tools and not prompt.workspace for prompt in chosen):
            raise UsageError(
                "some prompts need tools but have no workspace; pass the code that they are about with --workspace"
            )
        return chosen

    @cached_property
    def unseen(self) -> UnseenQuestions:
        """The questions about unseen code."""
        if self.settings is None or not self.overrides.unseen:
            return UnseenQuestions()
        found = unseen_questions(self.source, self.workspace_for)
        if found.problem:
            self.warn(f"the questions about {found.workspace} are left out: {found.problem}")
        return found

    def workspace_for(self, prompt: Prompt) -> Workspace | None:
        """The workspace of a prompt, at the run's pin. WorkspaceError if it is not here."""
        named = prompt.workspace or self.spec.workspace
        return self._opened(named) if named else None

    @cached_property
    def _opened(self) -> Callable[[str], Workspace]:
        known: dict[str, Workspace] = {}

        def opened(name: str) -> Workspace:
            if name not in known:
                known[name] = self._open(name)
            return known[name]

        return opened

    def _open(self, name: str) -> Workspace:
        pin = self.settings.pin(name) if self.settings else None
        if name == self.overrides.workspace:
            workspace = open_workspace(name, cache=self.cache)
            self._compare(workspace.pin)
            return workspace
        try:
            return open_workspace(name, cache=self.cache, expect=pin)
        except WorkspaceError as error:
            if self.settings is None or name != self.spec.workspace:
                raise
            raise WorkspaceError(f"{error}; or pass a copy of the run's code with --workspace") from error

    def _compare(self, pin: Pin) -> None:
        """Warn if the given workspace has other code than the run's."""
        recorded = self.settings.pins if self.settings else ()
        if recorded and pin.content not in {known.content for known in recorded}:
            self.warn(
                f"--workspace {self.overrides.workspace!r} has other code ({pin.content}) than the run's "
                f"({', '.join(known.content for known in recorded)}): expected answers may not hold"
            )

    def completed(self, report: Report, adapter: Path | None) -> Report:
        """The report with what the run's has: training, choice of the checkpoint, the teacher's right answers."""
        made = self.unseen.noted(report)
        trained = self._trained(adapter) if adapter else None
        if adapter is None or trained is None:
            return made
        return made.with_training(trained, correct=self._correct(), checkpoints=recorded_choice(adapter))

    def _trained(self, adapter: Path) -> Adapter | None:
        """The record of the adapter; None for one that was made elsewhere. Warns if it is from another dataset."""
        try:
            found = Adapter.model_validate_json((adapter / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None
        if self.source.is_dir() and (here := dataset_hash(self.source)) != found.dataset_hash:
            self.warn(
                f"the adapter was trained on another dataset ({found.dataset_hash[:12]}) than {str(self.source)!r} "
                f"({here[:12]}): it may have been trained on these questions"
            )
        return found

    def _correct(self) -> Fraction | None:
        try:
            counts = json.loads((self.source / MANIFEST).read_bytes())["correct"]
            return Fraction.model_validate(counts) if counts["of"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
