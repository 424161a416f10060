"""The pure functions behind the Runs and Run pages: words, timeline, curves, causes, advice, scores, preview."""

from dataclasses import replace

import pytest

from config.errors import FailureKind, RejectionReason, UsageError
from config.ledger.encoding import Event
from config.ledger.fleet import WorkerView
from config.ledger.stages import StageView
from config.ledger.summaries import RunSummary, StageSummary
from config.records import JobState, JsonObject, RunControl, StageState, WorkerControl
from config.topology import Stage
from producer.flower.runs import words
from producer.flower.runs.advice import advice
from producer.flower.runs.causes import causes
from producer.flower.runs.curves import MOST_POINTS, losses, throughput
from producer.flower.runs.detail import buttons
from producer.flower.runs.listing import Query, fleet_line, row, state_of, summary
from producer.flower.runs.preview import mix_sentence, wanted
from producer.flower.runs.scores import Scores, of_report, scores
from producer.flower.runs.timeline import moments, steps
from producer.flower.runs.workers import table
from producer.flower.text import code, json_data
from producer.run_status import RunStatus
from tests.support.rich_report import rich_report

NOW = 1_790_000_000.0


def stage(name: Stage, state: StageState = StageState.WAITING, **fields: object) -> StageView:
    empty: dict[str, object] = {
        "worker": "",
        "started": None,
        "finished": None,
        "error": "",
        "result": {},
        "history": (),
    }
    return StageView(stage=name, state=state, **{**empty, **fields})


def run(**fields: object) -> RunStatus:
    plain = RunStatus(
        run_id="night", total=100, queued=60, running=4, generated=30, failed=6, cancelled=0, truncated=0,
        lost_calls={}, kinds={"timeout": 6}, kept=None, rejected=None, correct=None, stage="generate", error="",
        rate=3.0, eta_seconds=1280.0, missing_role="", control=RunControl.GO, version=1, created=NOW - 3600,
        by_worker={}, stages=tuple(stage(name) for name in Stage),
    )  # fmt: skip
    return replace(plain, **fields)


def worker(name: str, control: WorkerControl = WorkerControl.GO, silent: float = 1.0, **fields: object) -> WorkerView:
    return WorkerView(name, silent, {"queues": ["generate"], "limit": 4, "limit_reason": "start", **fields}, control)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (20, "less than a minute"),
        (60, "about 1 minute"),
        (1280, "about 21 minutes"),
        (3 * 3600, "about 3 hours"),
        (3 * 86400, "about 3 days"),
    ],
)
def test_a_duration_in_words(seconds: float | None, text: str) -> None:
    assert words.about(seconds) == text


def test_every_cause_has_its_words() -> None:
    assert {kind.value for kind in FailureKind} <= set(words.FAILURES)
    assert {reason.value for reason in RejectionReason} - {"failed_generation"} <= set(words.REJECTIONS)


def test_a_heartbeats_age_is_the_same_text_for_several_seconds() -> None:
    assert words.age(1) == words.age(9) == "just now"
    assert words.age(41) == words.age(49) == "40 s ago"


@pytest.mark.parametrize(
    ("status", "happened", "do", "tone"),
    [
        # it goes
        (run(failed=0, kinds={}, generated=36), "36 of 100 jobs finished, about 21 minutes left.", "Nothing to do.",
         "running"),
        # many jobs fail
        (run(), "36 of 100 jobs finished, about 21 minutes left.", "most with timeout", "failed"),
        # nobody works
        (run(missing_role="generate"), "No worker takes generate work, so 60 jobs wait.",
         "`applejack worker generate`", "failed"),
        # a person's wish
        (run(control=RunControl.PAUSED), "60 jobs to go, 4 jobs in flight will finish.", "Resume it", "held"),
        (run(control=RunControl.CANCELLED, queued=0, running=0, cancelled=64),
         "36 jobs had finished, 64 had not.", "or curate what there is", "held"),
        # a failed stage
        (run(stage="failed", stages=(stage(Stage.CURATE, StageState.FAILED, error="none was kept"),)),
         "The curate stage failed: none was kept.", "run the stage again", "failed"),
        # done
        (run(stage="done", kept=90, failed=0, total=100, stages=(stage(Stage.EVALUATE, StageState.DONE),)),
         "90 of 100 jobs kept.", "Read the report", "done"),
    ],
)  # fmt: skip
def test_advice_says_what_happened_and_what_to_do(status: RunStatus, happened: str, do: str, tone: str) -> None:
    found = advice(status, (), (), last_finished=NOW, now=NOW)
    assert found.happened == happened
    assert do in found.do
    assert found.tone == tone


def test_advice_names_the_reason_when_all_workers_are_paused() -> None:
    rows = table(run(), [worker("a", paused="the disk is full"), worker("b", paused="the disk is full")], {})
    found = advice(run(), rows, (), last_finished=NOW, now=NOW)
    assert found.happened == "All 2 workers paused: the disk is full."
    assert found.tone == "failed"


def test_advice_names_a_worker_that_only_looks_on() -> None:
    rows = table(run(), [worker("a"), worker("b", refuses={"teacher-30b": "this server has 'draft-1b'"})], {"a": 4})
    found = advice(run(failed=0, kinds={}, generated=36), rows, (), last_finished=NOW, now=NOW)
    assert found.do == "The server of b has another model: see the Fleet page."


def test_advice_notices_a_run_that_stands_still() -> None:
    rows = table(run(), [worker("a")], {"a": 4})
    assert (
        "No job has finished for about 33 minutes"
        in advice(run(), rows, (), last_finished=NOW - 2000, now=NOW).happened
    )


def test_the_timeline_has_a_step_for_each_stage_with_times_and_errors() -> None:
    trained = stage(
        Stage.TRAIN, StageState.FAILED, started=NOW - 90, finished=NOW - 30, worker="gpu", error="no memory"
    )
    curated = stage(
        Stage.CURATE, StageState.DONE, started=NOW - 200, finished=NOW - 100,
        result={"kept": 1200, "rejected": 3, "skipped": 0},
        history=(Event(NOW, "lost", "gpu", "its lease expired", 1),),
    )  # fmt: skip
    status = run(stage="failed", queued=0, running=0, stages=(curated, trained, stage(Stage.EVALUATE)))
    found = steps(status, {int(NOW - 3000) // 10: 30, int(NOW - 300) // 10: 6}, [], now=NOW)
    assert [step.name for step in found] == ["Submitted", "Generate", "Curate", "Train", "Evaluate"]
    assert (found[1].took, found[2].took, found[3].took) == ("45 min", "2 min", "1 min")
    assert found[2].detail == "1,200 kept, 3 rejected"  # its "skipped" counts lines, it is not a reason
    assert found[2].interruptions == "interrupted 1 time, last: its worker was lost"
    assert (found[3].tone, found[3].error, found[3].worker) == ("failed", "no memory", "gpu")
    assert found[4].state == "waiting"


def test_the_running_evaluation_shows_its_progress() -> None:
    status = run(stage="evaluate", stages=(stage(Stage.EVALUATE, StageState.RUNNING, started=NOW - 130),))
    found = steps(status, {}, [{"phase": "before", "done": 12, "total": 60}], now=NOW)[-1]
    assert (found.detail, found.percent, found.took) == ("before: 12 of 60 questions", "20.00", "2 minutes")


def test_what_people_did_is_listed_newest_first() -> None:
    history = (
        Event(NOW, "paused", "", "", 1),
        Event(NOW, "resubmitted", "", "12", 1),
        Event(NOW, "resubmitted", "", "", 1),
    )
    assert [one.text for one in moments(history, now=NOW)] == ["A stage run again", "12 jobs resubmitted", "Paused"]


def test_throughput_counts_each_job_once_and_leaves_out_the_minute_that_goes_on() -> None:
    start = int(NOW) // 60 * 60
    rates = {(start + 10 * n) // 10: 2 for n in range(18)}  # 3 minutes, 12 jobs each
    curve = throughput(rates, now=start + 170)
    assert curve.data["series"][0]["values"] == [12, 12]  # type: ignore[index, call-overload]
    assert throughput(rates, now=start + 180).data["series"][0]["values"] == [12] * 3  # type: ignore[index, call-overload]


def test_throughput_of_a_long_night_has_few_points_and_the_same_jobs() -> None:
    start = int(NOW) // 3600 * 3600
    rates = {start // 10 + n: 1 for n in range(0, 12 * 360, 2)}
    data = throughput(rates, now=NOW + 90_000).data
    values = data["series"][0]["values"]  # type: ignore[index, call-overload]
    assert len(values) <= MOST_POINTS
    minutes = (data["x"][1] - data["x"][0]) / 60  # type: ignore[index, operator]
    assert sum(values) * minutes == pytest.approx(sum(rates.values()))


def test_losses_keep_every_validation() -> None:
    records: list[JsonObject] = [{"iteration": n, "train_loss": 2.0 / (n + 1)} for n in range(1000)]
    records += [{"iteration": n, "valid_loss": 1.0} for n in (7, 333, 999)]
    data = losses(records).data
    train, valid = data["series"]  # type: ignore[misc]
    assert len(data["x"]) <= MOST_POINTS + 4  # type: ignore[arg-type]
    assert sum(value is not None for value in valid["values"]) == 3  # type: ignore[index, call-overload, union-attr]
    assert train["values"][-1] == 0.002  # type: ignore[index, call-overload]


def test_a_chart_without_data_is_a_sentence() -> None:
    assert not throughput({}, now=NOW).drawn
    assert losses([]).caption == "No loss has been reported yet."


def test_causes_are_sorted_and_each_can_be_resubmitted() -> None:
    result: JsonObject = {"reasons": {"wrong_answer": 4, "duplicate": 9, "failed_generation": 6}}
    status = run(
        kinds={"timeout": 2, "internal": 4}, rejected=19, stages=(stage(Stage.CURATE, StageState.DONE, result=result),)
    )
    found = causes(status)
    assert [(cause.code, cause.count) for cause in found.failures] == [("internal", "4"), ("timeout", "2")]
    assert [cause.query for cause in found.rejections] == ["reason=duplicate", "reason=wrong_answer"]
    assert found.failures[0].width == "100.00"


def test_a_cause_of_a_later_version_is_shown_without_a_button() -> None:
    assert [cause.query for cause in causes(run(kinds={"of_a_later_version": 3})).failures] == [""]


def test_nothing_can_be_resubmitted_of_a_cancelled_run() -> None:
    found = causes(run(control=RunControl.CANCELLED))
    assert [cause.query for cause in found.failures] == [""]
    assert "Resume" in found.held


def test_the_worker_table_says_why_each_worker_does_what_it_does() -> None:
    views = [
        worker("works", limit_reason="throughput grew 12%", first_token_seconds=0.84, tokens_per_second=40.0),
        worker("broken", paused="the endpoint is down"),
        worker("held", WorkerControl.PAUSED),
        worker("silent", silent=100.0),
        worker("loads", downloading={"model": "qwen", "bytes": 1, "of": 4}),
        worker("draft", refuses={"teacher-30b": "this server has 'draft-1b'"}),
        worker("other", queues=["train"]),
    ]
    status = run(by_worker={"works": {"generated": 30}, "left": {"failed": 6}, "silent": {}})
    rows = {one.name: one for one in table(status, views, {"works": 4})}
    assert next(iter(rows)) == "works"
    assert (rows["works"].state, rows["works"].in_flight) == ("working", "4")
    assert rows["works"].limit == "at most 4: throughput grew 12%"
    assert (rows["works"].first_token, rows["works"].tokens) == ("0.8 s", "40 a second")
    assert (rows["broken"].state, rows["broken"].reason) == ("paused", "the endpoint is down")
    assert (rows["held"].state, rows["held"].reason) == ("paused", "by a person")
    assert rows["silent"].state == "silent"
    assert (rows["loads"].state, rows["loads"].reason) == ("downloading", "qwen, 25%")
    assert (rows["draft"].state, rows["draft"].tone) == ("wrong model", "failed")
    assert rows["draft"].reason == "does not serve teacher-30b: this server has 'draft-1b'"
    assert rows["left"].seen == "left the fleet"
    assert "other" not in rows


@pytest.mark.parametrize(
    ("status", "allowed"),
    [
        (run(), {"pause", "cancel"}),
        (run(control=RunControl.PAUSED), {"resume", "cancel"}),
        (run(control=RunControl.CANCELLED), {"resume", "curate"}),
        (run(control=RunControl.CANCELLED, generated=0), {"resume"}),
        (run(stage="done"), set()),
        (run(stage="failed", stages=(stage(Stage.TRAIN, StageState.FAILED),)), {"stage"}),
    ],
)
def test_only_the_buttons_that_do_something_are_shown(status: RunStatus, allowed: set[str]) -> None:
    assert {name for name, value in vars(buttons(status)).items() if value} == allowed


def test_scores_have_both_models_with_their_intervals() -> None:
    found = of_report(rich_report())
    first = found.rows[0]
    assert first.before is not None
    assert first.after is not None
    assert (first.after.text, first.after.interval) == ("10 of 54", "10-31%")
    assert float(first.after.left) < float(first.after.at) < float(first.after.left) + float(first.after.width)
    assert found.verdict == "3 of 7 targets reached, 4 missed."


def test_a_report_of_another_version_is_a_sentence() -> None:
    assert isinstance(scores("night", stage(Stage.EVALUATE, StageState.DONE, result={"schema_version": 9})), str)
    assert scores("night", stage(Stage.EVALUATE, StageState.RUNNING)) == ""
    done = stage(Stage.EVALUATE, StageState.DONE, result=rich_report().model_dump(mode="json"))
    assert isinstance(scores("night", done), Scores)


def test_the_mix_is_explained() -> None:
    assert "stays as it is" in mix_sentence([("usage", 0.25, 0.27), ("negative", 0.75, 0.73)])
    assert mix_sentence([("usage", 0.2, 0.6)]).startswith("'usage' is 60% of these jobs and 20% of the run")


def test_an_unknown_cause_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'sloth'.*timeout"):
        wanted(["sloth"], [], [])


def summarised(**fields: object) -> RunSummary:
    counts = {**dict.fromkeys(JobState, 0), JobState.QUEUED: 60, JobState.RUNNING: 4, JobState.GENERATED: 36}
    heads = tuple(StageSummary(name, StageState.WAITING, "", "", None) for name in Stage)
    plain = RunSummary("night", 100, NOW - 3600, 1, RunControl.GO, counts, heads, {}, {int(NOW) // 10 - 6: 5}, ("a",))
    return replace(plain, **fields)


def test_a_row_of_the_runs_page() -> None:
    found = row(summarised(), [worker("a")], None, now=NOW)
    assert (found.state, found.progress, found.workers) == ("generating", "36 of 100", "1")
    assert (found.rate, found.left) == ("5.0 a minute", "about 13 minutes left")
    assert [(bar.name, bar.width) for bar in found.bars] == [("generated", "36.00"), ("running", "4.00")]


def test_a_row_without_a_worker_has_no_time_left() -> None:
    found = row(summarised(), [], None, now=NOW)
    assert (found.note, found.left) == ("no worker for generate", "")


def test_the_state_of_a_run_is_its_control_else_its_stage() -> None:
    assert state_of(summarised(control=RunControl.PAUSED)) == "paused"
    failed = StageSummary(Stage.CURATE, StageState.FAILED, "", "none kept", None)
    assert state_of(summarised(stages=(failed,))) == "failed"
    skipped = tuple(StageSummary(name, StageState.SKIPPED, "", "", None) for name in Stage)
    assert state_of(summarised(counts=dict.fromkeys(JobState, 0), stages=skipped)) == "done"


def test_the_fleet_in_one_line() -> None:
    views = [worker("a"), worker("b", paused="disk"), worker("c", silent=99.0), worker("d", WorkerControl.DRAINING)]
    assert fleet_line(views) == (
        "1 worker ready, 1 paused by their endpoint or disk, 1 held by a person, 1 not heard of",
        True,
    )
    assert fleet_line([worker("a")]) == ("1 worker ready", False)
    draft = worker("b", refuses={"teacher-30b": "this server has 'draft-1b'"})
    assert fleet_line([worker("a"), draft]) == ("1 worker ready, 1 with another model than a run requests", True)


def test_the_numbers_above_the_runs() -> None:
    assert summary(3, 3, Query(), 0, 3) == "3 runs"
    assert summary(2, 3, Query(name="x"), 0, 2) == "2 of 3 runs"
    assert summary(200, 200, Query(page=2), 50, 50) == "200 runs, 51 to 100 shown"


def test_text_for_html_is_escaped() -> None:
    assert code("run `a<b` <now>") == "run <code>a&lt;b</code> &lt;now&gt;"
    assert code("one ` alone") == "one ` alone"
    assert json_data({"a": "</script><b>&"}) == '{"a": "\\u003c/script\\u003e\\u003cb\\u003e\\u0026"}'
