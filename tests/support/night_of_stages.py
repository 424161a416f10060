"""A small run whose stages have run undisturbed: the ledger before each of them, and the files that came out."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import redis

from config.ledger import Ledger
from config.records import Adapter, JsonObject, Limits, Spec, StageState, Trajectory
from config.settings import Settings
from config.topology import Stage, run_key
from producer.mining.mine import mine
from tests.support.stage_processes import StageProcesses
from tests.support.tiny_student import make_tiny_student
from tests.support.workers import ROOT
from worker.concurrency.limiter import ConcurrencyLimiter
from worker.fleet.broker_messages import Message
from worker.fleet.leases import Leases
from worker.fleet.reconciler import Reconciler
from worker.job_runner import JobRunner

RUN = "night-1"
CODE = ROOT / "config" / "ledger"
JOBS = 24
STAGES = (Stage.CURATE, Stage.TRAIN, Stage.EVALUATE)
OUTPUT = {Stage.CURATE: "dataset", Stage.TRAIN: "adapter", Stage.EVALUATE: "report"}
FOREVER = -1  # Redis: no expiry
TRAINING: JsonObject = {
    "iters": 6, "batch_size": 1, "steps_per_report": 1, "steps_per_eval": 6, "val_batches": 1, "save_every": 2,
    "grad_checkpoint": False, "learning_rate": 1e-2,
}  # fmt: skip


@dataclass
class Night:
    """The run on one server; `restore` brings back the moment before a stage."""

    client: redis.Redis
    ledger: Ledger
    processes: StageProcesses
    folder: Path
    """of the worker that ran the stages undisturbed"""
    _before: dict[Stage, dict[bytes, bytes]] = field(default_factory=dict)
    _made: dict[Stage, JsonObject] = field(default_factory=dict)

    def restore(self, stage: Stage) -> None:
        """Bring the ledger to the moment before a stage that has been run undisturbed, once for all tests."""
        for one in STAGES[: STAGES.index(stage) + 1]:
            if one not in self._made:
                self._run_undisturbed(one)
        self._load(stage)

    def _run_undisturbed(self, stage: Stage) -> None:
        if stage is Stage.CURATE:
            self.client.flushall()
            self._generate()
            self._before[stage] = self._dumped()
        self._load(stage)
        self.processes.run(RUN, stage, self.folder)
        view = self.ledger.stages.view(RUN, stage)
        assert view.state is StageState.DONE, view.error
        self._made[stage] = self.made(stage)
        for following in STAGES[STAGES.index(stage) + 1 :][:1]:
            self._before[following] = self._dumped()

    def _generate(self) -> None:
        """The jobs, by the scripted teacher."""
        spec = Spec(
            run_id=RUN, workspace=str(CODE), teacher="scripted", dataset_format="turns", max_seq_length=4096,
            valid_share=0.25, test_share=0.4,  # questions that choose the checkpoint, and others that are held out
            student=str(make_tiny_student(self.folder / "student")), lora=TRAINING, checkpoints=2, evaluate_prompts=2,
            evaluate_concurrency=1, evaluate_limits=Limits(requests=2, max_tokens=6, seconds=60),
        )  # fmt: skip
        jobs = self.ledger.create(spec, mine([CODE], count=JOBS, seed=1)).job_ids
        leases, limiter = Leases(self.ledger.fleet, lease_seconds=60), ConcurrencyLimiter(most=1)
        runner = JobRunner(self.ledger, leases, Settings(dir=self.folder), "w", limiter)
        for job_id in jobs:
            runner.run(RUN, job_id)

    def _dumped(self) -> dict[bytes, bytes]:
        return {key: self.client.dump(key) for key in self.client.scan_iter()}

    def _load(self, stage: Stage) -> None:
        self.client.flushall()
        for key, value in self._before[stage].items():
            self.client.restore(key, 0, value)

    def copy_scores(self, folder: Path) -> None:
        """Give a worker's folder the answers of the checkpoints, as if it had compared them."""
        place = Path("runs") / RUN / "checkpoints-v1"
        shutil.copytree(self.folder / place, folder / place)

    def require_same(self, stage: Stage) -> None:
        """AssertionError unless the stage is done and its files in the ledger are those of the undisturbed run."""
        view = self.ledger.stages.view(RUN, stage)
        assert (view.state, view.error) == (StageState.DONE, "")
        assert self.made(stage) == self._made[stage]
        assert self.client.ttl(run_key(RUN, f"files:{OUTPUT[stage]}")) == FOREVER
        for half in self.client.scan_iter(run_key(RUN, "*:new:*")):  # of killed attempts
            assert self.client.ttl(half) > 0

    def made(self, stage: Stage) -> JsonObject:
        """What a stage stored, without times and the places of folders."""
        result = self.ledger.stages.view(RUN, stage).result
        match stage:
            case Stage.CURATE:
                verdicts = {job: verdict.kept for job, verdict in self.ledger.verdicts(RUN).items()}
                return {"files": dict(self.ledger.files.hashes(RUN, "dataset")), "verdicts": {**verdicts}}
            case Stage.TRAIN:
                losses = [line.model_dump(include=LOSSES) for line in Adapter.model_validate(result).losses]
                hashes = self.ledger.files.hashes(RUN, "adapter")
                weights: JsonObject = {name: hashes[name] for name in hashes if name.endswith(".safetensors")}
                return {"files": sorted(hashes), "weights": weights, "losses": [*losses]}
        stored = self.ledger.files.read(RUN, "report", "report.json")
        assert stored is not None
        assert json.loads(stored) == result
        hashes = self.ledger.files.hashes(RUN, "adapter")
        return {
            "files": sorted(self.ledger.files.hashes(RUN, "report")),
            "weights": {name: hashes[name] for name in hashes if name.endswith(".safetensors")},
            "outcomes": result["outcomes"],
            "checkpoints": result["checkpoints"],
            "answers": [*self._answers("before"), *self._answers("after")],
        }

    def _answers(self, phase: str) -> list[JsonObject]:
        lines = self.ledger.files.read(RUN, "report", f"{phase}.jsonl") or b""
        read = [Trajectory.model_validate_json(line) for line in lines.splitlines()]
        return [{"job": one.job_id, "said": one.answer, "outcome": one.outcome} for one in read]


LOSSES = {"iteration", "train_loss", "valid_loss"}


def reconciled(night: Night) -> set[Message]:
    """The messages that a living worker's reconciler sends now."""
    sent: set[Message] = set()
    reconciler = Reconciler(night.ledger, night.client, sent.add)
    reconciler.reap()
    for _ in range(2):  # a message counts as lost if two passes miss it
        reconciler.resend()
    return sent
