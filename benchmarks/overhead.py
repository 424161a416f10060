"""Measures the overhead of queue, ledger and agent per job, and how it scales: python -m benchmarks.overhead [--quick]

A job has three model requests and two real tool calls. A scripted endpoint takes a fixed time per request. The baseline
is an asyncio loop in one process that runs pydantic-ai with the same tools and endpoint, also streamed. It runs as many
jobs at once as the one worker that it is compared with. Both are warm. Then the same jobs run on 1, 2, 4 and 8 workers.
Everything shares this machine's cores, including the endpoint, whose CPU time is not counted.
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
PER_JOB = 3  # model requests
SYSTEM = "You answer questions about the code in your workspace. Use the tools to look before you answer."
TOOLS = ("count", "read_file")
POLL = 0.01


def main() -> int:
    """Measure the overhead per job, then the efficiency with several workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=4, help="jobs in flight in the loop and in the worker")
    parser.add_argument("--quick", action="store_true", help="run a third of the jobs, with at most 4 workers")
    parser.add_argument("--bare", nargs=4, metavar=("URL", "ROOT", "JOBS", "AT_ONCE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        url, root, jobs, at_once = options.bare
        print(json.dumps(bare(url, Path(root), int(jobs), int(at_once))))
        return 0
    share = 3 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="applejack-overhead-") as name:
        folder = Path(name)
        shutil.copytree(CODE, folder / "code", ignore=shutil.ignore_patterns("__pycache__"))
        commit(folder / "code")
        costs = {
            f"{each:g} s": cost(folder, each, jobs // share, options.at_once) for each, jobs in ((0.1, 240), (5, 24))
        }
        workers = (1, 2, 4) if options.quick else (1, 2, 4, 8)
        times = {n: fleet(folder, workers=n, at_once=2, each=1.0, jobs=96 // share).seconds for n in workers}
    efficiency = {n: times[1] / (n * seconds) for n, seconds in times.items()}
    print(f"efficiency, 2 jobs at once in each worker, 1 s per model request, {96 // share} jobs")
    for n, seconds in times.items():
        print(f"  {n} workers: {seconds:6.1f} s, efficiency {efficiency[n]:.2f}")
    print(json.dumps({"ratio": {key: round(value, 3) for key, value in costs.items()}, "efficiency": efficiency}))
    return 0


@dataclass(frozen=True)
class Took:
    """Wall-clock and CPU seconds."""

    seconds: float
    cpu: float


def commit(folder: Path) -> None:
    """Make the folder a git work tree with one commit, like most workspaces."""
    who = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "as it is"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)


def cost(folder: Path, each: float, jobs: int, at_once: int) -> float:
    """Print the times of one worker and of the bare loop, and return their ratio."""
    with ScriptedEndpoint(replies(each)) as endpoint:
        command = [sys.executable, "-m", "benchmarks.overhead", "--bare", endpoint.base_url, str(folder / "code")]
        command += [str(jobs), str(at_once)]
        loop = Took(*json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    ours = fleet(folder, workers=1, at_once=at_once, each=each, jobs=jobs)
    floor = jobs * PER_JOB * each / at_once
    print(f"{each:g} s per model request, {jobs} jobs, {at_once} at once (the endpoint alone: {floor:.1f} s)")
    for name, took in (("bare asyncio loop", loop), ("applejack", ours)):
        ratio = took.seconds / loop.seconds
        print(f"  {name:18} {took.seconds:7.2f} s, ratio {ratio:.3f}; {took.cpu / jobs * 1000:6.1f} ms of CPU a job")
    extra = (ours.seconds - loop.seconds) * at_once / jobs * 1000
    print(f"  queue, ledger and agent lengthen a job by {extra:.1f} ms", flush=True)
    return ours.seconds / loop.seconds


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


def fleet(folder: Path, *, workers: int, at_once: int, each: float, jobs: int) -> Took:
    """Time from submit until the last job is stored, on warm workers."""
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder)))
        server = stack.enter_context(Server.start(place))
        endpoint = stack.enter_context(ScriptedEndpoint(replies(0.0)))
        ledger = Ledger(stack.enter_context(redis.Redis.from_url(server.url.get_secret_value())))
        env = {"APPLEJACK_ENDPOINT": endpoint.base_url, "APPLEJACK_CONCURRENCY": str(at_once)}
        children = []
        for number in range(workers):
            started = start_worker_process(
                "generate", f"mac{number}", url=server.url, folder=place, env=env, concurrency=at_once, wait=False
            )
            children.append(started.child)
            stack.callback(started.child.kill)
            stack.callback(lambda worker=started: worker.child.ask_to_end())
        warm = 0
        while len(ledger.fleet.workers()) < workers or warm == 0 or not all_worked(ledger, warm, workers):
            warm += 1  # imports are not part of the cost of a job
            run(ledger, server, f"warm{warm}", folder / "code", workers * at_once * 2)
        endpoint.script = replies(each)
        watched = [child.process.pid for child in (server.child, *children)]
        spent = cpu(watched)
        seconds = run(ledger, server, "timed", folder / "code", jobs)
        return Took(seconds, cpu(watched) - spent)


def cpu(watchdogs: list[int]) -> float:
    """CPU seconds used so far by the processes that these watchdogs started."""
    running = [child for pid in watchdogs for child in psutil.Process(pid).children(recursive=True)]
    return sum(times.user + times.system for times in (child.cpu_times() for child in running))


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
