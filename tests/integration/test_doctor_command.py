"""`applejack doctor` whole: a sound setup exits 0; a planted error exits 1; bad usage 2; looking makes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.ledger.store import ledger_client
from config.process import free_port
from config.records import JsonObject
from producer.stack.redis_server import Server
from tests.support.scripted_endpoint import ScriptedEndpoint, says
from tests.support.students import NO_TOOLS, student_with
from tests.support.tiny_student import make_tiny_student

ROOT = Path(__file__).resolve().parents[2]
# What other people's processes and compilers on this machine decide, not we.
OF_THE_MACHINE = {"models_share_host", "slow_blas", "disk_full"}


def doctor(folder: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    (folder / "home" / "hub").mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-P", "-c", "from producer.cli import main; main()", "doctor", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "home"), **env},
        timeout=110,
    )


def answer(done: "subprocess.CompletedProcess[str]") -> JsonObject:
    body: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return body


def traps(body: JsonObject) -> list[str]:
    return [one["name"] for one in body["findings"] if one["name"] not in OF_THE_MACHINE]  # type: ignore[index,union-attr,call-overload,misc,operator]


def test_a_sound_setup_has_no_finding(tmp_path: Path, redis_url: SecretStr) -> None:
    student = make_tiny_student(tmp_path / "student")
    with ScriptedEndpoint([says("Hi")]) as endpoint:
        done = doctor(
            tmp_path, "--json", "--student", str(student),
            APPLEJACK_REDIS_URL=redis_url.get_secret_value(), APPLEJACK_ENDPOINT=endpoint.base_url,
        )  # fmt: skip
    body = answer(done)
    assert traps(body) == []
    assert done.returncode == 0 or sys.platform == "darwin"  # there, others' model servers are an error
    assert {"packages", "redis persistence", "runs have workers", "endpoint answers", "host lock",
            "student: loss", "student: tool parser"} <= set(body["checked"])  # type: ignore[arg-type]  # fmt: skip
    assert [one["check"] for one in body["not_checked"]] == ["endpoint's context"]  # type: ignore[index,union-attr,call-overload]
    assert "checked: " in done.stderr  # people's text


def test_an_error_exits_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    student = student_with(NO_TOOLS, tmp_path / "student")
    with Server.start(tmp_path / "own") as server:
        with ledger_client(server.url.get_secret_value()) as client:
            client.config_set("appendonly", "no")
        done = doctor(
            tmp_path, "--student", str(student), "--endpoint", f"http://127.0.0.1:{free_port()}/v1", "--json",
            APPLEJACK_REDIS_URL=server.url.get_secret_value(),
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert sorted(traps(answer(done))) == ["endpoint_silent", "redis_no_aof", "student_template"]
    assert "appendonly" in done.stderr
    assert server.url.get_secret_value().split("@")[0] not in done.stdout + done.stderr  # no password


@pytest.mark.parametrize("arguments", [("--student", "nowhere"), ("--frobnicate",)])
def test_bad_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = doctor(tmp_path, *arguments)
    assert done.returncode == 2
    assert arguments[-1] in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json")
    assert [one["check"] for one in answer(done)["not_checked"]][:2] == ["redis", "fleet"]  # type: ignore[index,union-attr,call-overload]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
