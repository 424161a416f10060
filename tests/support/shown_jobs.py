"""A run with a job in every state, made in the ledger without workers, for the pages that show jobs."""

from config.errors import FailureKind, RejectionReason
from config.ledger import Ledger
from config.ledger.stages import StageClaim
from config.records import (
    Failure,
    Finding,
    Message,
    Pin,
    Prompt,
    Provenance,
    Sampling,
    Spec,
    Trajectory,
    Usage,
    Verdict,
)
from config.topology import Stage
from tests.support.trajectories import GREP, asks, call, says, told, user

RUN = "night-1"
MARKUP = '<script>document.title = "planted"</script><b>&amp;'
UNSEEN = "left\u202egnirts\u200bright\x1b[31m"
PROMPTS = (
    Prompt(
        prompt="Where is the class Timer defined?",
        category="definition",
        expect={"paths": ["app/timer.py"], "contains": ["Timer"]},
    ),
    Prompt(prompt="How many files import Timer?", category="count", expect={"number": 2, "counts": "files"}),
    Prompt(prompt=f"What does {MARKUP} mean in {UNSEEN}?", category=f"markup {MARKUP}"),
    Prompt(prompt="Which module starts the event loop?", category="definition"),
    Prompt(prompt="What is the default port?", category="value"),
    Prompt(prompt="List the subclasses of Handler.", category="names"),
)
LONG = "\n".join(f"app/module_{number}.py:{number}: from app.timer import Timer" for number in range(60))


def provenance(worker: str) -> Provenance:
    """Where a trajectory of this worker comes from."""
    return Provenance(
        teacher="mlx-community/Qwen3-4B-4bit", endpoint="http://127.0.0.1:8080/v1", sampling=Sampling(), worker=worker,
        applejack_version="0.1.0", toolset_digest="3f2a9c11", workspace=Pin(origin="/code/app", commit="4f" * 20),
    )  # fmt: skip


def conversation(number: int) -> tuple[Message, ...]:
    """What the teacher and the tools said to the prompt of this number."""
    question = user(PROMPTS[number].prompt)
    if number == 0:
        first = asks(call("grep", "c1", pattern="class Timer"), call("grep", "c2", pattern="Timer", path="app"))
        return (
            question,
            first,
            told("app/timer.py:3: class Timer:", "c1"),
            told(LONG, "c2"),
            says("The class Timer is defined in app/timer.py."),
        )
    if number == 1:
        return (
            question,
            asks(call("grep", "c1", pattern="import Timer")),
            told(LONG[:200], "c1"),
            says("There are 5 files that import Timer."),
        )
    result = told(f"{MARKUP}\n{UNSEEN}", "c1", name=MARKUP)
    return question, asks(call(MARKUP, "c1", pattern=MARKUP), text=MARKUP), result, says(f"{MARKUP} {UNSEEN}")


def shown_jobs(ledger: Ledger, run_id: str = RUN, *, student: str | None = None) -> tuple[str, ...]:
    """Jobs 1 to 6: kept, rejected, rejected with planted markup, failed, running, queued; returns their ids."""
    ids = ledger.create(Spec(run_id=run_id, student=student, train=False), PROMPTS).job_ids
    for number, worker in enumerate(("mac-1", "mac-2", MARKUP)):
        finish(ledger, run_id, ids[number], number, worker)
    fail(ledger, run_id, ids[3], PROMPTS[3], "mac-2")
    ledger.jobs.begin(run_id, ids[4], worker="mac-1", lease_seconds=60, delivery_limit=3)
    ledger.set_verdicts(run_id, verdicts(ids))
    return ids


def finish(ledger: Ledger, run_id: str, job_id: str, number: int, worker: str, *, attempt: int = 1) -> None:
    """Complete a job."""
    ledger.jobs.begin(run_id, job_id, worker=worker, lease_seconds=60, delivery_limit=3)
    prompt = PROMPTS[number]
    made = Trajectory(
        run_id=run_id, job_id=job_id, attempt=attempt, prompt=prompt.prompt, category=prompt.category,
        expect=prompt.expect, system_prompt="You answer questions about code.", tools=(GREP,),
        messages=conversation(number), outcome="completed", finish_reasons=("tool_calls", "stop"),
        usage=Usage(requests=2, tool_calls=1, input_tokens=1850, output_tokens=96), seconds=4.2,
        provenance=provenance(worker),
    )  # fmt: skip
    assert ledger.jobs.finish(made, worker=worker) in {"stored", "last"}


def fail(
    ledger: Ledger, run_id: str, job_id: str, prompt: Prompt, worker: str, *, kind: FailureKind = FailureKind.TIMEOUT
) -> None:
    """Fail a job."""
    ledger.jobs.begin(run_id, job_id, worker=worker, lease_seconds=60, delivery_limit=3)
    failure = Failure(kind=kind, message="the job took longer than 180 s; its last request waited 120 s")
    made = Trajectory.failed(ledger.run(run_id).spec, prompt, failure, run_id=run_id, job_id=job_id, attempt=1)
    ledger.jobs.finish(made.model_copy(update={"provenance": provenance(worker)}), worker=worker)


def verdicts(ids: tuple[str, ...]) -> list[Verdict]:
    """What curation found in the first four jobs."""
    wrong = Finding(
        reason=RejectionReason.WRONG_ANSWER, message=3,
        detail="the answer 'There are 5 files that import Timer.' states '5', expected '2'",
    )  # fmt: skip
    claim = Finding(reason=RejectionReason.UNSUPPORTED_CLAIM, message=3, detail="no result holds '5 files'")
    markup = Finding(reason=RejectionReason.CHAT_MARKUP, message=2, call="c1", detail=f"holds {MARKUP!r}")
    failed = Finding(reason=RejectionReason.FAILED_GENERATION, detail="timeout: the job took longer than 180 s")
    return [
        Verdict(job_id=ids[0], split="train", rows=(3, 4, 9)),
        Verdict(job_id=ids[1], findings=(wrong, claim)),
        Verdict(job_id=ids[2], findings=(markup,)),
        Verdict(job_id=ids[3], findings=(failed,)),
    ]


def end_curation(ledger: Ledger, run_id: str, ids: tuple[str, ...]) -> None:
    """Curate a run all of whose jobs have finished."""
    claim = ledger.stages.begin(run_id, Stage.CURATE, worker="mac-1", lease_seconds=9)
    assert isinstance(claim, StageClaim)
    ledger.set_verdicts(run_id, [Verdict(job_id=job_id) for job_id in ids])
    ledger.stages.finish(claim, result={"kept": len(ids), "rejected": 0})
