"""Measures what open pages cost the fleet: python -m benchmarks.open_page [--pages N] [--repeats N]

The same jobs run on real workers with a scripted endpoint, in turns with and without open event streams of the Runs
page and of the page of the run that goes on. Flower runs all the time, so the difference is the streams' alone. The
ratio is that of the best times. Redis commands and Flower's CPU are counted over some seconds of an idle fleet, with
none, one and N pages of each: open pages share their loads, so N pages read the ledger as often as one.
"""

import argparse
import base64
import json
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import psutil
import redis

from benchmarks.overhead import PYTHON_FILES, Fleet, write_code
from config.records import JsonObject
from tests.support.flower_site import Site, flower_site

WORKERS, AT_ONCE = 2, 4
SECONDS = 0.3  # per model request
QUIET = 10.0  # seconds over which commands and CPU are counted


def main() -> int:
    """Print the ratio of throughputs, then the commands and the CPU per open page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10, help="open streams of each page")
    parser.add_argument("--repeats", type=int, default=5, help="runs with and without")
    parser.add_argument("--jobs", type=int, default=160, help="per run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="applejack-open-page-") as name, ExitStack() as stack:
        folder = Path(name)
        write_code(folder / "code", PYTHON_FILES)
        fleet = stack.enter_context(Fleet(folder, folder / "code", workers=WORKERS, at_once=AT_ONCE))
        site = stack.enter_context(flower_site(folder, fleet.server.url))
        body = throughput(fleet, site, folder / "code", options.jobs, options.repeats, options.pages)
        body["costs"] = [costs(fleet, site, pages) for pages in (0, 1, options.pages)]
    print(json.dumps(body))
    return 0


def throughput(fleet: Fleet, site: Site, code: Path, jobs: int, repeats: int, pages: int) -> JsonObject:
    """Runs with and without open pages, in turns."""
    took: dict[bool, list[float]] = {False: [], True: []}
    for number in range(2 * repeats):
        opened = (number + number // 2) % 2 == 1  # without, with, with, without: a drift of the machine hits both
        addresses = ["/runs", f"/runs/timed{number + 1}"] * pages if opened else []
        with streams(site, addresses):
            took[opened].append(fleet.run(code, SECONDS, jobs).seconds)
    without, with_pages = (took[opened] for opened in (False, True))
    best, middle = min(without) / min(with_pages), median(without) / median(with_pages)
    print(f"{jobs} jobs, {pages} open pages of each kind: throughput with / without {best:.3f} (best of {repeats})")
    print(f"  without {[round(one, 2) for one in without]} s, with {[round(one, 2) for one in with_pages]} s")
    print(f"  ratio of the medians {middle:.3f}", flush=True)
    return {"pages": pages, "ratio": round(best, 3), "ratio_of_medians": round(middle, 3)}


def costs(fleet: Fleet, site: Site, pages: int) -> JsonObject:
    """Redis commands and Flower's CPU seconds per second, with that many open pages of each kind and no other work."""
    flower = psutil.Process(site.child.process.pid).children()[0]
    with (
        redis.Redis.from_url(fleet.server.url.get_secret_value()) as client,
        streams(site, ["/runs", "/runs/timed1"] * pages),
    ):
        time.sleep(1.0)
        commands, cpu = processed(client), flower.cpu_times()
        time.sleep(QUIET)
        spent = flower.cpu_times()
        per_second = (processed(client) - commands) / QUIET
    used = (spent.user + spent.system - cpu.user - cpu.system) / QUIET
    print(f"  {pages:3} pages of each kind: {per_second:6.0f} Redis commands/s, Flower uses {used:.1%} of a core")
    return {"pages": pages, "commands_per_second": round(per_second, 1), "flower_cpu": round(used, 4)}


def processed(client: redis.Redis) -> int:
    """Commands that the server has run."""
    return int(client.info("stats")["total_commands_processed"])


@contextmanager
def streams(site: Site, addresses: list[str]) -> Iterator[None]:
    """Open event streams, each read by a thread, until the block ends."""
    token = base64.b64encode(site.pair.encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Accept": "text/event-stream"}
    requests = [urllib.request.Request(site.url + address, headers=headers) for address in addresses]
    answers = [urllib.request.urlopen(request, timeout=60) for request in requests]
    stopped = threading.Event()

    def read(answer) -> None:
        while not stopped.is_set() and answer.readline():
            pass

    threads = [threading.Thread(target=read, args=(answer,), daemon=True) for answer in answers]
    for thread in threads:
        thread.start()
    yield
    stopped.set()
    for thread in threads:
        thread.join(20)
    for answer in answers:
        answer.close()


if __name__ == "__main__":
    sys.exit(main())
