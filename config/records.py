"""Records that cross a process: Prompt -> Job -> Trajectory -> Example -> Dataset -> Adapter -> Report, in a Run.

Frozen pydantic models with a schema_version; derived values are properties and are not stored. One file, though a long
one: it is the vocabulary that every other file speaks, and is read as a whole.
"""

import hashlib
import json
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from config.errors import FailureKind, RejectionReason

JsonObject = dict[str, JsonValue]
Split = Literal["train", "valid", "test"]
JOB_DIGITS = 6  # a run holds up to 999,999 jobs, so that ids sort in the order of the prompts


class Record(BaseModel):
    """Frozen; a field nobody knows is an error, so that a misspelt one is never silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Prompt(Record):
    """One line of prompts.jsonl."""

    prompt: str = Field(min_length=1)
    category: str = "general"
    requires_tools: bool = True
    workspace: str | None = None
    """PATH or PATH@REV; overrides the run's"""
    expect: JsonObject | None = None
    """facts a correct answer must contain, see config/questions/expected_facts.py"""
    split: Split | None = None
    job_id: str | None = Field(None, exclude=True)
    """of the trajectory that a held-out prompt comes from; evaluation keeps it, and a new run gives its own"""

    @property
    def content_hash(self) -> str:
        """Hex sha256 of the record: the same prompt asked the same way has the same hash."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def job_id(number: int, prompt: Prompt) -> str:
    """Stable and readable: the prompt's place in the run and its content, "000017-3fa9c1d2"."""
    return f"{number:0{JOB_DIGITS}d}-{prompt.content_hash[:8]}"


class Limits(Record):
    """What one job may use before it ends in a failure kind."""

    requests: int = Field(12, ge=1)
    """model requests"""
    tool_calls: int = Field(16, ge=1)
    repeats: int = Field(3, ge=1)
    """times one call with the same arguments may be made"""
    seconds: float = Field(180.0, gt=0)
    """wall time"""
    request_seconds: float = Field(120.0, gt=0)
    """of silence; answers are streamed, but mlx_lm sends a tool call as a whole"""
    max_tokens: int = Field(1024, ge=1)
    """sent with every request; the server's own default is 512"""


class Sampling(Record):
    """Sent with every request. There is no seed on purpose: mlx_lm serves a seeded request alone, without batching."""

    temperature: float = Field(0.7, ge=0)
    top_p: float | None = Field(0.8, gt=0, le=1)


DEFAULT_MODEL = "default_model"  # mlx_lm: what its --model loaded, with the adapter
TOOL_NAMES = ("read_file", "grep", "find_files", "list_dir", "count")


class Spec(Record):
    """What a run is asked to do; its hash, with the prompts', decides whether two submits are the same run."""

    schema_version: Literal[1] = 1
    run_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    workspace: str | None = None
    """PATH, PATH@REV or URL@REV that tools read"""
    teacher: Literal["endpoint", "scripted"] = "endpoint"
    model: str = DEFAULT_MODEL
    """model name asked of the endpoint"""
    system_prompt: str = (
        "You answer questions about the code in your workspace. Use the tools to look before you answer."
    )
    tools: tuple[str, ...] = TOOL_NAMES
    allow_commands: tuple[str, ...] = ()
    """programs run_command may start; none switches the tool off"""
    limits: Limits = Limits()
    sampling: Sampling = Sampling()
    delivery_limit: int = Field(4, ge=1)
    """workers that may die on one job before it fails as worker_lost"""
    student: str | None = None
    """directory of the model to render for, train and evaluate"""
    dataset_format: Literal["text", "turns", "seed-text"] = "text"
    max_seq_length: int = Field(2048, ge=64)
    """tokens per training row"""
    valid_share: float = Field(0.1, ge=0, lt=1)
    test_share: float = Field(0.1, ge=0, lt=1)
    train: bool = True
    evaluate: bool = True
    """after training, base and adapter answer the held-out prompts"""
    evaluate_prompts: int = Field(24, ge=1)
    evaluate_limits: Limits = Limits(requests=6, tool_calls=8, max_tokens=256)
    lora: JsonObject = {}
    """overrides of config/lora.yaml in mlx_lm's names; config/hyperparameters.py checks them"""
    seed: int = 0


class ToolCall(Record):
    """One call an assistant turn makes."""

    id: str
    name: str
    arguments: JsonObject | str
    """the object; text only where the model wrote something that is no JSON object"""


class Message(Record):
    """One message in chat form; a tool message with content None is a null result, a missing one a missing result."""

    role: Literal["user", "assistant", "tool"]
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    """of the tool, on a tool message"""
    is_error: bool = False


class Failure(Record):
    """Why a rollout failed."""

    model_config = ConfigDict(extra="ignore")  # files of earlier versions hold a third field

    kind: FailureKind
    message: str


class Usage(Record):
    """Tokens and requests as the endpoint counts them."""

    requests: int = 0
    tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class Pin(Record):
    """Which code the tools read, exactly."""

    origin: str
    """path or URL as the run named it"""
    commit: str | None = None
    """git commit, 40 hex digits"""
    digest: str | None = None
    """sha256 over paths and contents, where there is no git"""
    dirty: bool = False
    """the origin had changes that the commit does not hold; tools read the commit"""


class Provenance(Record):
    """Where a trajectory comes from."""

    teacher: str
    """model id as served, or "scripted" """
    endpoint: str
    sampling: Sampling | None = None
    worker: str
    applejack_version: str
    toolset_digest: str
    workspace: Pin | None = None


class Trajectory(BaseModel):
    """Every message of one rollout. Files may hold fields of later versions; they are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    schema_version: Literal[1] = 1
    run_id: str
    job_id: str
    attempt: int = 1
    prompt: str
    category: str = "general"
    requires_tools: bool = True
    expect: JsonObject | None = None
    split: Split | None = None
    system_prompt: str = ""
    """sent in front of messages, which start with the user's"""
    tools: tuple[JsonObject, ...] = ()
    """the JSON schemas sent, {"type": "function", "function": {name, description, parameters}}"""
    messages: tuple[Message, ...] = ()
    outcome: Literal["completed", "failed"]
    failure: Failure | None = None
    usage: Usage = Usage()
    finish_reasons: tuple[str, ...] = ()
    """one per model request: stop, tool_calls, length, ..."""
    seconds: float = 0.0
    provenance: Provenance | None = None

    @classmethod
    def failed(
        cls, spec: Spec, prompt: Prompt, failure: Failure, *, run_id: str, job_id: str, attempt: int
    ) -> "Trajectory":
        """The trajectory of a job that failed before its first model request: no messages."""
        return cls(
            run_id=run_id,
            job_id=job_id,
            attempt=attempt,
            **prompt.model_dump(exclude={"workspace"}),
            system_prompt=spec.system_prompt,
            outcome="failed",
            failure=failure,
        )

    @property
    def answer(self) -> str:
        """The text of the last assistant message, "" when there is none."""
        last = self.messages[-1] if self.messages else None
        return (last.content or "") if last and last.role == "assistant" else ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Every call, in order."""
        return tuple(call for message in self.messages for call in message.tool_calls)


class Finding(Record):
    """One reason with its evidence."""

    reason: RejectionReason
    detail: str
    message: int | None = None
    """index into the trajectory's messages"""
    call: str | None = None
    """tool_call_id"""


class Verdict(Record):
    """What curation decided about one trajectory: kept when there are no findings."""

    job_id: str
    findings: tuple[Finding, ...] = ()
    split: Split | None = None
    """where the rows are; None when it was rejected"""
    rows: tuple[int, ...] = ()
    """lines of the split's file, counted from 1, in rising order"""

    @property
    def kept(self) -> bool:
        """True when nothing was found against it."""
        return not self.findings

    @property
    def reasons(self) -> tuple[RejectionReason, ...]:
        """Every reason that applies, once each, in the order of the contract."""
        found = {finding.reason for finding in self.findings}
        return tuple(reason for reason in RejectionReason if reason in found)


class TrainProgress(Record):
    """One line of the training child's progress stream."""

    iteration: int
    iterations: int
    train_loss: float | None = None
    valid_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    iterations_per_second: float | None = None
    trained_tokens: int | None = None
    peak_memory_gb: float | None = None


class Adapter(Record):
    """What training leaves behind."""

    schema_version: Literal[1] = 1
    path: str
    student: str
    dataset_hash: str
    iterations: int
    losses: tuple[TrainProgress, ...] = ()
    peak_memory_gb: float
    tokens_per_second: float
    seconds: float


class JobState(StrEnum):
    """Where generation stands with one job."""

    QUEUED = "queued"  # owed, nobody works on it
    RUNNING = "running"  # a worker holds its lease
    GENERATED = "generated"  # a completed trajectory is stored
    FAILED = "failed"  # a failed trajectory is stored


class StageState(StrEnum):
    """Where a stage of a run stands."""

    WAITING = "waiting"  # what it needs is not there yet
    READY = "ready"  # may start; nobody works on it
    RUNNING = "running"  # a worker holds its lease
    DONE = "done"
    FAILED = "failed"  # it ended with an error that the run tells
    SKIPPED = "skipped"  # the run does not ask for it
