"""Flower in its own process: pages require the password, and the Runs page shows the ledger."""

import json
import re
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from config.errors import FailureKind
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.process import free_port
from config.records import Failure, Prompt, Spec, TrainProgress, Trajectory
from config.topology import QUEUES, Stage
from producer.stack.redis_server import Server
from tests.support.flower_site import Site, flower_env, flower_site

PAGES = ["/", "/workers", "/tasks", "/broker", "/runs", "/runs/night", "/metrics", "/api/workers", "/api/tasks"]
APPLEJACK = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]
ODD = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.start(tmp_path_factory.mktemp("watched")) as server:
        yield server


@pytest.fixture(scope="module")
def site(watched: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # FLOWER_UNAUTHENTICATED_API is set on purpose: it must not open the API.
    with flower_site(tmp_path_factory.mktemp("flower"), watched.url, FLOWER_UNAUTHENTICATED_API="true") as started:
        yield started


@pytest.fixture(scope="module")
def night(watched: Server) -> None:
    ledger = Ledger.connect(watched.url.get_secret_value())
    prompts = [Prompt(prompt=f"question {number}") for number in range(6)]
    created = ledger.create(Spec(run_id="night"), prompts)
    for number, job_id in enumerate(created.job_ids[:5]):
        ledger.jobs.begin("night", job_id, worker="mac@one", lease_seconds=60, delivery_limit=4)
        failure = Failure(kind=FailureKind.TIMEOUT, message="too slow") if number == 2 else None
        outcome = "failed" if failure else "completed"
        if number < 4:
            trajectory = Trajectory(run_id="night", job_id=job_id, prompt="q", outcome=outcome, failure=failure)
            ledger.jobs.finish(trajectory, worker="mac@one")
    ledger.fleet.heartbeat("mac@one", {"endpoint": ODD, "queues": ["generate"]})


def test_every_page_requires_the_password(site: Site, night: None) -> None:
    assert [site.get(page)[0] for page in PAGES] == [401] * len(PAGES)
    assert [site.get(page, pair="applejack:wrong")[0] for page in PAGES] == [401] * len(PAGES)
    assert [site.get(page, pair=site.pair)[0] for page in PAGES] == [200] * len(PAGES)
    assert site.get("/healthcheck") == (200, "OK")


def test_flower_listens_on_loopback_only(site: Site) -> None:
    [flower] = psutil.Process(site.child.process.pid).children()
    listening = {link.laddr.ip for link in flower.net_connections("tcp") if link.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_password_is_in_a_private_file_and_not_in_the_arguments(site: Site) -> None:
    file = site.child.log.parent / "flower-password.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    [flower] = psutil.Process(site.child.process.pid).children()
    assert site.pair.partition(":")[2] not in " ".join(flower.cmdline())
    assert site.pair.partition(":")[2] not in site.child.log_tail(1000)


def test_runs_page_shows_the_ledgers_counts(site: Site, night: None) -> None:
    code, page = site.get("/runs", pair=site.pair)
    row = page[page.index('data-key="night"') : page.index("</tr>", page.index('data-key="night"'))]
    assert code == 200
    assert "generating" in row
    assert re.findall(r'<td class="number[^"]*">([^<]*)</td>', row) == ["\u2013", "\u2013", "1", "1"]  # kept to workers
    assert "4 of 6" in row


def test_run_page_shows_stages_failures_and_workers(site: Site, night: None) -> None:
    page = site.get("/runs/night", pair=site.pair)[1]
    assert "/runs/night/resubmit?kind=timeout" in page
    assert "mac@one" in page
    assert [f'<p class="aj-step-name">{stage.value.capitalize()}</p>' in page for stage in Stage] == [True] * 3


def test_both_pages_show_a_running_training_and_the_adapters(site: Site, watched: Server) -> None:
    ledger = Ledger.connect(watched.url.get_secret_value())
    spec = Spec(run_id="day", student="tiny")
    (job_id,) = ledger.create(spec, [Prompt(prompt="q")]).job_ids
    ledger.jobs.begin("day", job_id, worker="mac@one", lease_seconds=60, delivery_limit=4)
    ledger.jobs.finish(Trajectory(run_id="day", job_id=job_id, prompt="q", outcome="completed"), worker="mac@one")
    for stage in Stage:
        claim = ledger.stages.begin("day", stage, worker="mac@one", lease_seconds=60)
        assert isinstance(claim, StageClaim)
        ledger.stages.finish(claim, result={"iterations": 207})
    faster = spec.model_copy(update={"lora": {"learning_rate": 5e-5}})
    ledger.stages.reopen("day", Stage.TRAIN, spec=faster)
    ledger.stages.begin("day", Stage.TRAIN, worker="mac@one", lease_seconds=60)
    for iteration in (0, 120):
        progress = TrainProgress(
            iteration=iteration,
            iterations=207,
            train_loss=0.412,
            tokens_per_second=148.0,
            peak_memory_gb=1.4,
            seconds=10.0 + iteration,
        )
        ledger.stages.report("day", Stage.TRAIN, progress)
    line = "iteration 120 of 207, loss 0.412, 148 tokens/s, 1.4 GB, 1 min left"
    pages = [site.get(page, pair=site.pair)[1] for page in ("/runs", "/runs/day")]
    assert all(line in page for page in pages)
    assert "day@v1" in pages[1]
    ledger.remove("day")  # other tests count the runs


def test_unknown_run_is_not_found(site: Site) -> None:
    code, page = site.get("/runs/nobody", pair=site.pair)
    assert code == 404
    assert "there is no run" in page


def test_flowers_own_pages_link_to_the_runs(site: Site) -> None:
    assert 'href="/runs"' in site.get("/workers", pair=site.pair)[1]


def test_broker_page_lists_queues_without_workers(site: Site) -> None:
    page = site.get("/broker", pair=site.pair)[1]
    assert [queue for queue in QUEUES if f'<tr id="{queue}">' in page] == list(QUEUES)


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        # not loopback, with a generated password
        (["--address", "0.0.0.0"], {}, "set APPLEJACK_FLOWER_USER"),
        # an empty address means every interface
        (["--address", ""], {}, "set APPLEJACK_FLOWER_USER"),
        # a user without a password
        ([], {"APPLEJACK_FLOWER_USER": "ann"}, "APPLEJACK_FLOWER_PASSWORD is not set"),
        # a user that basic auth cannot transmit
        ([], {"APPLEJACK_FLOWER_USER": "a:b", "APPLEJACK_FLOWER_PASSWORD": "x"}, "cannot contain a colon"),
        # no Redis
        ([], {"APPLEJACK_REDIS_URL": ""}, "APPLEJACK_REDIS_URL"),
        # not a port: the system would listen on 99999 - 65536
        (["--port", "99999"], {}, "--port 99999 is not a valid port"),
        (["--port", "-1"], {}, "--port -1 is not a valid port"),
        (["--port", "x"], {}, "'--port'"),
        # not an address
        (["--address", "no such host"], {}, "--address 'no such host' is not a valid address"),
        # an address of another machine (TEST-NET-1, RFC 5737)
        (
            ["--address", "192.0.2.1"],
            {"APPLEJACK_FLOWER_USER": "a", "APPLEJACK_FLOWER_PASSWORD": "x"},
            "choose another --address",
        ),
    ],
)
def test_usage_errors_are_one_line(
    tmp_path: Path, redis_url: SecretStr, arguments: list[str], more: dict[str, str], message: str
) -> None:
    env = flower_env(tmp_path, redis_url, **more)
    if not env["APPLEJACK_REDIS_URL"]:
        del env["APPLEJACK_REDIS_URL"]
    command = [sys.executable, "-m", "producer.flower", "--port", str(free_port()), *arguments]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("applejack: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_port_in_use_is_an_error_without_a_url(site: Site, tmp_path: Path, redis_url: SecretStr) -> None:
    command = [*APPLEJACK, "flower", "--json", "--port", site.url.rpartition(":")[2]]
    env = flower_env(tmp_path, redis_url)
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "choose another --port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "http://" not in done.stdout


def test_url_is_printed_once_flower_listens(tmp_path: Path, redis_url: SecretStr) -> None:
    command = [*APPLEJACK, "flower", "--json", "--port", "0"]
    env = flower_env(tmp_path, redis_url)
    with subprocess.Popen(command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as flower:
        assert flower.stdout is not None
        url = json.loads(flower.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/healthcheck", timeout=20) as answer:
            assert answer.read() == b"OK"
        flower.terminate()
        assert flower.wait(20) == 0


def test_flower_saves_its_tasks_and_stops_on_sigterm(site: Site) -> None:  # the last test that needs `site`
    site.get("/workers", pair=site.pair)
    assert site.child.stop(20) == 0
    assert (site.child.log.parent / "flower").exists() or list(site.child.log.parent.glob("flower.d*"))
    assert "Traceback" not in site.child.log_tail(1000)
