"""The handlers of the run pages, and their addresses."""

from collections.abc import Mapping
from dataclasses import dataclass

from tornado.routing import URLSpec
from tornado.web import HTTPError, authenticated, url

from config.errors import UsageError
from config.ledger import Ledger
from config.ledger.adapters import split_name
from config.records import JsonObject
from config.report.model import Report
from producer.flower.handlers import DialogPage, LedgerPage, LivePage
from producer.flower.runs import detail, listing, words
from producer.flower.runs.actions import ControlRun, ResubmitJobs
from producer.flower.runs.preview import cancel_sentence, preview, wanted
from producer.report.lines import html

CARD = "README.md"
# The report is made from a run's data, so it gets no right to do anything, not even with this site's own address.
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def urls(reads: dict[str, object]) -> list[URLSpec]:
    """The addresses of the run pages. `reads`: arguments of LedgerPage.initialize."""
    run = r"/runs/([^/]+)"
    return [
        url(r"/runs", RunsPage, reads, name="runs"),
        url(run, RunPage, reads, name="run"),
        url(f"{run}/control", ControlRun, reads, name="run-control"),
        url(f"{run}/cancel", CancelDialog, reads, name="run-cancel"),
        url(f"{run}/resubmit", ResubmitDialog, reads, name="run-resubmit"),
        url(f"{run}/resubmitted", ResubmitJobs, reads, name="run-resubmitted"),
        url(f"{run}/report", ReportPage, reads, name="run-report"),
        url(f"{run}/card", CardPage, reads, name="run-card"),
    ]


class RunsPage(LivePage):
    """/runs?name=TEXT&state=STATE&page=N: the runs, newest first."""

    page = "runs.html"
    fragments = {"runs-fleet": "fragments/runs_fleet.html", "runs-list": "fragments/runs.html"}  # noqa: RUF012 - a ClassVar of the base

    def load(self, *_: str) -> Mapping[str, object]:
        """The runs that match the address."""
        return {"runs": listing.load(self.ledger, self._query())}

    def _query(self) -> listing.Query:
        name, state = (self.get_query_argument(key, "") for key in ("name", "state"))
        page = self.get_query_argument("page", "1")
        return listing.Query(
            name=name,
            state=state if state in words.STATES else "",
            page=int(page) if page.isdecimal() and 0 < len(page) < 6 and int(page) else 1,
        )


class RunPage(LivePage):
    """/runs/RUN_ID: one run."""

    page = "run.html"
    fragments = {  # noqa: RUF012 - a ClassVar of the base
        "run-head": "fragments/run_head.html",
        "run-counts": "fragments/run_counts.html",
        "run-stages": "fragments/run_stages.html",
        "run-rate-words": "fragments/run_rate_words.html",
        "run-loss-words": "fragments/run_loss_words.html",
        "run-causes": "fragments/run_causes.html",
        "run-workers": "fragments/run_workers.html",
        "run-scores": "fragments/run_scores.html",
        "run-results": "fragments/run_results.html",
    }

    def load(self, *ids: str) -> Mapping[str, object]:
        """The run."""
        return {"run": detail.load(self.ledger, ids[0])}

    def charts(self, values: Mapping[str, object]) -> JsonObject:
        """Throughput, and the losses of a run that trains."""
        run = values["run"]
        assert isinstance(run, detail.RunDetail)
        charts: JsonObject = {"chart-rate": run.throughput.data}
        return {**charts, "chart-loss": run.losses.data} if run.losses else charts


class CancelDialog(DialogPage):
    """/runs/RUN_ID/cancel: asks before a run is cancelled."""

    page = "fragments/cancel_dialog.html"

    def load(self, *ids: str) -> Mapping[str, object]:
        """What the cancellation would do."""
        return {"run_id": ids[0], "sentence": cancel_sentence(self.ledger, ids[0])}


class ResubmitDialog(DialogPage):
    """/runs/RUN_ID/resubmit?kind=K&reason=R&job=J: shows what a resubmission would do."""

    page = "fragments/resubmit_dialog.html"

    def load(self, *ids: str) -> Mapping[str, object]:
        """The preview."""
        kinds, reasons, jobs = (self.get_query_arguments(name) for name in ("kind", "reason", "job"))
        return {"preview": preview(self.ledger, ids[0], wanted(kinds, reasons, jobs)), "run_id": ids[0]}


class ReportPage(LedgerPage):
    """/runs/RUN_ID/report, /runs/RUN_ID@vN/report: the report, in a sandbox."""

    @authenticated
    async def get(self, name: str) -> None:
        """The report as a page of its own."""
        page = await self.blocking(lambda: html(report_of(self.ledger, name)))
        self.set_header("Content-Security-Policy", REPORT_POLICY)
        self.set_header("Cache-Control", "no-store")
        self.finish(page)


@dataclass(frozen=True)
class Card:
    """The card of a dataset."""

    run_id: str
    text: str


class CardPage(LedgerPage):
    """/runs/RUN_ID/card: the dataset's README.md as text."""

    @authenticated
    async def get(self, run_id: str) -> None:
        """The card."""
        self.show("card.html", card=await self.blocking(lambda: card_of(self.ledger, run_id)))


def report_of(ledger: Ledger, name: str) -> Report:
    """The report of RUN, or of RUN@vN; UsageError if there is none."""
    run_id, version = split_name(name)
    found = [adapter for adapter in ledger.adapters(run_id) if adapter.report and "skipped" not in adapter.report]
    chosen = next((one for one in found if one.version == version or (version is None and one.current)), None)
    if chosen is None:
        raise UsageError(f"{name!r} has no report; its page shows how far it is")
    return Report.of_run(run_id, chosen.report)


def card_of(ledger: Ledger, run_id: str) -> Card:
    """The dataset card; 404 if the run has no dataset."""
    ledger.run(run_id)
    content = ledger.files.read(run_id, "dataset", CARD)
    if content is None:
        raise HTTPError(404, f"run {run_id!r} has no dataset yet")
    return Card(run_id, content.decode("utf-8", errors="replace"))
