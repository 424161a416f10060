"""Measures Flower's pages on a large run: python -m benchmarks.page_times [--jobs 100000] [--repeats 20]

Starts a throw-away Redis, writes a run of this size with prompts, outcomes, trajectories and verdicts as workers and
curation would have, and starts the real Flower. It prints the seconds of each page from the request to the last byte,
median and worst; of a stream until its first event; and what the index behind the list takes: seconds until its filters
work, and memory of Flower before and after. While Flower builds the index, other pages are requested as well ("while
reading"), and the longest wait of a Redis PING is measured. At last one stream stays open while jobs change, and its
share of a core is printed. The last line is JSON.

The file is long because it also writes the run that it measures.
"""

import argparse
import http.client
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import redis

from config.errors import FailureKind, RejectionReason
from config.ledger import Ledger
from config.ledger.encoding import pack
from config.records import Failure, Finding, JobState, Prompt, Spec, Trajectory, Verdict
from config.topology import Stage, run_key
from producer.stack.redis_server import Server
from tests.support.flower_site import Site, flower_site
from tests.support.trajectories import asks, call, says, told, trajectory, user

RUN = "night"
MB = 1 << 20
BATCH = 2000
CATEGORIES = ("count", "definition", "docstring", "imports", "listing", "value")
WORKERS = ("mac-1", "mac-2", "mac-3", "mac-4")
KINDS = (FailureKind.TIMEOUT, FailureKind.ENDPOINT_UNREACHABLE, FailureKind.REQUEST_LIMIT)
REASONS = (RejectionReason.WRONG_ANSWER, RejectionReason.UNSUPPORTED_CLAIM, RejectionReason.DUPLICATE)
STREAM_SECONDS = 10.0  # of each half of the comparison with and without a stream
FAILED, REJECTED = 0.05, 0.3  # shares of the jobs
TEXT = "Look at the module first, then at its tests, and answer in one sentence that names the file. " * 2


def main() -> int:
    """Write the run, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000, help="jobs of the run")
    parser.add_argument("--repeats", type=int, default=20, help="requests per page")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="applejack-pages-")))
        server = stack.enter_context(Server.start(folder))
        client = stack.enter_context(redis.Redis.from_url(server.url.get_secret_value()))
        started = time.monotonic()
        ids = write_run(Ledger(client), client, options.jobs)
        print(f"{options.jobs:,} jobs written in {time.monotonic() - started:.0f} s", flush=True)
        site = stack.enter_context(flower_site(folder, server.url))
        report = measure(site, client, ids, options.repeats)
    print(json.dumps({"jobs": options.jobs, **report}))
    return 0


def write_run(ledger: Ledger, client: redis.Redis, jobs: int) -> tuple[str, ...]:
    """A finished and curated run. Outcomes are written in batches, in the form that finish.lua leaves behind."""
    prompts = [
        Prompt(prompt=f"Where is thing {number} defined, and who calls it? {TEXT}", category=CATEGORIES[number % 6])
        for number in range(jobs)
    ]
    ids = ledger.create(Spec(run_id=RUN, train=False), prompts).job_ids
    verdicts = list(outcomes(client, ids, prompts))
    client.hset(run_key(RUN, "stage:curate"), mapping={"state": "ready"})
    claim = ledger.stages.begin(RUN, Stage.CURATE, worker="mac-1", lease_seconds=60)
    assert not isinstance(claim, str)
    ledger.set_verdicts(RUN, verdicts)
    kept = sum(verdict.kept for verdict in verdicts)
    ledger.stages.finish(claim, result={"kept": kept, "rejected": len(verdicts) - kept})
    return ids


def outcomes(client: redis.Redis, ids: tuple[str, ...], prompts: list[Prompt]) -> Iterator[Verdict]:
    """Store an outcome of each job, and yield its verdict."""
    luck, now = random.Random(0), int(time.time() * 1000)
    for start in range(0, len(ids), BATCH):
        with client.pipeline(transaction=False) as pipe:
            for job_id, prompt in zip(ids[start : start + BATCH], prompts[start : start + BATCH], strict=True):
                kind = luck.choice(KINDS) if luck.random() < FAILED else None
                state, worker = JobState.FAILED if kind else JobState.GENERATED, luck.choice(WORKERS)
                at = now - luck.randrange(3_600_000)
                pipe.smove(run_key(RUN, "queued"), run_key(RUN, state.value), job_id)
                pipe.set(run_key(RUN, f"trajectory:{job_id}:1"), pack(answered(job_id, prompt, kind)))
                entries = (("started", worker, ""), (state.value, worker, kind.value if kind else ""))
                history = "\n".join(
                    json.dumps({"at": at, "event": event, "worker": name, "detail": detail, "attempt": 1})
                    for event, name, detail in entries
                )
                fields = {"attempt": 1, "deliveries": 1, "token": "", "worker": worker, "finished_ms": at}
                pipe.hset(
                    run_key(RUN, f"job:{job_id}"),
                    mapping={**fields, "kind": kind.value if kind else "", "history": history},
                )
                pipe.zadd(run_key(RUN, "changed"), {job_id: at})
                pipe.hincrby(run_key(RUN, "rate"), str(at // 10_000), 1)
                pipe.hincrby(run_key(RUN, "by_worker"), f"{worker}|{state.value}", 1)
                if kind:
                    pipe.sadd(run_key(RUN, f"kind:{kind.value}"), job_id)
                yield verdict(job_id, kind, luck)
            pipe.execute()


def answered(job_id: str, prompt: Prompt, kind: FailureKind | None) -> Trajectory:
    """A short conversation, or a failure."""
    result = "\n".join(f"app/part_{line}.py:{line}: from app import thing" for line in range(40))
    talk = [user(prompt.prompt), asks(call(pattern="thing")), told(result), says("It is defined in app/part_3.py.")]
    failure = Failure(kind=kind, message="the job took too long") if kind else None
    fields = {"run_id": RUN, "job_id": job_id, "category": prompt.category}
    return trajectory(talk[:1] if kind else talk, outcome="failed" if kind else "completed", failure=failure, **fields)


def verdict(job_id: str, kind: FailureKind | None, luck: random.Random) -> Verdict:
    """What curation would find."""
    if kind:
        failed = Finding(reason=RejectionReason.FAILED_GENERATION, detail=f"{kind.value}: the job took too long")
        return Verdict(job_id=job_id, findings=(failed,))
    if luck.random() < REJECTED:
        detail = "the answer 'It is defined in app/part_3.py.' does not state 'app/part_4.py'"
        return Verdict(job_id=job_id, findings=(Finding(reason=luck.choice(REASONS), detail=detail, message=3),))
    return Verdict(job_id=job_id, split="train", rows=(int(job_id[:6]),))


def measure(site: Site, client: redis.Redis, ids: tuple[str, ...], repeats: int) -> dict[str, object]:
    """Build the index as a person would cause it, then time the pages."""
    list_, middle = f"/runs/{RUN}/jobs", ids[len(ids) // 2]
    seconds(site, "/runs")  # the first page of a process compiles templates
    before = flower_mb(site)
    with watched_redis(client) as waits:
        started = time.monotonic()
        reading = [seconds(site, list_)]
        while "job-reading" in site.get(list_, pair=site.pair)[1]:
            reading.append(seconds(site, "/runs"))
        build = time.monotonic() - started
    print(f"index: {build:.1f} s, {flower_mb(site) - before:.0f} MB; Flower {before:.0f} MB before", flush=True)
    worst = {"while reading": max(reading), "PING while reading": max(waits)}
    for name, value in worst.items():
        print(f"{name:32} worst {value:.3f} s", flush=True)
    pages = {
        "Runs": "/runs",
        "Run": f"/runs/{RUN}",
        "Jobs": list_,
        "Jobs, last page": f"{list_}?page={len(ids)}",
        "Jobs, failed by timeout": f"{list_}?state=failed&cause=timeout",
        "Jobs, a reason and a worker": f"{list_}?reason=wrong_answer&worker=mac-2",
        "Jobs, by last change": f"{list_}?sort=changed",
        "Jobs, text in few": f"{list_}?text={quote('thing 4711 ')}",
        "Jobs, text in all": f"{list_}?text=module&category=count",
        "Resubmit all that match": f"{list_}/resubmit?which=all",
        "Job": f"{list_}/{middle}",
        "Job, in a filter": f"{list_}/{middle}?category={CATEGORIES[(len(ids) // 2) % 6]}",
    }
    times = {name: timed(name, lambda page=page: seconds(site, page), repeats) for name, page in pages.items()}
    streams = {f"stream of {name}": pages[name] for name in ("Runs", "Run", "Jobs", "Job")}
    times |= {name: timed(name, lambda page=page: first_event(site, page), repeats) for name, page in streams.items()}
    # Nothing of the answer is kept from the request before: another text each time, and other jobs that changed.
    fresh = iter(range(1000, 1000 + repeats))
    others: dict[str, Callable[[], float]] = {
        "Jobs, a new text": lambda: seconds(site, f"{list_}?text={quote(f'thing {next(fresh)}')}"),
        "Jobs, of a run that goes on": lambda: seconds_after_changes(site, client, f"{list_}?sort=changed", ids),
    }
    times |= {name: timed(name, request, repeats) for name, request in others.items()}
    load = stream_load(site, client, list_, ids)
    print(f"Flower with that stream open     {load:.1%} of a core", flush=True)
    return {
        "stream_cpu": load, "index_seconds": build, "flower_mb": before, "index_mb": flower_mb(site) - before,
        "worst": worst, "pages": times,
    }  # fmt: skip


def timed(name: str, request: Callable[[], float], repeats: int) -> dict[str, float]:
    """Median and worst of some requests."""
    taken = [request() for _ in range(repeats)]
    found = {"median": statistics.median(taken), "worst": max(taken)}
    print(f"{name:32} median {found['median']:.3f} s  worst {found['worst']:.3f} s", flush=True)
    return found


def seconds(site: Site, page: str) -> float:
    """Seconds of one page."""
    started = time.monotonic()
    status, body = site.get(page, pair=site.pair)
    assert status == 200, (page, status, body[-500:])
    return time.monotonic() - started


def seconds_after_changes(site: Site, client: redis.Redis, page: str, ids: tuple[str, ...]) -> float:
    """Seconds of a page after 50 jobs have changed."""
    time.sleep(1.1)  # longer than two readings are apart
    now = int(time.time() * 1000)
    client.zadd(run_key(RUN, "changed"), dict.fromkeys(random.sample(ids, 50), now))
    return seconds(site, page)


def first_event(site: Site, page: str) -> float:
    """Seconds until the first event of a page's stream."""
    started = time.monotonic()
    connection = open_stream(site, page)
    line = connection.getresponse().readline()
    taken = time.monotonic() - started
    connection.close()
    assert line.startswith(b"data: "), line[:200]
    return taken


def stream_load(site: Site, client: redis.Redis, page: str, ids: tuple[str, ...]) -> float:
    """CPU seconds of Flower per second while one stream of a page is open and 50 jobs change each second."""

    def used() -> float:
        times = [process.cpu_times() for process in psutil.Process(site.child.process.pid).children(recursive=True)]
        return sum(time_.user + time_.system for time_ in times)

    def rest() -> float:
        before, started = used(), time.monotonic()
        while time.monotonic() - started < STREAM_SECONDS:
            now = int(time.time() * 1000)
            client.zadd(run_key(RUN, "changed"), dict.fromkeys(random.sample(ids, 50), now))
            time.sleep(1.0)
        return (used() - before) / (time.monotonic() - started)

    idle, connection = rest(), open_stream(site, page)
    with_stream = rest()
    connection.close()
    return with_stream - idle


def open_stream(site: Site, page: str) -> http.client.HTTPConnection:
    """Request the stream of a page."""
    host, _, port = site.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    login = b64encode(site.pair.encode()).decode()
    connection.request("GET", page, headers={"Authorization": f"Basic {login}", "Accept": "text/event-stream"})
    return connection


@contextmanager
def watched_redis(client: redis.Redis) -> Iterator[list[float]]:
    """Ping Redis every 5 ms; the list has the seconds of each."""
    waits, stop = [0.0], threading.Event()

    def ping() -> None:
        while not stop.wait(0.005):
            started = time.monotonic()
            client.ping()
            waits.append(time.monotonic() - started)

    thread = threading.Thread(target=ping)
    thread.start()
    try:
        yield waits
    finally:
        stop.set()
        thread.join()


def flower_mb(site: Site) -> float:
    """Resident memory of Flower."""
    processes = psutil.Process(site.child.process.pid).children(recursive=True)
    return sum(process.memory_info().rss for process in processes) / MB


if __name__ == "__main__":
    sys.exit(main())
