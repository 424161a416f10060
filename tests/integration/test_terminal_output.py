"""Commands on a run whose every text is an escape sequence: none reaches the terminal.

Fails without PlainConsole.render and without plain() in `say` and `say_json`.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import FailureKind, RejectionReason
from config.ledger import Judged, Ledger
from config.ledger.stages import StageClaim
from config.records import Failure, Finding, Message, Prompt, Spec, ToolCall, Trajectory, Verdict
from config.topology import Stage
from tests.support.workers import ROOT

ATTACK = "\x1b]52;c;aGFja2Vk\x07\x1b]8;;http://evil.example\x1b\\x\x1b[2J\x9b1;1H[link=http://evil.example]y[/link][/z]\u202e"
FORBIDDEN = {chr(code) for code in (*range(9), *range(0xB, 0x20), *range(0x7F, 0xA0), 0x202E)}
COMMANDS = [
    ("status",), ("status", "r"), ("status", "r", "--json"), ("why", "r", "1"), ("why", "r", "2"),
    ("why", "r", "1", "--json"), ("why", "r", ATTACK), ("report", "r"), ("doctor",), ("doctor", "--json"),
    ("resubmit", "r", "--dry-run"), ("worker", "pause", ATTACK), ("cancel", ATTACK), (ATTACK,),
    ("review", "r", "--dir", "d"),
]  # fmt: skip


@pytest.fixture
def hostile_run(ledger: Ledger) -> None:
    """One kept job and one failed one, and a worker with a hostile name and heartbeat."""
    asked = [Prompt(prompt=f"{number} {ATTACK}", category=ATTACK) for number in range(2)]
    ids = ledger.create(Spec(run_id="r", train=False, model=ATTACK), asked).job_ids
    call = ToolCall(id=ATTACK, name=ATTACK, arguments={ATTACK: ATTACK})
    messages = (
        Message(role="user", content=ATTACK),
        Message(role="assistant", content=ATTACK, tool_calls=(call,)),
        Message(role="tool", tool_call_id=ATTACK, name=ATTACK, content=ATTACK),
        Message(role="assistant", content=ATTACK),
    )
    failure = Failure(kind=FailureKind.ENDPOINT_ERROR, message=ATTACK)
    for job_id, failed in zip(ids, (None, failure), strict=True):
        ledger.jobs.begin("r", job_id, worker=ATTACK, lease_seconds=9, delivery_limit=3)
        made = Trajectory(
            run_id="r", job_id=job_id, attempt=1, prompt=ATTACK, messages=messages, failure=failed,
            outcome="failed" if failed else "completed",
        )  # fmt: skip
        ledger.jobs.finish(made, worker=ATTACK)
    claim = ledger.stages.begin("r", Stage.CURATE, worker=ATTACK, lease_seconds=9)
    assert isinstance(claim, StageClaim)
    finding = Finding(reason=RejectionReason.WRONG_ANSWER, detail=ATTACK)
    judged = Judged(ledger.run("r").version, ledger.fleet.now())
    ledger.set_verdicts("r", [Verdict(job_id=ids[0], findings=(finding,))], judged=judged)
    ledger.stages.finish(claim, result={"kept": 0, "note": ATTACK})
    texts = dict.fromkeys(("endpoint", "paused", "version", "machine", "serves", "budget"), ATTACK)
    ledger.fleet.heartbeat(ATTACK, {**texts, "queues": ["generate"]})


@pytest.mark.usefixtures("hostile_run")
def test_no_command_prints_a_control_character(redis_url: SecretStr, tmp_path: Path) -> None:
    env = {**os.environ, "APPLEJACK_REDIS_URL": redis_url.get_secret_value(), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]

    def run(words: tuple[str, ...]) -> bytes:
        done = subprocess.run([*program, *words], env=env, cwd=tmp_path, capture_output=True, timeout=100)
        return done.stdout + done.stderr

    with ThreadPoolExecutor(3) as pool:
        printed = {words: text.decode() for words, text in zip(COMMANDS, pool.map(run, COMMANDS), strict=True)}
    assert {words: sorted(FORBIDDEN & set(text)) for words, text in printed.items() if FORBIDDEN & set(text)} == {}
    assert [text for text in printed.values() if "Traceback" in text] == []  # "[/z]" is no markup
    assert "[link=http://evil.example]y[/link]" in printed["why", "r", "1"]
