"""The Fleet page: every worker, what it does, why it does not, and the buttons that pause, resume and drain it."""

from collections.abc import Mapping
from typing import ClassVar

from config.records import WorkerControl
from config.version import version
from producer.control import control_worker
from producer.flower.fleet.heartbeat_words import usual_version, versions
from producer.flower.fleet.worker_card import cards
from producer.flower.handlers import Action, LivePage

CONTROLS = {"pause": WorkerControl.PAUSED, "resume": WorkerControl.GO, "drain": WorkerControl.DRAINING}
DONE = {
    "pause": "{} finishes the work that it holds and takes no other",
    "resume": "{} takes work again",
    "drain": "{} finishes the work that it holds, then its process ends",
}


class FleetPage(LivePage):
    """/fleet: the workers of the last day, and those of which a person has asked something."""

    tab: ClassVar[str] = "fleet"
    page = "fleet.html"
    fragments = {"fleet": "fragments/workers.html"}  # noqa: RUF012 - a ClassVar of the base

    def load(self, *_: str) -> Mapping[str, object]:
        """The workers as cards."""
        workers = self.ledger.fleet.workers()
        now = self.ledger.fleet.now()
        return {
            "workers": cards(workers, controls=self.ledger.fleet.controls(), now=now),
            "versions": versions(workers),
            "usual": usual_version(workers),
            "own_version": version(),
        }


class ControlWorker(Action):
    """POST /fleet/WORKER/pause, resume or drain."""

    def act(self, *ids: str) -> str:
        """Ask it of the worker, which obeys at its next heartbeat."""
        name, verb = ids
        control_worker(self.ledger, name, CONTROLS[verb])
        return DONE[verb].format(name)
