"""Runs the whole pipeline on this machine, with real components: `applejack demo`.

Two generate workers, one curate and one train worker run as separate processes with a local Redis server. The workspace
is the source of the installed Celery. The student is a small pretrained model from a Python package.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from config.atomic_files import writing
from config.endpoint.health import require_answer
from config.errors import StudentError, UsageError
from config.ledger import Ledger
from config.prompts import write
from config.records import JsonObject, Limits, Prompt, Sampling, Spec
from config.settings import Settings
from producer import enqueue
from producer.follow import follow
from producer.mining.mine import mine
from producer.output import Output
from producer.run_status import RunStatus
from producer.stack.local_stack import Stack
from producer.stack.owner_settings import owner_settings

PACKAGE = "celery"  # real third-party code that is installed with applejack
JOBS = 240
FEWEST_JOBS = 60  # fewer leave too few examples for training and evaluation
WORKERS = 2
CONCURRENCY = 2
QUESTIONS = 40  # held-out prompts; about 36 need tools, so that 27 right answers against 2 are p < 0.001
ITERATIONS = 240
SEED = 7
EVALUATE_CONCURRENCY = 12  # answers in flight; 40 shorten the evaluation by a fifth and triple the time of an answer
NO_TOOLS_SHARE = 0.08
SYSTEM_PROMPT = "Use the tools to look before you answer."  # short: every row begins with it
MOST_HELD_OUT = 0.5  # share of the jobs
# For 135M parameters on two cores; config/lora.yaml is for students of 7B and more on Metal.
LORA: JsonObject = {
    "batch_size": 1,  # twice the updates of 2 in the same time
    "learning_rate": 2e-4,
    "num_layers": 16,
    "optimizer": "adam",
    "grad_checkpoint": False,  # under 1 GB without it; computing activations twice would cost a third of the time
    "steps_per_report": 5,
    "steps_per_eval": 1000,
    "save_every": 1000,
}
# 135M parameters learn only narrow, regular tasks in four minutes; `applejack prompts` mines nine more categories.
CATEGORIES = (
    *("where_defined", "constant", "count_matches", "find_file", "missing"),
    *("definition", "builtin", "keyword", "exception"),  # need no tools; arithmetic is beyond this student
)
TOOLS = ("grep", "count", "find_files")  # the tools those need; every tool adds tokens to every row


@dataclass(frozen=True)
class Demo:
    """Options of the demo."""

    settings: Settings
    jobs: int = JOBS
    endpoint: str | None = None
    model: str = "default_model"
    student: Path | None = None
    iterations: int = ITERATIONS
    questions: int = QUESTIONS
    seed: int = SEED

    @property
    def folder(self) -> Path:
        """The directory of all files of the demo."""
        return self.settings.dir.resolve()

    def run(self, output: Output) -> tuple[RunStatus, JsonObject]:
        """Run the whole pipeline; returns the final status of the run and the JSON result."""
        started = time.monotonic()
        console = output.console
        if self.jobs < FEWEST_JOBS:
            raise UsageError(f"--jobs {self.jobs} is too few for training and evaluation; give {FEWEST_JOBS} or more")
        if self.student and not (self.student / "config.json").is_file():
            raise UsageError(f"no student at {str(self.student)!r}; give a directory that mlx_lm can load")
        if self.endpoint:
            key = self.settings.endpoint_key.get_secret_value() if self.settings.endpoint_key else None
            require_answer(self.endpoint, model=self.model, api_key=key)
        student = self.student or prepare_student(self.settings)
        console.print(f"student  {student}")
        code = package_source(PACKAGE)
        prompts = mine([code], count=self.jobs, seed=self.seed, categories=CATEGORIES, no_tools_share=NO_TOOLS_SHARE)
        run_id = time.strftime("demo-%Y%m%d-%H%M%S")
        (self.folder / "runs" / run_id).mkdir(parents=True, exist_ok=True)
        write(prompts, self.folder / "runs" / run_id / "prompts.jsonl")
        console.print(f"code     {code} ({len(prompts)} questions)")
        foreign = self.settings.redis_url is not None or self.settings.workspace_roots is not None
        allowed = owner_settings(self.settings, roots=[str(code)] if foreign else [])
        env = {"APPLEJACK_CONCURRENCY": str(CONCURRENCY), **allowed}
        if self.endpoint:
            env["APPLEJACK_ENDPOINT"] = self.endpoint
        with Stack(self.settings, generate=WORKERS, concurrency=CONCURRENCY, env=env) as stack:
            stack.wait_ready()
            assert stack.running.redis_url is not None
            console.print(
                f"workers  {WORKERS} generate, 1 curate, 1 train, on {stack.urls['redis']}; logs in {self.folder}/logs"
            )
            ledger = Ledger.connect(stack.running.redis_url.get_secret_value())
            enqueue.submit(ledger, stack.running, self.spec(run_id, code, student), prompts)
            ended = follow(ledger, run_id, output, tend=lambda: report_restarts(stack, output))
            body = self.outcome(ended, prompts, seconds=time.monotonic() - started)
        return ended, body

    def spec(self, run_id: str, code: Path, student: Path) -> Spec:
        """The spec of the demo's run."""
        return Spec(
            run_id=run_id,
            workspace=str(code),
            teacher="endpoint" if self.endpoint else "scripted",
            model=self.model,
            student=str(student),
            dataset_format="turns",
            tools=TOOLS,
            system_prompt=SYSTEM_PROMPT,
            max_seq_length=1024,
            valid_share=0.01,
            test_share=min(MOST_HELD_OUT, self.questions / self.jobs),
            evaluate_prompts=self.questions,
            evaluate_concurrency=EVALUATE_CONCURRENCY,
            evaluate_limits=Limits(requests=5, tool_calls=6, seconds=240, request_seconds=120, max_tokens=80),
            sampling=Sampling(temperature=0.7),
            checkpoints=1,  # comparing more would cost minutes of the demo's six
            lora={**LORA, "iters": self.iterations, "seed": self.seed},
            seed=self.seed,
        )

    def outcome(self, ended: RunStatus, prompts: list[Prompt], *, seconds: float) -> JsonObject:
        """The JSON result: counts, paths, scores and the seconds of each stage."""
        results = {view.stage.value: view.result for view in ended.stages}
        runs = self.folder / "runs" / ended.run_id
        report = results["evaluate"]
        return {
            "run_id": ended.run_id,
            "jobs": len(prompts),
            "generated": ended.generated,
            "failed": ended.failed,
            "kept": ended.kept or 0,
            "rejected": ended.rejected or 0,
            "dataset": results["curate"].get("dataset"),
            "adapter": results["train"].get("path"),
            "report": str(runs / f"report-v{ended.version}" / "report.json") if report else None,
            "before": report.get("before"),
            "after": report.get("after"),
            "comparison": report.get("comparison"),
            "stage": ended.stage,
            "error": ended.error,
            "seconds": round(seconds, 1),
            "stage_seconds": {view.stage.value: view.seconds for view in ended.stages},
        }


def prepare_student(settings: Settings) -> Path:
    """Convert the demo's student in a worker-side process, unless done before; raises StudentError on failure."""
    if find_spec("mlx_lm") is None:
        raise UsageError("the demo trains a model and needs mlx_lm; install applejack[worker]")
    target = settings.models.resolve()
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "worker.student.demo_model", "--out", str(target / "smollm2-135m"), "--json"]
    process = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "APPLEJACK_DIR": str(settings.dir.resolve())},
    )
    if process.returncode != 0:
        lines = process.stderr.strip().splitlines() or ["no message"]
        raise StudentError(lines[-1].removeprefix("applejack: "))
    return Path(json.loads(process.stdout.strip().splitlines()[-1])["student"])


def package_source(name: str) -> Path:
    """The source folder of an installed package."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise UsageError(f"the package {name!r} is not installed; the demo reads its source code")
    return Path(spec.origin).parent


def report_restarts(stack: Stack, output: Output) -> None:
    """Restart dead children and print their exits."""
    for process_exit in stack.check():
        output.console.print(str(process_exit))
