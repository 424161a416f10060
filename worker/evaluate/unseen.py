"""Questions about code that the student never saw: whether they can be asked here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.errors import WorkspaceError
from config.records import Prompt
from config.report.model import Report
from config.report.unseen import Unseen
from worker.curate.evaluation import UNSEEN
from worker.evaluate.held_out import read_prompts
from worker.tools.workspace import Workspace


@dataclass(frozen=True)
class UnseenQuestions:
    """The questions of a dataset about unseen code; none if there are none, or if `problem` keeps them from here."""

    prompts: tuple[Prompt, ...] = ()
    workspace: str = ""
    problem: str = ""

    def noted(self, report: Report) -> Report:
        """The report, with the reason if the questions could not be asked."""
        if not self.problem:
            return report
        return report.model_copy(update={"unseen": Unseen.skipped(self.workspace, self.problem)})


def unseen_questions(dataset: Path, workspace_for: Callable[[Prompt], Workspace | None]) -> UnseenQuestions:
    """The questions about unseen code in a dataset's directory, if this machine has that code.

    A package of another version has other answers, so the questions are left out then.
    """
    if not (dataset / UNSEEN).is_file():
        return UnseenQuestions()
    prompts = tuple(read_prompts(dataset, name=UNSEEN))
    name = prompts[0].workspace or ""
    try:
        workspace_for(prompts[0])
    except WorkspaceError as error:
        return UnseenQuestions(workspace=name, problem=" ".join(str(error).split()))
    return UnseenQuestions(prompts, name)
