"""Evaluates base model and adapter on the same prompts, with generation's agent and tools, and writes the Report."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.atomic_files import write_lines
from config.errors import EndpointError, EvaluationError, UsageError, WorkspaceError
from config.records import DEFAULT_MODEL, Prompt, Sampling, Spec, Trajectory, job_id
from config.report.model import Report
from worker.device.budget import Serving, serving
from worker.device.device_lock import Claim, device_lock
from worker.device.machine import this_machine
from worker.device.model_memory import Model
from worker.endpoint.model_server import ModelServer, ServerFlags
from worker.evaluate.identity import Canaries, canaries, prove_constant, prove_different, require_loaded
from worker.evaluate.model_answers import ModelAnswers, report_of
from worker.evaluate.sampled import own_sampling
from worker.generate.agent import endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.tools.workspace import Workspace

Phase = Literal["before", "after"]
Progress = Callable[[str, int, int], None]  # phase, prompts done, prompts in all


@dataclass(frozen=True)
class EvalItem:
    """A prompt with its workspace."""

    job_id: str
    prompt: Prompt
    workspace: Workspace | None


def evaluate(
    prompts: Sequence[Prompt],
    *,
    unseen: Sequence[Prompt] = (),
    spec: Spec,
    student: Path,
    adapter: Path | None,
    workspace_for: Callable[[Prompt], Workspace | None],
    out: Path,
    on_progress: Progress,
    worker: str,
    concurrency: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Report:
    """Return the Report. Writes it to `out`, with before.jsonl and after.jsonl (trajectories) and the server logs.

    `unseen` are prompts about code that is not part of the run; they have their own part of the Report.
    A held-out prompt keeps its job_id; other prompts get one from their position and content.

    Serves first the base model, then base and adapter, one at a time, while it holds the host's device. Every prompt is
    answered at temperature 0 within `spec.evaluate_limits`, then `spec.evaluate_samples` times at the student's own
    temperature (before-samples.jsonl, after-samples.jsonl). Without an adapter only `before` is scored.
    `concurrency` overrides that of the spec. Fewer prompts are in flight where no more fit this machine.
    Raises EvaluationError if a server fails, a workspace is unavailable, there are no prompts, or it cannot be verified
    which weights answered; DeviceError if the device cannot be claimed, or `cancelled` turns true while waiting for it;
    StoppedError soon after it turns true later. No report is written then.
    """
    try:
        questions = questions_of([*prompts, *unseen], workspace_for)
        out.mkdir(parents=True, exist_ok=True)
        budget = serving(Model.of(student), this_machine(), most=concurrency or spec.evaluate_concurrency)
        with device_lock("evaluation", spec.run_id, cancelled) as claim:
            evaluator = Evaluator(
                evaluation_spec(spec), questions, student, out, on_progress, worker, budget, claim, cancelled
            )
            before = evaluator.ask("before", None)
            noise = prove_constant(before.canaries, who="the base model")
            after = (
                evaluator.ask("after", adapter, lambda seen: _check(before, seen, noise, adapter)) if adapter else None
            )
    except (EndpointError, UsageError, WorkspaceError) as error:
        raise EvaluationError(str(error)) from error
    identity = "Only the base model was evaluated, without an adapter."
    if after and adapter:
        noise = tuple(map(max, noise, prove_constant(after.canaries, who="the model with the adapter")))
        identity = prove_different(before.canaries[0], after.canaries[0], noise=noise, adapter=adapter)
    report = report_of(
        before, after, own=len(prompts), spec=spec, student=student, adapter=adapter, identity=identity,
        concurrency=budget.conversations,
    )  # fmt: skip
    report.write(out)
    return report


@dataclass(frozen=True)
class Evaluator:
    """Asks a served model every question."""

    spec: Spec
    questions: tuple[EvalItem, ...]
    student: Path
    out: Path
    on_progress: Progress
    worker: str
    budget: Serving
    claim: Claim
    cancelled: Callable[[], bool] = lambda: False

    def ask(
        self, phase: Phase, adapter: Path | None, check: Callable[[Canaries], None] = lambda _: None
    ) -> ModelAnswers:
        """Serve a model, `check` its canaries before the first prompt, and ask every question."""
        flags = ServerFlags.fitting(self.budget, max_tokens=self.spec.limits.max_tokens)
        log, keep = self.out / f"{phase}-server.log", [self.claim.descriptor]
        server = ModelServer(self.student, adapter, log=log, flags=flags, keep=keep, cancelled=self.cancelled)
        with ThreadPoolExecutor(self.budget.conversations) as pool, server:  # on an interrupt the server stops first
            try:
                first = canaries(server.url)
                require_loaded(server.loads, model=self.student, adapter=adapter)
                check(first)
                answers = self._answers(phase, server, pool)
                result = ModelAnswers(*answers, own_sampling(self.student), (first, canaries(server.url)))
                require_loaded(server.loads, model=self.student, adapter=adapter)  # after the last request
            except EndpointError as error:
                raise EndpointError(f"{error}; {server.log_tail()}", kind=error.kind) from error
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        for name, kept in ((phase, result.trajectories), (f"{phase}-samples", result.samples)):
            if kept:
                write_lines(self.out / f"{name}.jsonl", (answer.model_dump_json() for answer in kept))
        return result

    def _answers(
        self, phase: Phase, server: ModelServer, pool: ThreadPoolExecutor
    ) -> tuple[tuple[Trajectory, ...], tuple[Trajectory, ...]]:
        """The answers at temperature 0, then the samples: they are not in flight together."""
        own, samples = own_sampling(self.student).sampling, range(1, self.spec.evaluate_samples + 1)
        rounds: tuple[list[Request], ...] = (
            [Request(question, self.spec.sampling, 1) for question in self.questions],
            [Request(question, own, 1 + sample) for question in self.questions for sample in samples],
        )
        done, total = 0, sum(map(len, rounds))
        self.on_progress(phase, 0, total)
        answers: list[tuple[Trajectory, ...]] = []
        for requests in rounds:
            futures = [pool.submit(self._answer, server.url, request) for request in requests]
            for future in as_completed(futures):
                future.result()  # raises if the evaluation was stopped
                done += 1
                self.on_progress(phase, done, total)
            answers.append(tuple(future.result() for future in futures))
        greedy, further = answers
        return greedy, further

    def _answer(self, url: str, request: "Request") -> Trajectory:
        limits, question = self.spec.limits, request.question
        return run_rollout(
            question.prompt,
            spec=self.spec,
            job_id=question.job_id,
            attempt=request.attempt,
            workspace=question.workspace,
            teacher=endpoint_teacher(
                url, model=DEFAULT_MODEL, sampling=request.sampling, request_seconds=limits.request_seconds
            ),
            worker=self.worker,
            cancelled=self.cancelled,
        )


@dataclass(frozen=True)
class Request:
    """One answer to obtain."""

    question: EvalItem
    sampling: Sampling
    attempt: int
    """1 at temperature 0; each sample has its own"""


def evaluation_spec(spec: Spec) -> Spec:
    """The run's spec for the student: greedy sampling and the evaluation limits."""
    greedy = Sampling(temperature=0.0, top_p=None)
    changes = {"limits": spec.evaluate_limits, "sampling": greedy, "model": DEFAULT_MODEL, "teacher": "endpoint"}
    return spec.model_copy(update=changes)


def questions_of(
    prompts: Sequence[Prompt], workspace_for: Callable[[Prompt], Workspace | None]
) -> tuple[EvalItem, ...]:
    """The prompts with their job ids and workspaces; EvaluationError if there are none, or a workspace's error."""
    if not prompts:
        raise EvaluationError("no prompts to evaluate; raise --test-share when curating, or pass a prompts file")
    items, used = list[EvalItem](), set[str]()
    for number, prompt in enumerate(prompts, 1):
        name = prompt.job_id if prompt.job_id and prompt.job_id not in used else job_id(number, prompt)
        used.add(name)
        items.append(EvalItem(name, prompt, workspace_for(prompt)))
    return tuple(items)


def _check(before: ModelAnswers, seen: Canaries, noise: tuple[float, ...], adapter: Path | None) -> None:
    if adapter is not None:
        prove_different(before.canaries[0], seen, noise=noise, adapter=adapter)
