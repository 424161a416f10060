"""The Runs page: what Flower cannot show, read from the ledger: stages, jobs per state, workers, failures by kind."""

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

SHOWN = 50  # newest runs on the page; each costs about ten Redis commands
CELL = 300  # characters
SILENT_SECONDS = 30.0  # a worker silent for longer is shown as such: heartbeats come every few seconds


@dataclass(frozen=True)
class Overview:
    """What the list of runs shows."""

    runs: list[RunStatus]
    total: int
    workers: list[WorkerView]


def overview(ledger: Ledger) -> Overview:
    """The newest runs and the fleet."""
    ids = ledger.run_ids()
    return Overview([status(ledger, run_id) for run_id in ids[:SHOWN]], len(ids), ledger.fleet.workers())


class LedgerPage(BaseHandler):  # type: ignore[misc]  # Flower has no type information
    """A page of Flower's that reads the ledger, in a thread: redis-py blocks."""

    def initialize(self, ledger: Ledger) -> None:
        """Take the ledger to read."""
        self.ledger = ledger

    def show(self, page: str, **values: object) -> None:
        """Render a page of ours with the words its table cells need."""
        self.set_header("Cache-Control", "no-store")
        words = {
            "ago": ago,
            "duration": duration,
            "share": share,
            "silent_after": SILENT_SECONDS,
            "facts": result_cells,
        }
        self.render(page, **words, **values)


class RunsPage(LedgerPage):
    """/runs: every run, the newest first, and the fleet."""

    @authenticated
    async def get(self) -> None:
        """The list."""
        try:
            found = await IOLoop.current().run_in_executor(None, overview, self.ledger)
        except StoreError as error:
            raise HTTPError(503, str(error)) from error
        self.show("runs.html", overview=found)


class RunPage(LedgerPage):
    """/runs/RUN_ID: one run."""

    @authenticated
    async def get(self, run_id: str) -> None:
        """Its stages, jobs, workers and failures; 404 when there is no such run."""
        try:
            found = await IOLoop.current().run_in_executor(None, status, self.ledger, run_id)
        except UsageError as error:
            raise HTTPError(404, str(error)) from error
        except StoreError as error:
            raise HTTPError(503, str(error)) from error
        self.show("run.html", run=found)


def share(part: int, whole: int) -> str:
    """A percentage for a bar's width, "0" of nothing."""
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
    """A moment as UTC date and time; a dash for None."""
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" if moment is not None else "-"


def result_cells(result: JsonObject) -> list[tuple[str, str]]:
    """What a stage came to, as names and values that fit a cell."""
    return [(key.replace("_", " "), cell(value)) for key, value in result.items()]


def cell(value: JsonValue) -> str:
    """One value as text of at most CELL characters; a flat object as "a 1, b 2", a list as "a, b"."""
    if isinstance(value, dict):
        said = ", ".join(f"{key} {item if isinstance(item, str) else json.dumps(item)}" for key, item in value.items())
    elif isinstance(value, list):
        said = ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    else:
        said = value if isinstance(value, str) else json.dumps(value)
    return said if len(said) <= CELL else said[: CELL - 1] + "…"
