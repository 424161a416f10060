"""A worker's card: its state, what is wrong with it and what to do, its figures in words."""

import pytest

from config.endpoint.client import _request_error
from config.ledger.fleet import WorkerView
from config.records import JsonObject, WorkerControl
from config.troubleshooting import PAUSED, PAUSES, PERSON, pause_section, pause_sections
from producer.flower.fleet.heartbeat_words import versions
from producer.flower.fleet.worker_card import WorkerCard, cards
from producer.pause_advice import BY_SECTION
from worker.models.progress import Progress

NOW = 1_000_000.0
GB = 10**9


def view(name: str = "mac@one", *, silent: float = 1.0, control: str = "", **fields: object) -> WorkerView:
    heartbeat: JsonObject = {
        "queues": ["generate"],
        "version": "1.0",
        "holds": 2,
        "limit": 4,
        "limit_reason": "+12% tokens/s expected of 4",
        "clock": NOW - silent,
        **fields,  # type: ignore[dict-item]
    }
    return WorkerView(name, silent, heartbeat, WorkerControl(control))


def only(worker: WorkerView, *others: WorkerView) -> WorkerCard:
    return next(card for card in cards([worker, *others], now=NOW) if card.name == worker.name)


@pytest.mark.parametrize(
    ("worker", "state", "first_note"),
    [
        (view(), "consuming", None),
        (view(paused="x cannot be reached"), "paused by itself", "x cannot be reached"),
        # a person's request counts at once, before the worker has obeyed it
        (view(control="paused"), "paused by a person", "was paused by a person: it finishes 2 jobs, then it takes no"),
        (view(control="paused", holds=0), "paused by a person", "was paused by a person: it takes no other work"),
        (view(control="draining", holds=1), "draining", "was asked to drain: it finishes 1 job, then its process ends"),
        # the worker's own words about it are not repeated in ours
        (view(control="paused", paused="paused by a person; resume"), "paused by a person", "paused by a person; res"),
        # resumed, which it has not noticed yet
        (view(paused="paused by a person; resume"), "resuming", "paused by a person; resume"),
        (view(queues=["train"], downloading={"model": "m", "bytes": 1 * GB, "of": 2 * GB}), "downloading", "downloadi"),
        (view(refuses={"m": "not found"}), "wrong model for a run", "does not serve m: not found"),
        (view(silent=95.0), "silent", "no heartbeat for 2 min"),
        (view(silent=95.0, control="paused"), "silent", "no heartbeat for 2 min"),
    ],
)
def test_the_state_and_its_reason(worker: WorkerView, state: str, first_note: str | None) -> None:
    card = only(worker)
    assert card.state == state
    assert (card.notes[0].text if card.notes else None) == first_note or card.notes[0].text.startswith(first_note or "")
    assert bool(card.notes) == (first_note is not None)


@pytest.mark.parametrize(
    ("reason", "section"),
    [
        ("'http://10.0.0.7:8080/v1' cannot be reached: [Errno 111] Connection refused", "endpoint-unreachable"),
        ("'http://127.0.0.1:8080/v1' did not respond within 15 s", "endpoint-wedged"),
        ("'http://x/v1' answered 500 with 'oops' instead of a completion", "endpoint-error"),
        ("requested model 'a', but 'http://x/v1' serves 'b'; load 'a' there", "wrong-model"),
        ("812 MB free in '/data'", "disk"),
        ("0 MB free in '/data': the journal cannot be written (No space left on device)", "disk"),
        ("the model server makes room for training of night", "device-busy"),
        ("the model server waits for evaluation of night", "device-busy"),
        ("the model server starts if nobody else claims the device within 15 s", "device-busy"),
        ("the lock directory '/run/lock/applejack' cannot be used: no", "lock-directory"),
        ("downloading org/name: 3.1 of 17.2 GB", "model-download"),
        ("starting the server of org/name", "model-server"),
        ("the server of org/name died: Killed", "model-server"),
        ("3 jobs in a row failed although the endpoint is healthy: x", "jobs-fail-on-a-healthy-endpoint"),
        ("paused by a person; `applejack worker resume mac@one` lets it go on", "paused-by-a-person"),
        (str(_request_error("http://h/v1", TimeoutError(), 15)), "endpoint-wedged"),
        (str(_request_error("http://h/v1", ConnectionRefusedError(111, "refused"), 15)), "endpoint-unreachable"),
        ("'http://h/v1' redirects to 'https://h/v1'; configure that address", "endpoint-unreachable"),
        (str(Progress("m", 10, 100, by="mac")), "model-download"),
        ("draining: a person lets it end with the work that it holds", "paused-by-a-person"),
        ("drained by a person, and started again since", "paused-by-a-person"),
        ("something of a later version", PAUSED),
    ],
)
def test_each_reason_has_advice(reason: str, section: str) -> None:
    assert pause_section(reason) == section
    advice = BY_SECTION[section]
    assert advice.meaning
    assert advice.remedy
    assert advice.place == f"docs/troubleshooting.md#{section}"


def test_a_worker_with_the_wrong_model_needs_attention() -> None:
    assert only(view(refuses={"m": "not found"})).tone == "warning"
    assert only(view()).tone == "good"


def test_no_section_is_without_advice() -> None:
    assert {section for _, section in PAUSES} | {PAUSED} == set(BY_SECTION)


def test_commands_quote_what_a_worker_sent() -> None:
    card = only(view("a;reboot@x", paused="y cannot be reached", endpoint="http://x/$(reboot)"))
    assert card.notes[0].command == "applejack doctor --endpoint 'http://x/$(reboot)'"
    gone = cards([], controls={"b;reboot": WorkerControl.PAUSED})[0]
    assert gone.notes[0].command == "applejack worker resume 'b;reboot'"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("fixed", "set by --concurrency"),
        ("memory", "as many conversations as fit the memory of its model server"),
        ("throughput grew 30%", "throughput grew 30%"),
    ],
)
def test_jobs_in_flight_and_why_that_many(reason: str, words: str) -> None:
    fact = only(view(limit_reason=reason)).facts[0]
    assert (fact.name, fact.value, fact.detail) == ("Jobs in flight", "2 of at most 4", words)


def test_figures_are_in_words() -> None:
    worker = view(
        memory={"available": 11.6 * GB, "total": 32 * GB},
        disk={"free": 0.81 * GB, "total": 2000 * GB},
        tokens_per_second=148.3,
        first_token_seconds=0.42,
        serves="org/model",
        device={"name": "metal", "holder": "training of night", "waiting": ["evaluation of day"]},
        awake=False,
    )
    facts = {fact.name: (fact.value, fact.detail) for fact in only(worker).facts}
    assert facts["Memory"] == ("12 of 32 GB free", "")
    assert facts["Disk"] == ("810 MB of 2.0 TB free", "")
    assert facts["Tokens/s"][0] == "148"
    assert facts["First token"][0] == "0.42 s"
    assert facts["Model"][0] == "org/model"
    assert facts["Device"] == ("training of night", "waiting: evaluation of day")
    assert facts["Keeps its Mac awake"][0] == "no, it has no work"


@pytest.mark.parametrize(("ahead", "words", "noted"), [(0.5, "right", 0), (10, "10 s ahead of", 0), (-90, "behind", 1)])
def test_a_clock_that_is_off_is_shown_and_above_a_minute_explained(ahead: float, words: str, noted: int) -> None:
    card = only(view(clock=NOW - 1.0 + ahead))
    assert words in next(fact.value for fact in card.small if fact.name == "clock")
    assert len([note for note in card.notes if "clock" in note.text]) == noted


def test_a_version_that_differs_from_most_of_the_fleet_is_marked() -> None:
    fleet = [view("a@x"), view("b@x"), view("c@y", version="2.0"), view("d@y", version="0.9", silent=100.0)]
    marked = {card.name for card in cards(fleet, now=NOW) if any("runs applejack" in note.text for note in card.notes)}
    assert marked == {"c@y", "d@y"}
    assert versions(fleet) == "1.0 on 2 workers, 2.0 on c@y"
    assert versions(fleet[:2]) == ""


def test_a_worker_that_is_gone_is_shown_while_a_control_is_left() -> None:
    found = cards([view()], controls={"mac@one": WorkerControl.PAUSED, "old@x": WorkerControl.DRAINING}, now=NOW)
    gone = next(card for card in found if card.name == "old@x")
    assert (gone.state, gone.alive, len(found)) == ("gone", False, 2)
    assert "marked as drained" in gone.notes[0].text


def test_a_heartbeat_of_any_shape_makes_a_card() -> None:
    for junk in (None, "x", 1, -1.5, True, [], [None], {}, {"a": [1]}):
        worker = WorkerView("mac@one", 1.0, dict.fromkeys(view().fields, junk))  # type: ignore[arg-type]
        assert cards([worker, WorkerView("no fields", 1.0, {})], now=NOW)[0].name


def test_a_person_and_an_endpoint_that_is_down_are_two_causes_of_a_pause() -> None:
    person = "paused by a person; `applejack worker resume mac` lets it go on"
    assert pause_sections(person) == (PERSON,)
    assert pause_sections(f"{person}; 'http://h/v1' cannot be reached: refused") == (PERSON, "endpoint-unreachable")
