"""Which events people are told of: each row plants one, or the absence of one."""

from dataclasses import replace

import pytest

from config.ledger.fleet import WorkerView
from config.ledger.stages import StageView
from config.records import JsonObject, RunControl, StageState, WorkerControl
from config.topology import Stage
from producer.notify.events import EventKind, Notice, Rules, Seen, ended, look, look_at_workers
from producer.notify.message import command_json, slack_json
from producer.run_status import RunStatus

RULES = Rules()
NOW = 1_000_000.0


def status(**fields: object) -> RunStatus:
    """A run in the middle of its generation."""
    stages = tuple(StageView(stage, StageState.WAITING, "", None, None, "", {}, ()) for stage in Stage)
    given: dict[str, object] = {
        "run_id": "night", "total": 300, "queued": 180, "running": 20, "generated": 100, "failed": 0, "cancelled": 0,
        "truncated": 0, "lost_calls": {}, "kinds": {}, "kept": None, "rejected": None, "correct": None,
        "stage": "generate", "error": "", "rate": 6.0, "eta_seconds": None, "missing_role": "",
        "control": RunControl.GO, "version": 1, "created": 0.0, "by_worker": {}, "stages": stages,
    }  # fmt: skip
    return RunStatus(**{**given, **fields})  # type: ignore[arg-type]


def kinds(notices: list[Notice]) -> list[str]:
    return [notice.kind.value for notice in notices]


def seen_first(now: RunStatus, **fields: object) -> Seen:
    return replace(look(None, now, reports=0, now=NOW, rules=RULES)[0], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("later", "seconds", "expected"),
    [
        (status(), 599, []),  # within 10 minutes
        (status(), 601, ["stalled"]),
        (status(generated=101), 601, []),  # one job finished
        (status(failed=1), 601, []),  # a failure is progress too
        (status(control=RunControl.PAUSED), 9_000, []),  # a person wants it to stand still
        (status(missing_role="generate", running=0), 601, ["stalled"]),
        (status(running=0), 601, ["stalled"]),  # queued, and nobody takes it
        (status(rate=0.0), 601, ["stalled"]),  # the rate of before counts
    ],
)
def test_a_run_is_stalled_if_nothing_finished_for_a_while(
    later: RunStatus, seconds: float, expected: list[str]
) -> None:
    seen = seen_first(status())
    assert kinds(look(seen, later, reports=0, now=NOW + seconds, rules=RULES)[1]) == expected


def test_the_time_that_counts_as_a_stall_follows_from_the_rate() -> None:
    slow = status(rate=0.2)  # a job every five minutes
    assert kinds(look(seen_first(slow), slow, reports=0, now=NOW + 2_900, rules=RULES)[1]) == []
    assert kinds(look(seen_first(slow), slow, reports=0, now=NOW + 3_100, rules=RULES)[1]) == ["stalled"]
    given = Rules(stall=60)
    assert kinds(look(seen_first(slow), slow, reports=0, now=NOW + 61, rules=given)[1]) == ["stalled"]
    unknown = status(rate=0.0, generated=0)  # workers load their model
    assert kinds(look(seen_first(unknown), unknown, reports=0, now=NOW + 1_100, rules=RULES)[1]) == []
    assert kinds(look(seen_first(unknown), unknown, reports=0, now=NOW + 1_300, rules=RULES)[1]) == ["stalled"]


def test_a_run_that_waits_for_another_is_not_stalled() -> None:
    waits = status(running=0)
    assert kinds(look(seen_first(waits), waits, reports=0, now=NOW + 9_000, rules=RULES, others_active=True)[1]) == []


def test_a_stall_is_told_once_and_so_is_its_end() -> None:
    seen = seen_first(status())
    seen, first = look(seen, status(), reports=0, now=NOW + 700, rules=RULES)
    seen, again = look(seen, status(), reports=0, now=NOW + 1_400, rules=RULES)
    seen, back = look(seen, status(generated=101), reports=0, now=NOW + 1_500, rules=RULES)
    seen, after = look(seen, status(generated=102), reports=0, now=NOW + 1_600, rules=RULES)
    assert [kinds(found) for found in (first, again, back, after)] == [["stalled"], [], ["recovered"], []]
    assert "no job finished for 12 min, and 200 jobs are pending" in first[0].sentence
    assert "goes on after 25 min without progress" in back[0].sentence
    assert first[0].command == "applejack status night"
    seen, second = look(seen, status(generated=102), reports=0, now=NOW + 9_000, rules=RULES)
    assert second[0].key != first[0].key  # another stall is another event


def test_a_stage_that_reports_nothing_is_stalled() -> None:
    training = status(stage="train", queued=0, running=0)
    seen = look(None, training, reports=7, now=NOW, rules=RULES)[0]
    assert kinds(look(seen, training, reports=7, now=NOW + 1_700, rules=RULES)[1]) == []
    assert kinds(look(seen, training, reports=8, now=NOW + 1_900, rules=RULES)[1]) == []
    told = look(seen, training, reports=7, now=NOW + 1_900, rules=RULES)[1]
    assert "its stage train reported nothing for 32 min" in told[0].sentence
    without = replace(training, missing_role="train")
    (told_early,) = look(seen, without, reports=7, now=NOW + 1_300, rules=RULES)[1]
    assert told_early.command == "applejack worker train"


@pytest.mark.parametrize(
    ("generated", "failed", "expected"),
    [
        (81, 19, []),  # 19%
        (80, 20, ["failures"]),
        (0, 19, []),  # too few to mean anything
        (0, 20, ["failures"]),
    ],
)
def test_many_failures_are_told(generated: int, failed: int, expected: list[str]) -> None:
    now = status(generated=generated, failed=failed, kinds={"timeout": failed - 1, "internal": 1})
    notices = look(None, now, reports=0, now=NOW, rules=RULES)[1]
    assert kinds(notices) == expected
    if notices:
        assert notices[0].command == "applejack resubmit night --kind timeout --dry-run"
        assert f"timeout {failed - 1}, internal 1" in notices[0].sentence
    after = replace(now, version=2)
    assert {one.key for one in look(None, after, reports=0, now=NOW, rules=RULES)[1]}.isdisjoint(
        one.key for one in notices
    )


def test_each_end_of_a_run_is_told_with_what_to_do_next() -> None:
    done = status(stage="done", queued=0, running=0, generated=290, failed=10, kept=277, rejected=23)
    told = ended(done, at=NOW, verdict="5 of 7 targets reached, 2 missed")
    assert told.sentence == (
        "Run night is done: 277 kept, 23 rejected, 10 of 300 jobs failed. 5 of 7 targets reached, 2 missed."
    )
    assert told.command == "applejack report night"
    assert told.figures["kept"] == "277"
    assert ended(done, at=NOW).command == "applejack review night"
    failed = ended(status(stage="failed", error="train: out of memory"), at=NOW)
    assert (failed.kind, failed.command) == (EventKind.FAILED, "applejack resubmit night --stage train")
    assert failed.sentence == "Run night failed in train: out of memory"
    cancelled = ended(status(control=RunControl.CANCELLED, cancelled=42), at=NOW)
    assert (cancelled.kind, cancelled.command) == (EventKind.CANCELLED, "applejack resume night")
    assert "42 jobs left" in cancelled.sentence
    assert ended(done, at=NOW).key == ended(done, at=NOW).key != ended(done, at=NOW + 60).key


def worker(silent: float, paused: str = "", control: WorkerControl = WorkerControl.GO) -> WorkerView:
    fields: JsonObject = {"paused": paused} if paused else {}
    return WorkerView("generate1@mac", silent, fields, control)


def test_a_worker_that_is_silent_or_paused_for_long_is_told() -> None:
    def at(seconds: float, view: WorkerView, since: dict[str, float] | None = None) -> list[str]:
        return kinds(look_at_workers(since or {}, [view], started=NOW, now=NOW + seconds, rules=RULES)[1])

    assert at(400, worker(290)) == []
    assert at(400, worker(310)) == ["worker_silent"]
    assert at(400, worker(5_000)) == []  # it was silent before the watch began
    assert at(400, worker(310, control=WorkerControl.PAUSED)) == []  # a person did it
    assert at(800, worker(1, "endpoint_unreachable: no server"), {"generate1@mac": NOW}) == []
    assert at(1_000, worker(1, "endpoint_unreachable: no server"), {"generate1@mac": NOW}) == ["worker_paused"]
    assert at(1_000, worker(1), {"generate1@mac": NOW}) == []
    since, _, healthy = look_at_workers({}, [worker(1, "disk full")], started=NOW, now=NOW + 5, rules=RULES)
    assert (since, healthy) == ({"generate1@mac": NOW + 5}, [])


def test_a_message_has_slacks_shape_and_cannot_mention_a_channel() -> None:
    evil = "train: <!channel> & <https://evil|click>"
    notice = ended(status(stage="failed", error=evil), at=NOW)
    sent = slack_json(notice)
    assert set(sent) == {"text", "blocks"}
    assert isinstance(sent["text"], str)
    assert "<" not in sent["text"]
    assert "&lt;!channel&gt; &amp;" in sent["text"]
    assert "applejack resubmit night --stage train" in sent["text"]
    assert isinstance(sent["blocks"], list)
    assert [block["type"] for block in sent["blocks"]] == ["section", "section", "context"]  # type: ignore[call-overload,index]
    assert len(sent["blocks"][1]["fields"]) <= 10  # type: ignore[index,call-overload,arg-type]
    told = command_json(notice)
    assert (told["event"], told["run_id"], told["version"]) == ("failed", "night", 1)
    assert told["sentence"] == f"Run night failed in {evil}"
    long = slack_json(replace(notice, sentence="x" * 9_000, figures={str(n): "y" * 900 for n in range(30)}))
    assert isinstance(long["blocks"], list)
    assert len(long["blocks"][0]["text"]["text"]) <= 3_000  # type: ignore[index,call-overload,arg-type]
    assert len(long["blocks"][1]["fields"]) == 10  # type: ignore[index,call-overload,arg-type]
