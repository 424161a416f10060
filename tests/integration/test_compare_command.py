"""`applejack compare` on two runs whose reports are in the ledger."""

import json
import re

from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import Prompt, Spec, Trajectory, Verdict
from config.report.comparison import mcnemar
from config.report.metrics import Metrics, Rate
from config.report.model import Report
from config.report.outcomes import Outcome, PromptOutcome, prompt_hash
from config.topology import Stage
from tests.integration.test_commands import Applejack, applejack, assert_refused

__all__ = ["applejack"]  # the fixture


def outcomes(right: str) -> tuple[PromptOutcome, ...]:
    """One outcome per letter: r for right, w for wrong, x for a right answer to another prompt of the same job id."""
    made = []
    for number, letter in enumerate(right):
        prompt = f"Where is {'Queue' if letter == 'x' else 'Task'}{number}?"
        found = Outcome(
            correct=letter != "w", grounded=letter != "w", answer="in [app] base.py" if letter != "w" else "no"
        )
        made.append(
            PromptOutcome(
                job_id=f"{number:06d}-3fa9c1d2",
                category="where_defined",
                prompt=prompt,
                prompt_hash=prompt_hash(prompt),
                needs_tools=True,
                before=Outcome(correct=False, grounded=False, answer="I do not know"),
                after=found,
            )
        )
    return tuple(made)


def evaluated_run(ledger: Ledger, run_id: str, right: str, *, max_tokens: int = 256, **changes: int) -> Report:
    """A run that has ended with a report."""
    ids = ledger.create(Spec(run_id=run_id), [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin(run_id, ids[0], worker="w", lease_seconds=9, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id=run_id, job_id=ids[0], prompt="q", outcome="completed"), worker="w")
    metrics = Metrics(prompts=len(right), grounded_correct=Rate(count=len(right) - right.count("w"), of=len(right)))
    made = Report(
        max_tokens=max_tokens,
        run_id=run_id,
        student="s",
        adapter="a",
        before=metrics,
        after=metrics,
        identity="i",
        outcomes=outcomes(right),
    )
    ledger.set_verdicts(run_id, [Verdict(job_id=ids[0])])
    for stage in (Stage.CURATE, Stage.TRAIN, Stage.EVALUATE):
        claim = ledger.stages.begin(run_id, stage, worker="w", lease_seconds=9)
        assert isinstance(claim, StageClaim)
        ledger.stages.finish(
            claim, result={**made.model_dump(mode="json"), **changes} if stage is Stage.EVALUATE else {}
        )
    return made


def test_compare_pairs_the_shared_prompts_and_counts_the_others(applejack: Applejack, ledger: Ledger) -> None:
    first, second = evaluated_run(ledger, "one", "rrwwwwwwwxr"), evaluated_run(ledger, "two", "rwrrrrrrrr")
    done = applejack("compare", "one", "two", "--json")
    assert done.code == 0, done.err
    body = json.loads(done.out.splitlines()[-1])
    assert body["metrics"] == {"one": first.model_dump(mode="json"), "two": second.model_dump(mode="json")}
    assert (body["shared"], body["not_shared"]) == (9, {"first": 2, "second": 1})
    paired = body["comparison"]["grounded_correct"]
    assert paired == {"both": 1, "only_first": 1, "only_second": 7, "neither": 0, "p": mcnemar(1, 7)}
    assert [flip["job_id"][:6] for flip in body["comparison"]["flipped"]] == [f"{n:06d}" for n in range(1, 9)]


def test_compare_is_readable_at_80_columns(applejack: Applejack, ledger: Ledger) -> None:
    evaluated_run(ledger, "one", "rrwwwwwwwxr" + "w" * 20)
    evaluated_run(ledger, "two", "rwrrrrrrrr" + "r" * 20)
    applejack.monkeypatch.setenv("COLUMNS", "80")
    text = applejack("compare", "one", "two").out
    assert max(map(len, text.splitlines())) <= 80
    assert "29 prompts shared; not shared: 2 of one, 1 of two" in text
    assert re.search(r"correct by real result +4 of 31 \(5-29%\) +29 of 30 \(83-99%\)", text)
    assert "prompts flipped: two gained" in text
    flipped = text[text.index("prompts flipped") :]
    assert flipped.index("- 000001-3fa9c1d2  where_defined") < flipped.index("+ 000002-3fa9c1d2")  # lost ones first
    assert "one: in [app] base.py" in flipped  # brackets are not markup
    assert "more: --json lists all" in flipped


def test_compare_with_a_run_that_shares_no_prompt_says_so(applejack: Applejack, ledger: Ledger) -> None:
    evaluated_run(ledger, "one", "rr")
    evaluated_run(ledger, "two", "xx")
    done = applejack("compare", "one", "two")
    assert done.code == 0
    assert "0 prompts shared; not shared: 2 of one, 2 of two" in done.out
    assert "flipped" not in done.out


def test_compare_with_a_run_without_a_report_is_refused(applejack: Applejack, ledger: Ledger) -> None:
    evaluated_run(ledger, "one", "rr")
    assert_refused(applejack("compare", "one", "two"), "'two'")


def test_compare_warns_where_one_run_had_less_room_for_its_answers(applejack: Applejack, ledger: Ledger) -> None:
    evaluated_run(ledger, "one", "rr", max_tokens=96)
    evaluated_run(ledger, "two", "rr")
    assert "warning: answers had up to 96 and 256 tokens" in applejack("compare", "one", "two").out
    assert "warning" not in applejack("compare", "two", "two").out


def test_report_of_an_earlier_version_is_refused_with_the_way_to_renew_it(applejack: Applejack, ledger: Ledger) -> None:
    evaluated_run(ledger, "one", "rr", schema_version=1)
    assert_refused(applejack("report", "one"), "`applejack resubmit one --stage evaluate` makes it anew")
