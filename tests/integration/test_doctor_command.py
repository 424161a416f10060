"""`applejack doctor` end to end: exit code 0 if healthy, 1 for an error, 2 for bad usage. It creates no files."""

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
from tests.support.scripted_endpoint import ScriptedEndpoint, call, calls, says
from tests.support.students import NO_TOOLS, student_with
from tests.support.tiny_student import make_tiny_student

ROOT = Path(__file__).resolve().parents[2]
# Findings that depend on the machine the tests run on.
MACHINE_FINDINGS = {
    "models_share_host",
    "flower_open",
    "lock_dir_private",
    "slow_blas",
    "disk_full",
    "small_memory",
    "few_descriptors",
    "mac_sleeps",
    "on_battery",
    "low_power_mode",
    "lid_closed",
}


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


def parse_output(done: "subprocess.CompletedProcess[str]") -> JsonObject:
    body: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return body


def finding_names(body: JsonObject) -> list[str]:
    names = [finding["name"] for finding in body["findings"]]  # type: ignore[index,union-attr,call-overload]
    return [name for name in names if name not in MACHINE_FINDINGS]  # type: ignore[misc,operator]


def test_a_healthy_setup_has_no_finding(tmp_path: Path, redis_url: SecretStr) -> None:
    student = make_tiny_student(tmp_path / "student")
    healthy = [says("Hi"), calls(call("count_lines", path="notes.txt")), says("It has 417.")]
    with ScriptedEndpoint(healthy) as endpoint:
        done = doctor(
            tmp_path, "--json", "--student", str(student),
            APPLEJACK_REDIS_URL=redis_url.get_secret_value(), APPLEJACK_ENDPOINT=endpoint.base_url,
        )  # fmt: skip
    body = parse_output(done)
    assert finding_names(body) == []
    assert done.returncode == 0 or sys.platform == "darwin"  # on macOS another model server on the machine is an error
    assert {"packages", "redis persistence", "runs have workers", "endpoint answers", "device lock",
            "student: loss", "student: tool parser"} <= set(body["checked"])  # type: ignore[arg-type]  # fmt: skip
    assert [skipped["check"] for skipped in body["not_checked"]] == ["endpoint context length"]  # type: ignore[index,union-attr,call-overload]
    assert "checked: " in done.stderr  # the text output


def test_an_error_exits_with_1_and_shows_the_remedy(tmp_path: Path) -> None:
    student = student_with(NO_TOOLS, tmp_path / "student")
    with Server.start(tmp_path / "own") as server:
        with ledger_client(server.url.get_secret_value()) as client:
            client.config_set("appendonly", "no")
        done = doctor(
            tmp_path, "--student", str(student), "--endpoint", f"http://127.0.0.1:{free_port()}/v1", "--json",
            APPLEJACK_REDIS_URL=server.url.get_secret_value(),
        )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert sorted(finding_names(parse_output(done))) == ["endpoint_silent", "redis_no_aof", "student_template"]
    assert "appendonly" in done.stderr
    assert server.url.get_secret_value().split("@")[0] not in done.stdout + done.stderr  # no password


@pytest.mark.parametrize("arguments", [("--student", "nowhere"), ("--frobnicate",)])
def test_bad_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = doctor(tmp_path, *arguments)
    assert done.returncode == 2
    assert arguments[-1] in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_creates_no_files(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--json")
    assert [skipped["check"] for skipped in parse_output(done)["not_checked"]][:2] == ["redis", "fleet"]  # type: ignore[index,union-attr,call-overload]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]
