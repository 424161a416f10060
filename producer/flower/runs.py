"""The Runs page: stages, jobs per state, workers and failures by kind, read from the ledger."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

from flower.views import BaseHandler
from pydantic import JsonValue
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from config.errors import StoreError, UsageError
from config.ledger import Ledger
from config.ledger.fleet import WorkerView
from config.records import JsonObject
from producer.run_status import RunStatus, status

SHOWN = 50  # newest runs on the page; each takes about fifteen Redis commands
CELL = 300  # characters
SILENT_SECONDS = 30.0  # without a heartbeat, before a worker is marked; workers send one every few seconds


@dataclass(frozen=True)
class Overview:
    """Data of the list of runs."""

    runs: list[RunStatus]
    total: int
    workers: list[WorkerView]


def overview(ledger: Ledger) -> Overview:
    """The newest runs and the fleet."""
    ids = ledger.run_ids()
    return Overview([status(ledger, run_id) for run_id in ids[:SHOWN]], len(ids), ledger.fleet.workers())


class LedgerPage(BaseHandler):  # type: ignore[misc]  # Flower has no type information
    """A Flower page that reads the ledger, in a thread because redis-py blocks."""

    def initialize(self, ledger: Ledger) -> None:
        """Store the ledger to read from."""
        self.ledger = ledger

    def show(self, page: str, **values: object) -> None:
        """Render one of applejack's pages, with the formatting functions that its cells use."""
        self.set_header("Cache-Control", "no-store")
        helpers = {
            "ago": ago,
            "duration": duration,
            "share": share,
            "silent_after": SILENT_SECONDS,
            "facts": result_cells,
        }
        self.render(page, **helpers, **values)


class RunsPage(LedgerPage):
    """/runs: all runs, newest first, and the fleet."""

    @authenticated
    async def get(self) -> None:
        """Show the list of runs."""
        try:
            loaded = await IOLoop.current().run_in_executor(None, overview, self.ledger)
        except StoreError as error:
            raise HTTPError(503, str(error)) from error
        self.show("runs.html", overview=loaded)


class RunPage(LedgerPage):
    """/runs/RUN_ID: one run."""

    @authenticated
    async def get(self, run_id: str) -> None:
        """Show the run's stages, jobs, workers and failures; 404 if there is no such run."""
        try:
            run = await IOLoop.current().run_in_executor(None, status, self.ledger, run_id)
        except UsageError as error:
            raise HTTPError(404, str(error)) from error
        except StoreError as error:
            raise HTTPError(503, str(error)) from error
        self.show("run.html", run=run)


def share(part: int, whole: int) -> str:
    """Percentage for the width of a bar; "0" if the whole is 0."""
    return f"{100 * part / whole:.2f}" if whole else "0"


def duration(seconds: float | None) -> str:
    """ "4 s", "12 min", "3 h 20 min"; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def ago(moment: float | None) -> str:
    """Date and time in UTC; a dash for None."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" if moment is not None else "-"


def result_cells(result: JsonObject) -> list[tuple[str, str]]:
    """A stage's result as names and values that fit into table cells."""
    return [(key.replace("_", " "), cell(value)) for key, value in result.items()]


def cell(value: JsonValue) -> str:
    """A value as text of at most CELL characters. An object becomes "a 1, b 2", a list "a, b"."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} {item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items())
    elif isinstance(value, list):
        text = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= CELL else text[: CELL - 1] + "…"
