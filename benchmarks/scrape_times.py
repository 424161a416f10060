"""Measure what a scrape of Flower's /metrics reads of a big ledger: python -m benchmarks.scrape_times [--jobs N]

A server with one active run of N jobs, all of them queued in Redis as well, 20 smaller runs, 20 workers and 2,000
unacknowledged messages. Prints median and worst of 20 scrapes in seconds, the processor time of one, which does not
depend on what else the machine does, and as the last line JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import Prompt, Spec
from config.topology import QUEUE_GENERATE
from producer.flower.prometheus.collector import exposition
from producer.stack.redis_server import Server

RUNS, WORKERS, UNACKED, SCRAPES = 20, 20, 2_000, 20
MESSAGE = "x" * 1_000


def fill(server: Server, jobs: int) -> Ledger:
    """A ledger with the runs, workers and messages."""
    client = ledger_client(server.url.get_secret_value())
    ledger = Ledger(client)
    for number in range(RUNS):
        ledger.create(Spec(run_id=f"small-{number}"), [Prompt(prompt=f"q{n}") for n in range(50)])
    ledger.create(Spec(run_id="big"), [Prompt(prompt=f"q{n}") for n in range(jobs)])
    for start in range(0, jobs, 1_000):
        client.rpush(QUEUE_GENERATE, *[MESSAGE] * min(1_000, jobs - start))
    held = {f"tag-{n}": f'[{{"body": "{MESSAGE}"}}, "", "{QUEUE_GENERATE}"]' for n in range(UNACKED)}
    client.hset("unacked", mapping=held)
    for number in range(WORKERS):
        status = {"queues": [QUEUE_GENERATE], "endpoint": "http://h/v1", "clock": time.time(), "limit": 4, "holds": 4}
        ledger.fleet.heartbeat(f"worker-{number}", status)
    return ledger


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Server.start(Path(folder)) as server:
        ledger = fill(server, options.jobs)
        seconds, used = [], time.process_time()
        for _ in range(SCRAPES):
            began = time.perf_counter()
            text = exposition(ledger)
            seconds.append(time.perf_counter() - began)
        processor = (time.process_time() - used) / SCRAPES
    found = {
        "jobs": options.jobs,
        "scrapes": SCRAPES,
        "median": round(statistics.median(seconds), 3),
        "worst": round(max(seconds), 3),
        "fastest": round(min(seconds), 3),
        "processor": round(processor, 3),
        "series": sum(not line.startswith(b"#") for line in text.splitlines()),
        "bytes": len(text),
    }
    print(f"median {found['median']} s, worst {found['worst']} s, processor {found['processor']} s a scrape")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
