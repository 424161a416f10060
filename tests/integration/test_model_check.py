"""`submit` asks the live workers for the run's models before it queues anything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import UsageError
from config.ledger import Ledger
from config.records import JsonObject
from config.settings import Settings
from producer.model_check import FleetModels, ask_workers, require_student, require_teacher
from tests.integration.conftest import StartWorker
from tests.support.fleet import answering, until
from tests.support.scripted_endpoint import ScriptedEndpoint

ROOT = Path(__file__).parents[2]


def test_submit_refuses_a_model_that_no_live_worker_serves(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, tmp_path: Path
) -> None:
    """Fails without check_models: both runs are queued and wait, one for its teacher and one for its student."""
    asked = tmp_path / "prompts.jsonl"
    asked.write_text('{"prompt": "What is a queue?", "requires_tools": false}\n')

    def submit(*options: str) -> tuple[int, JsonObject]:
        command = [sys.executable, "-c", "from producer.cli import main; main()", "submit", str(asked), "--json"]
        done = subprocess.run(
            [*command, "--no-train", *options],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={"PATH": "/usr/bin:/bin", "APPLEJACK_REDIS_URL": redis_url.get_secret_value()},
        )
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    with ScriptedEndpoint(answering(), models=("org/teacher", "org/cached")) as endpoint:
        start_worker("generate,curate", "g", env={"APPLEJACK_ENDPOINT": endpoint.base_url}, wait=False)
        start_worker("curate", "c", wait=False)
        until(lambda: len(ledger.fleet.workers()) == 2, "both workers")
        code, body = submit("--run", "a", "--format", "seed-text", "--model", "org/techer")
        assert code == 2
        assert body["error"] == (
            "no live worker serves --model 'org/techer': g@test serves 'org/teacher', 'org/cached'; "
            "--force queues the run anyway"
        )
        fleet = ask_workers(ledger, Settings(redis_url=redis_url), teacher="org/teacher", student="/no/such/student")
        require_teacher(fleet, "org/teacher")
        assert fleet.answers["c@test"] == {
            "teacher": None,
            "student": {"here": False, "why": "no model directory '/no/such/student'"},
        }
        assert ledger.run_ids() == []
        assert submit("--run", "a", "--format", "seed-text", "--model", "org/techer", "--force")[0] == 0
        assert ledger.run_ids() == ["a"]


def fleet(part: str, queue: str, **answers: JsonObject | None) -> FleetModels:
    """Live workers of one queue with their answers; None: it did not answer in time."""
    given: dict[str, JsonObject] = {name: {part: answer} for name, answer in answers.items() if answer}
    return FleetModels({name: [queue] for name in answers}, given)


NO: JsonObject = {"serves": False, "models": ["x"]}


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        ({}, False),  # no worker is alive: the run waits
        ({"a": NO}, True),
        ({"a": NO, "b": {"serves": True}}, False),
        ({"a": NO, "b": {"serves": None}}, False),  # a cloud that does not list its models
        ({"a": NO, "b": None}, False),  # asleep, or of an older version
    ],
)
def test_a_teacher_is_refused_only_if_every_live_worker_says_no(
    answers: dict[str, JsonObject | None], refused: bool
) -> None:
    asked = fleet("teacher", "generate", **answers)
    if refused:
        with pytest.raises(UsageError, match="a serves 'x'"):
            require_teacher(asked, "m")
    else:
        require_teacher(asked, "m")


def test_a_student_is_asked_of_the_workers_that_need_it() -> None:
    missing: JsonObject = {"here": False, "why": "no model directory '/s'"}
    with pytest.raises(UsageError, match="no live curate worker has --student '/s': a: no model directory"):
        require_student(fleet("student", "curate", a=missing), "/s", train=False)
    require_student(fleet("student", "curate", a=missing, b={"here": True}), "/s", train=False)
    require_student(fleet("student", "train", a=missing), "/s", train=False)
    with pytest.raises(UsageError, match="no live train worker"):
        require_student(fleet("student", "train", a=missing), "/s", train=True)
