"""Measures the overhead of queue, ledger and agent per job, and how it scales: python -m benchmarks.overhead [--quick]

A job has three model requests and two real tool calls. A scripted endpoint takes a fixed time per request. The baseline
is an asyncio loop in one process that runs pydantic-ai with the same tools and endpoint, also streamed. It runs as many
jobs at once as the one worker that it is compared with. Both are warm, take turns, and are given by their best of
--repeats runs. --seconds, --at-once and --files take several values each; every combination is measured.

The tools read the same 16 Python files in a workspace of any size; the other files are text. CPU time is that of the
worker and of Redis, with the children that they have reaped (git); on macOS without these, which psutil does not give.
Everything shares this machine's cores, including the endpoint, whose CPU time is not counted.

With --workers 1 2 4 8 the same jobs then run on that many workers, 2 jobs at once in each and 1 s per request.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import redis

from config.ledger import Ledger
from config.records import JobState, JsonObject, Limits, Prompt, Spec
from config.settings import Settings
from producer import enqueue
from producer.stack.redis_server import Server
from tests.support.scripted_endpoint import Reply, ScriptedEndpoint, call, calls, says
from tests.support.workers import start_worker_process

CODE = Path(__file__).resolve().parent.parent / "config"
PYTHON_FILES = 16
PER_JOB = 3  # model requests
SYSTEM = "You answer questions about the code in your workspace. Use the tools to look before you answer."
TOOLS = ("count", "read_file")
POLL = 0.01


def main() -> int:
    """Measure the overhead per job, then the efficiency with several workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.05, 0.1, 1], help="per model request")
    parser.add_argument("--at-once", type=int, nargs="+", default=[4, 16], help="jobs in flight")
    parser.add_argument("--files", type=int, nargs="+", default=[PYTHON_FILES], help="files in the workspace, from 16")
    parser.add_argument("--jobs", type=int, default=240, help="per run; fewer where the requests alone take a minute")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add_argument("--quick", action="store_true", help="run a third of the jobs once, with at most 4 workers")
    parser.add_argument("--bare", nargs=4, metavar=("URL", "ROOT", "JOBS", "AT_ONCE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        url, root, jobs, at_once = options.bare
        print(json.dumps(bare(url, Path(root), int(jobs), int(at_once))))
        return 0
    share = 3 if options.quick else 1
    costs: list[JsonObject] = []
    with tempfile.TemporaryDirectory(prefix="applejack-overhead-") as name:
        folder = Path(name)
        for files in options.files:
            write_code(folder / f"code{files}", files)
        for at_once in options.at_once:
            with Fleet(folder, folder / f"code{options.files[0]}", workers=1, at_once=at_once) as fleet:
                for seconds in options.seconds:
                    jobs = min(options.jobs, int(60 * at_once / (PER_JOB * seconds))) // share
                    repeats = 1 if options.quick else options.repeats
                    costs += compare(fleet, options.files, seconds, jobs=jobs, repeats=repeats)
        times = {}
        for workers in [n for n in options.workers if n <= 4 or not options.quick]:
            code = folder / f"code{options.files[0]}"
            with Fleet(folder, code, workers=workers, at_once=2) as fleet:
                times[workers] = fleet.run(code, 1.0, 96 // share).seconds
    efficiency = {n: times[1] / (n * seconds) for n, seconds in times.items()} if 1 in times else {}
    if efficiency:
        print(f"efficiency, 2 jobs at once in each worker, 1 s per model request, {96 // share} jobs")
    for n, value in efficiency.items():
        print(f"  {n} workers: {times[n]:6.1f} s, efficiency {value:.2f}")
    print(json.dumps({"costs": costs, "efficiency": efficiency}))
    return 0


@dataclass(frozen=True)
class Took:
    """Wall-clock and CPU seconds."""

    seconds: float
    cpu: float


def write_code(folder: Path, files: int) -> None:
    """A git work tree with this many files, of which the tools read the Python files."""
    folder.mkdir()
    for path in [CODE / "topology.py", *sorted(CODE.glob("[a-s]*.py"))][:PYTHON_FILES]:
        shutil.copy(path, folder / path.name)
    for number in range(files - PYTHON_FILES):
        note = folder / f"notes/{number // 20:03}/{number % 20:02}.txt"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(f"note {number}\n" * 200)
    assert sum(path.is_file() for path in folder.rglob("*")) == files
    commit(folder)


def commit(folder: Path) -> None:
    """Make the folder a git work tree with one commit, like most workspaces."""
    who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "as it is"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


def compare(fleet: "Fleet", sizes: list[int], seconds: float, *, jobs: int, repeats: int) -> list[JsonObject]:
    """Print and return the times of one worker and of the bare loop, per workspace size."""
    bare_runs: list[Took] = []
    runs: dict[int, list[Took]] = {size: [] for size in sizes}
    for _ in range(repeats):
        bare_runs.append(fleet.bare(fleet.folder / f"code{sizes[0]}", seconds, jobs))
        for size in sizes:
            runs[size].append(fleet.run(fleet.folder / f"code{size}", seconds, jobs))
    loop, ours = best(bare_runs), {size: best(took) for size, took in runs.items()}
    floor = jobs * PER_JOB * seconds / fleet.at_once
    print(
        f"{seconds:g} s per model request, {jobs} jobs, {fleet.at_once} at once (the endpoint alone: {floor:.1f} s), "
        f"best of {repeats}"
    )
    print(f"  bare asyncio loop      {loop.seconds:7.2f} s; {loop.cpu / jobs * 1000:6.1f} ms of CPU a job")
    costs: list[JsonObject] = []
    for size, took in ours.items():
        cost = {
            "seconds": seconds,
            "at_once": fleet.at_once,
            "files": size,
            "time_ratio": round(took.seconds / loop.seconds, 3),
            "cpu_ms": round(took.cpu / jobs * 1000, 2),
            "cpu_ratio": round(took.cpu / loop.cpu, 3),
            "cpu_ratio_by_files": round(took.cpu / ours[sizes[0]].cpu, 3),
        }
        print(
            f"  applejack, {size:6,} files {took.seconds:5.2f} s, {cost['time_ratio']} times; {cost['cpu_ms']:6.1f} ms "
            f"of CPU a job, {cost['cpu_ratio']} times; {cost['cpu_ratio_by_files']} times that on {sizes[0]} files",
            flush=True,
        )
        costs.append(cost)
    return costs


def best(runs: list[Took]) -> Took:
    """The shortest time and the least CPU of several runs. The machine's other work only adds to both."""
    return Took(min(took.seconds for took in runs), min(took.cpu for took in runs))


def replies(each: float):
    """A teacher that counts, reads and answers, and takes `each` seconds per request."""

    def reply(body: JsonObject) -> Reply:
        messages = body["messages"]
        assert isinstance(messages, list)
        results = sum(isinstance(message, dict) and message.get("role") == "tool" for message in messages)
        turns = (
            calls(call("count", pattern="def ", glob="*.py")),
            calls(call("read_file", path="topology.py")),
            says("There are some Python files, and topology.py names the queues."),
        )
        turn = turns[min(results, 2)]
        return Reply(text=turn.text, calls=turn.calls, stall=each)

    return reply


def bare(url: str, root: Path, jobs: int, at_once: int) -> tuple[float, float]:
    """Wall-clock and CPU seconds of the bare loop for the jobs, after one to warm up."""
    from pydantic_ai import Agent, Tool
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    from config.records import Pin
    from worker.tools import toolset
    from worker.tools.workspace import Workspace

    workspace = Workspace(root, Pin(origin=str(root)))
    functions = toolset.build(workspace, names=TOOLS, allow_commands=())

    def tool(schema) -> Tool[None]:
        function = schema["function"]

        async def run(**arguments) -> str:
            return functions[function["name"]](arguments)

        return Tool.from_schema(run, function["name"], function["description"], function["parameters"])

    async def loop() -> tuple[float, float]:
        model = OpenAIChatModel("default_model", provider=OpenAIProvider(base_url=url, api_key="none"))
        agent = Agent(model, system_prompt=SYSTEM, tools=[tool(schema) for schema in toolset.schemas(TOOLS)])
        slots = asyncio.Semaphore(at_once)

        async def answer(number: int) -> str:
            async with slots, agent.iter(f"question {number}") as answering:
                async for node in answering:
                    if agent.is_model_request_node(node):
                        async with node.stream(answering.ctx) as pieces:
                            async for _ in pieces:
                                pass
                return answering.result.output

        await answer(0)
        started, spent = time.monotonic(), time.process_time()
        answers = await asyncio.gather(*(answer(number) for number in range(1, jobs + 1)))
        assert len(answers) == jobs
        return time.monotonic() - started, time.process_time() - spent

    return asyncio.run(loop())


class Fleet:
    """Warm workers with their own Redis and endpoint."""

    def __init__(self, folder: Path, code: Path, *, workers: int, at_once: int, app: str = "worker.app") -> None:
        self.folder, self.code, self.workers, self.at_once, self.app = folder, code, workers, at_once, app
        self._stack = ExitStack()
        self._runs = 0

    def __enter__(self) -> Self:
        stack = self._stack
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
        self._server = stack.enter_context(Server.start(place))
        self._endpoint = stack.enter_context(ScriptedEndpoint(replies(0.0)))
        self._ledger = Ledger(stack.enter_context(redis.Redis.from_url(self._server.url.get_secret_value())))
        env = {"APPLEJACK_ENDPOINT": self._endpoint.base_url, "APPLEJACK_CONCURRENCY": str(self.at_once)}
        children = []
        for number in range(self.workers):
            started = start_worker_process(
                "generate",
                f"mac{number}",
                url=self._server.url,
                folder=place,
                env=env,
                concurrency=self.at_once,
                app=self.app,
                wait=False,
            )
            children.append(started.child)
            stack.callback(started.child.kill)
            stack.callback(lambda worker=started: worker.child.ask_to_end())
        self._watched = [child.process.pid for child in (self._server.child, *children)]
        warm = 0
        ledger = self._ledger
        while len(ledger.fleet.workers()) < self.workers or warm == 0 or not all_worked(ledger, warm, self.workers):
            warm += 1  # imports are not part of the cost of a job
            run(ledger, self._server, f"warm{warm}", self.code, self.workers * self.at_once * 2)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stack.close()

    @property
    def server(self) -> Server:
        """Its Redis."""
        return self._server

    def run(self, code: Path, seconds: float, jobs: int) -> Took:
        """Time from submit until the last job is stored."""
        self._endpoint.script = replies(seconds)
        self._runs += 1
        spent = cpu(self._watched)
        took = run(self._ledger, self._server, f"timed{self._runs}", code, jobs)
        return Took(took, cpu(self._watched) - spent)

    def bare(self, code: Path, seconds: float, jobs: int) -> Took:
        """The same in the bare loop."""
        self._endpoint.script = replies(seconds)
        command = [sys.executable, "-m", "benchmarks.overhead", "--bare", self._endpoint.base_url, str(code)]
        command += [str(jobs), str(self.at_once)]
        return Took(*json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def cpu(watchdogs: list[int]) -> float:
    """CPU seconds used so far by the processes that these watchdogs started, and by the children that these reaped."""
    running = [child for pid in watchdogs for child in psutil.Process(pid).children(recursive=True)]
    return sum(
        times.user + times.system + times.children_user + times.children_system
        for times in (child.cpu_times() for child in running)
    )


def all_worked(ledger: Ledger, warm: int, workers: int) -> bool:
    """Whether every worker has finished a job of a warm-up run."""
    done = {name.split("|")[0] for number in range(1, warm + 1) for name in ledger.counters(f"warm{number}")[1]}
    return len(done) == workers


def run(ledger: Ledger, server: Server, run_id: str, workspace: Path, jobs: int) -> float:
    """Seconds from submit until the last job is stored. Asserts that all jobs completed."""
    limits = Limits(seconds=120, request_seconds=60)
    spec = Spec(
        run_id=run_id, workspace=str(workspace), dataset_format="seed-text", train=False, limits=limits, tools=TOOLS,
        system_prompt=SYSTEM,
    )  # fmt: skip
    prompts = [Prompt(prompt=f"question {number}") for number in range(1, jobs + 1)]
    started = time.monotonic()
    enqueue.submit(ledger, Settings(redis_url=server.url), spec, prompts)
    while (counts := ledger.jobs.counts(run_id))[JobState.QUEUED] + counts[JobState.RUNNING]:
        time.sleep(POLL)
    seconds = time.monotonic() - started
    assert counts[JobState.GENERATED] == jobs, f"{counts}, {ledger.jobs.failure_counts(run_id)}"
    return seconds


if __name__ == "__main__":
    sys.exit(main())
