"""The Runs pages: the list of runs with the fleet, and one run."""

from collections.abc import Mapping

from producer.flower.handlers import LivePage
from producer.run_status import status

SHOWN = 50  # newest runs on the page; each takes about fifteen Redis commands


class RunsPage(LivePage):
    """/runs: all runs, newest first, and the fleet."""

    page = "runs.html"
    fragments = {"runs": "fragments/runs.html"}  # noqa: RUF012 - a ClassVar of the base

    def load(self, *_: str) -> Mapping[str, object]:
        """The newest runs and the fleet."""
        ids = self.ledger.run_ids()
        runs = [status(self.ledger, run_id) for run_id in ids[:SHOWN]]
        return {"runs": runs, "total": len(ids), "workers": self.ledger.fleet.workers()}


class RunPage(LivePage):
    """/runs/RUN_ID: one run."""

    page = "run.html"
    fragments = {"run": "fragments/run.html"}  # noqa: RUF012 - a ClassVar of the base

    def load(self, *ids: str) -> Mapping[str, object]:
        """The run's status."""
        return {"run": status(self.ledger, ids[0])}
