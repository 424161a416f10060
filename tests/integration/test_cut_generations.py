"""Jobs that max_tokens cuts, from a real HTTP endpoint through real workers to status, why and resubmit."""

import json
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import JobState, JsonObject, Prompt, StageState
from config.topology import Stage
from producer.cli import main
from tests.integration.conftest import StartWorker
from tests.support.fleet import PROBE, QUICK, RUN, all_terminal, question, submit, until
from tests.support.scripted_endpoint import Call, Reply, ScriptedEndpoint, says

HALF = (Call("grep", '{"pattern": "App'),)
CUT = {
    "in its text": Reply(text="Apple is in", finish_reason="length"),
    "in a call": Reply(calls=HALF, finish_reason="length"),
    "and dropped by the server": Reply(finish_reason="length"),
}
BROKEN = "failing"


def reply(body: JsonObject) -> Reply:
    asked = question(body)
    if asked == PROBE:
        return says("Hello.")
    return CUT.get(asked) or Reply(finish_reason="tool_calls" if asked == BROKEN else None, text="Whole.")


def applejack(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> JsonObject:
    monkeypatch.setattr(sys, "argv", ["applejack", *arguments, "--json"])
    with pytest.raises(SystemExit):
        main()
    body: JsonObject = json.loads(capsys.readouterr().out.splitlines()[-1])
    return body


def test_cut_jobs_are_truncated_before_and_after_curation(
    ledger: Ledger,
    redis_url: SecretStr,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("APPLEJACK_REDIS_URL", redis_url.get_secret_value())
    monkeypatch.chdir(tmp_path)
    asked = [Prompt(prompt=text, requires_tools=False) for text in (*CUT, "whole", BROKEN)]
    with ScriptedEndpoint(reply) as endpoint:
        start_worker("generate", "one", env={**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url})
        job_ids = submit(ledger, redis_url, asked)
        counts = all_terminal(ledger)
        assert len([body for body in endpoint.requests if question(body) in CUT]) == len(CUT)  # none was retried
        assert counts[JobState.GENERATED] == 4
        assert counts[JobState.FAILED] == 1
        assert sum(counts.values()) == len(asked)

        status = applejack(capsys, monkeypatch, "status", RUN)
        assert (status["truncated"], status["generated"], status["kinds"]) == (3, 4, {"malformed_tool_call": 1})
        assert status["lost_calls"] == {"default_model": 4}  # one job, asked again three times
        for job_id in job_ids[:3]:
            why = applejack(capsys, monkeypatch, "why", RUN, job_id)
            assert (why["outcome"], why["reasons"]) == ("completed", ["truncated"])
        selected = applejack(capsys, monkeypatch, "resubmit", RUN, "--reason", "truncated", "--dry-run")
        assert (selected["resubmitted"], selected["by_kind"]) == (3, {"truncated": 3})

        start_worker("curate", "two", env=QUICK)
        until(lambda: ledger.stages.view(RUN, Stage.CURATE).state is StageState.DONE)
        status = applejack(capsys, monkeypatch, "status", RUN)
        assert (status["truncated"], status["kept"], status["rejected"]) == (3, 1, 4)
        for job_id in job_ids[:3]:
            assert applejack(capsys, monkeypatch, "why", RUN, job_id)["reasons"] == ["truncated"]
        selected = applejack(capsys, monkeypatch, "resubmit", RUN, "--reason", "truncated")
        assert selected["resubmitted"] == 3
        status = applejack(capsys, monkeypatch, "status", RUN)
        assert status["truncated"] <= 3  # they run again
        all_terminal(ledger)
        assert applejack(capsys, monkeypatch, "status", RUN)["truncated"] == 3  # and are cut again
