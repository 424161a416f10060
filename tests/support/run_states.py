"""Runs in every state that people look at, with four workers whose names and reasons are long; without a ledger."""

from dataclasses import replace

from config.ledger.fleet import WorkerView
from config.ledger.stages import StageView
from config.records import JsonObject, RunControl, StageState, WorkerControl
from config.topology import Stage
from config.training_progress import TrainingProgress
from producer.overview import Overview, overview
from producer.run_status import RunStatus
from producer.stage_results import EvaluationProgress

RUN = "night-2026-11-26"
NOW = 1_800_000_000.0
ANNA = "generate-mac-studio-of-anna@studio-anna.local"
BEN = "generate-macbook-pro-ben@macbook-ben.local"
GPU = "train-and-curate@gpu-host.example.org"
OLD = "generate-mini-in-the-hall@mini.local"
UNREACHABLE = (
    "http://127.0.0.1:8080/v1 does not answer: [Errno 61] Connection refused; start the model server there, for "
    "example with `applejack worker generate --serve mlx-community/Qwen3-Coder-30B-A3B-Instruct-4bit`"
)
WAITING, RUNNING, DONE, FAILED = StageState.WAITING, StageState.RUNNING, StageState.DONE, StageState.FAILED
LOSSES = tuple(2.6 * 0.9**step + 0.2 for step in range(40))


def worker(
    name: str, silent: float = 1.2, *, control: WorkerControl = WorkerControl.GO, **fields: object
) -> WorkerView:
    """A worker with the fields of its heartbeat."""
    usual: JsonObject = {
        "queues": ["generate"], "holds": 4, "limit": 6, "limit_reason": "measured", "version": "0.9.0",
        "first_token_seconds": 1.23,
    }  # fmt: skip
    return WorkerView(name, silent, {**usual, **fields}, control)  # type: ignore[dict-item]


FLEET = (
    worker(ANNA),
    worker(BEN, awake=True),
    worker(OLD, holds=0),
    worker(GPU, queues=["curate", "train"], holds=1, first_token_seconds=None, limit=None),
)


def stage(name: Stage, state: StageState, *, error: str = "", **result: object) -> StageView:
    """A stage that, if it ended, took two minutes."""
    started = NOW - 180 if state in {RUNNING, DONE, FAILED} else None
    finished = NOW - 60 if state in {DONE, FAILED} else None
    return StageView(name, state, GPU, started, finished, error, result, ())  # type: ignore[arg-type]


def stages(curate: StageState, train: StageState, evaluate: StageState) -> tuple[StageView, ...]:
    """The three stages."""
    return tuple(stage(name, state) for name, state in zip(Stage, (curate, train, evaluate), strict=True))


GENERATING = RunStatus(
    run_id=RUN,
    total=2000,
    queued=1176,
    running=12,
    generated=781,
    failed=31,
    cancelled=0,
    truncated=3,
    lost_calls={},
    kinds={"timeout": 18, "endpoint_unreachable": 9, "malformed_tool_call": 4},
    kept=None,
    rejected=None,
    correct=None,
    stage="generate",
    error="",
    rate=34.0,
    eta_seconds=1188 / 34 * 60,
    missing_role="",
    control=RunControl.GO,
    version=1,
    created=NOW - 3600,
    by_worker={ANNA: {"generated": 412, "failed": 3}, BEN: {"generated": 240}, "generate9@gone": {"generated": 129}},
    stages=stages(WAITING, WAITING, WAITING),
    now=NOW,
)
CURATED = replace(
    GENERATING,
    queued=0,
    running=0,
    generated=1969,
    kept=1802,
    rejected=198,
    correct={"count": 1700, "of": 1969},
    eta_seconds=None,
    reasons={"wrong_answer": 90, "unsupported_claim": 60, "tools_required_but_none": 21, "truncated": 3},
)
TRAINING = replace(
    CURATED,
    stage="train",
    stages=stages(DONE, RUNNING, WAITING),
    training=TrainingProgress(120, 207, 0.412, None, 148.4, 1.44, 217.5, 207, 1.0),
    losses=LOSSES,
)
EVALUATING = replace(
    CURATED,
    stage="evaluate",
    stages=stages(DONE, DONE, RUNNING),
    evaluation=EvaluationProgress("after", 12, 60),
    losses=LOSSES,
)
ENDED = replace(
    CURATED,
    stage="done",
    losses=LOSSES,
    stages=(
        stage(Stage.CURATE, DONE, kept=1802, skipped=0),  # no line of the input was skipped
        stage(Stage.TRAIN, DONE, iterations=207),
        stage(
            Stage.EVALUATE,
            DONE,
            before={"grounded_correct": {"count": 2, "of": 36}},
            after={"grounded_correct": {"count": 27, "of": 36}},
        ),
    ),
)
OUT_OF_MEMORY = (
    "the training ended with signal 9 after iteration 40; last log line: RuntimeError: [METAL] Command buffer "
    "execution failed: Insufficient Memory (log: '/Users/anna/logs/training-night-2026-11-26.log')"
)
BROKEN = replace(
    CURATED,
    stage="failed",
    error=f"train: {OUT_OF_MEMORY}",
    stages=(
        stage(Stage.CURATE, DONE),
        stage(Stage.TRAIN, FAILED, error=OUT_OF_MEMORY),
        stage(Stage.EVALUATE, WAITING),
    ),
)
PAUSED = replace(GENERATING, control=RunControl.PAUSED, eta_seconds=None)
CANCELLED = replace(
    GENERATING, control=RunControl.CANCELLED, eta_seconds=None, queued=0, running=0, cancelled=1188, stage="cancelled"
)
WITHOUT_WORKERS = replace(GENERATING, missing_role="generate", eta_seconds=None, rate=0.0)

TROUBLED = (
    worker(ANNA, paused=UNREACHABLE, holds=0),
    worker(BEN, paused=UNREACHABLE, holds=0),
    worker(OLD, 754.0, version="0.8.2"),
    worker(GPU, queues=["curate", "train"], version="0.8.2", first_token_seconds=None, holds=0),
)

STATES: dict[str, Overview] = {
    "generating": overview(GENERATING, FLEET),
    "standing-still": overview(replace(GENERATING, rate=0.0, lost_calls={"qwen3-coder": 12}), TROUBLED),
    "paused": overview(PAUSED, FLEET),
    "held-workers": overview(
        GENERATING,
        (worker(ANNA, control=WorkerControl.PAUSED), worker(BEN, control=WorkerControl.DRAINING), *FLEET[2:]),
    ),
    "no-worker": overview(WITHOUT_WORKERS, ()),
    "training": overview(TRAINING, FLEET),
    "evaluating": overview(EVALUATING, FLEET),
    "failed": overview(BROKEN, FLEET),
    "ended": overview(ENDED, FLEET),
    "cancelled": overview(CANCELLED, FLEET),
}
