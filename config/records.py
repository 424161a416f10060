"""Records passed between processes: Prompt -> Job -> Trajectory -> Example -> Dataset -> Adapter -> Report, in a Run.

Frozen pydantic models with a schema_version. Derived values are properties and are not stored. The file is long
because it is the shared vocabulary of all other files.
"""

import hashlib
import json
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import from_json

from config.errors import FailureKind, RejectionReason

JsonObject = dict[str, JsonValue]
Split = Literal["train", "valid", "test"]
RUN_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # also the name of a directory on every machine
JOB_DIGITS = 6  # a run holds up to 999,999 jobs, zero-padded so that ids sort in prompt order


class Record(BaseModel):
    """Base of all records: frozen. An unknown field is an error, so that a misspelt name is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Prompt(Record):
    """One line of prompts.jsonl."""

    prompt: str = Field(min_length=1)
    """The question for the teacher."""
    category: str = "general"
    """The kind of question; reports count by it."""
    requires_tools: bool = True
    """Whether an answer without a tool call is rejected."""
    workspace: str | None = None
    """PATH or PATH@REV of the code; overrides the run's workspace."""
    expect: JsonObject | None = None
    """Facts that a correct answer must contain; see config/questions/expected_facts.py."""
    split: Split | None = None
    """The dataset split for this prompt; None lets the run's seed decide."""
    job_id: str | None = Field(None, exclude=True)
    """Id of the job that a held-out prompt comes from. Evaluation keeps it; a new run assigns its own."""

    @property
    def content_hash(self) -> str:
        """Hex sha256 of the record; equal records have equal hashes."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def job_id(number: int, prompt: Prompt) -> str:
    """The id of a job: the number of its prompt in the run and the start of its content hash, "000017-3fa9c1d2"."""
    return f"{number:0{JOB_DIGITS}d}-{prompt.content_hash[:8]}"


class Limits(Record):
    """Limits of one job. A job that exceeds one of them fails."""

    requests: int = Field(12, ge=1)
    """Model requests."""
    tool_calls: int = Field(16, ge=1)
    """Tool calls."""
    repeats: int = Field(3, ge=1)
    """Calls of the same tool with the same arguments."""
    seconds: float = Field(180.0, gt=0)
    """Wall time of the job."""
    request_seconds: float = Field(120.0, gt=0)
    """Seconds without data from the endpoint. Answers are streamed, but mlx_lm sends a tool call in one piece."""
    max_tokens: int = Field(1024, ge=1)
    """Tokens of one answer. Sent with every request, because the default of mlx_lm is 512."""


class Sampling(Record):
    """Sampling parameters of every request. There is no seed, because mlx_lm does not batch requests that have one."""

    temperature: float = Field(0.7, ge=0)
    """Sampling temperature; 0 is greedy."""
    top_p: float | None = Field(0.8, gt=0, le=1)
    """Nucleus sampling; None leaves it to the server."""


CUT = "length"  # finish reason of an answer that max_tokens ended
CALLED = "tool_calls"  # finish reason of a turn with calls, also where the server dropped them
DEFAULT_MODEL = "default_model"  # mlx_lm's name for the model of its --model option, with the adapter
TOOL_NAMES = ("read_file", "grep", "find_files", "list_dir", "count")


class Spec(Record):
    """Definition of a run. Two submits with equal specs and equal prompts are the same run."""

    schema_version: Literal[1] = 1
    run_id: str = Field(pattern=RUN_ID)
    """Id of the run, chosen by the user."""
    workspace: str | None = None
    """PATH, PATH@REV or URL@REV of the code that tools read."""
    teacher: Literal["endpoint", "scripted"] = "endpoint"
    """Who answers the prompts: the model at the endpoint, or the scripted teacher."""
    model: str = DEFAULT_MODEL
    """Model name sent to the endpoint."""
    system_prompt: str = (
        "You answer questions about the code in your workspace. Use the tools to look before you answer."
    )
    """System prompt of every conversation."""
    tools: tuple[str, ...] = TOOL_NAMES
    """Names of the tools of the agent."""
    allow_commands: tuple[str, ...] = ()
    """Programs that run_command may start; if empty, the tool is not offered."""
    allow_files: tuple[str, ...] = Field((), exclude_if=lambda globs: not globs)
    """Globs of files for secrets, such as .env, that tools may read all the same."""
    secrets: Literal["mask", "reject"] = Field("mask", exclude_if=lambda choice: choice == "mask")
    """Whether tool results have the kind of a secret in its place, or the example is rejected in curation."""
    limits: Limits = Limits()
    """Limits of each generation job."""
    sampling: Sampling = Sampling()
    """Sampling parameters of the teacher; evaluation samples greedily."""
    delivery_limit: int = Field(4, ge=1)
    """Attempts of one job that may end in a lost worker or a transient failure before the job fails."""
    student: str | None = None
    """Model to render for, train and evaluate: a directory or a hub id, optionally ID@REVISION."""
    train_student: str | None = Field(None, exclude_if=lambda model: model is None)
    """Model to train and evaluate, if it is named differently there: the same model at another path."""
    dataset_format: Literal["text", "turns", "seed-text"] = "text"
    """Row format of the dataset."""
    max_seq_length: int = Field(2048, ge=64)
    """Tokens per training row."""
    keep_wrong: bool = Field(False, exclude_if=lambda keep: not keep)  # so that older workers can read the spec
    """Whether the dataset keeps answers that contradict their prompt's `expect`."""
    valid_share: float = Field(0.1, ge=0, lt=1)
    """Share of the examples for validation."""
    test_share: float = Field(0.1, ge=0, lt=1)
    """Share of the examples held out for evaluation."""
    train: bool = True
    """Whether to train after curation."""
    evaluate: bool = True
    """Whether base model and adapter answer the held-out prompts after training."""
    evaluate_prompts: int = Field(60, ge=1)
    """Number of held-out prompts to evaluate; docs/evaluation.md has the difference that they can show."""
    evaluate_samples: int = Field(0, ge=0, exclude_if=lambda samples: not samples)
    """Further answers to each of them, sampled at the student's own temperature."""
    evaluate_concurrency: int = Field(4, ge=1, exclude_if=lambda concurrency: concurrency == 4)
    """Prompts in flight in the evaluation; the server batches them."""
    evaluate_limits: Limits = Limits(requests=6, tool_calls=8, max_tokens=256)
    """Limits of each evaluation prompt."""
    checkpoints: int | None = Field(None, ge=1, exclude_if=lambda count: count is None)
    """Saved checkpoints to compare by their answers before the evaluation; 1 takes the last, None decides by the
    questions of the valid split."""
    trainer: str | None = Field(None, exclude_if=lambda trainer: trainer is None)
    """Another trainer than mlx_lm, "command:PROGRAM ARGUMENT..."; a train worker runs only those that it allows."""
    lora: JsonObject = {}
    """Overrides of config/lora.yaml, with mlx_lm's names; config/hyperparameters.py checks them."""
    seed: int = 0
    """Seed of the dataset split."""

    @property
    def trained_student(self) -> str | None:
        """The model to train and evaluate."""
        return self.train_student or self.student


class ToolCall(Record):
    """One tool call of an assistant message."""

    id: str
    """Id of the call; the tool message with the result repeats it."""
    name: str
    """Name of the tool."""
    arguments: JsonObject | str
    """Arguments as an object; the raw text if the model wrote something that is not a JSON object."""


class Message(Record):
    """One chat message."""

    role: Literal["user", "assistant", "tool"]
    """Author of the message."""
    content: str | None = None
    """Text of the message; None in a tool message is a null result."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Calls of an assistant message."""
    tool_call_id: str | None = None
    """Id of the call that a tool message answers."""
    name: str | None = None
    """Name of the tool that a tool message comes from."""
    is_error: bool = False
    """Whether the tool call of a tool message failed, or a user message asks for a call again that the server lost."""


def own_text(content: str | None) -> str:
    """Text of an assistant's turn without the white space at its ends, which belongs to the notation.

    Servers leave the line breaks between two calls, or between reasoning and answer, in the content. A template writes
    its own there. Both together become other tokens than those the model generated. Turns with calls are recorded, and
    so sent in later requests, with this text; every turn is rendered with it.
    """
    return (content or "").strip()


def parsed_arguments(given: JsonValue) -> JsonValue:
    """The arguments of a call as an object: parsed from text, {} for none; as given if that is not an object."""
    if given is None or given == "":  # how some servers send a call without arguments
        return {}
    if not isinstance(given, str):
        return given
    try:
        arguments: JsonValue = from_json(given, allow_inf_nan=False)  # JSON messages cannot hold NaN; json accepts it
    except ValueError:
        return given
    return arguments if isinstance(arguments, dict) else given


class Failure(Record):
    """Reason why a rollout failed."""

    model_config = ConfigDict(extra="ignore")  # files of earlier versions hold a third field

    kind: FailureKind
    """Category of the failure."""
    message: str
    """One line for people."""


class Usage(Record):
    """Requests, tool calls and tokens of one rollout."""

    requests: int = 0
    """Model requests."""
    tool_calls: int = 0
    """Tool calls."""
    input_tokens: int = 0
    """Prompt tokens, as reported by the endpoint."""
    output_tokens: int = 0
    """Generated tokens, as reported by the endpoint."""


class RequestTiming(Record):
    """Seconds and tokens of one model request, as the client sees them."""

    model_config = ConfigDict(extra="ignore")  # a later version may measure more

    seconds: float
    """From sending the request to the end of the answer, or to the error."""
    first_token: float | None = None
    """Seconds until the endpoint had read the prompt or sent the first token; it includes waiting in the endpoint's
    queue. None if the response does not show it: the endpoint sends whole answers or whole calls in one piece."""
    prompt_tokens: int | None = None
    """Prompt tokens, as reported by the endpoint; None if it reports none."""
    cached_tokens: int | None = None
    """Prompt tokens that the endpoint took from its prompt cache; None if it does not report them."""
    output_tokens: int | None = None
    """Generated tokens, as reported by the endpoint; None if it reports none."""
    finish_reason: str | None = None
    """stop, tool_calls, length, ...; None if the request failed."""


class ToolTiming(Record):
    """Duration of one tool call."""

    model_config = ConfigDict(extra="ignore")

    name: str
    """Name of the tool."""
    seconds: float
    """Wall time, also of a call that the tool refused."""


class Timing(Record):
    """Durations of a rollout's model requests and tool calls. The rest of its wall time is the worker's own."""

    model_config = ConfigDict(extra="ignore")

    requests: tuple[RequestTiming, ...] = ()
    """In order; failed requests are included."""
    tools: tuple[ToolTiming, ...] = ()
    """In the order in which the calls ended."""


class Pin(Record):
    """Exact version of the code that the tools read."""

    origin: str
    """Path or URL as the run names it."""
    commit: str | None = None
    """Git commit, 40 hex digits."""
    digest: str | None = None
    """Sha256 over paths and contents of a directory that is not in git."""
    dirty: bool = False
    """Whether the origin had uncommitted changes; the tools read the commit without them."""

    @property
    def content(self) -> str:
        """The commit or digest; equal ones mean equal code."""
        return self.commit or self.digest or "unknown"


class Provenance(Record):
    """Origin of a trajectory."""

    teacher: str
    """Model id as reported by the endpoint, or "scripted"."""
    endpoint: str
    """Address of the endpoint."""
    sampling: Sampling | None = None
    """Sampling parameters of the requests; None for the scripted teacher."""
    worker: str
    """Name of the worker that ran the job."""
    applejack_version: str
    """Version of applejack on that worker."""
    toolset_digest: str
    """Digest of the tools that were offered."""
    workspace: Pin | None = None
    """Version of the code that the tools read."""
    revision: str | None = Field(None, exclude_if=lambda revision: revision is None)
    """The hub's commit of the teacher, where its worker serves it from the hub."""


class Trajectory(BaseModel):
    """All messages of one rollout. Unknown fields, which later versions may add, are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)

    schema_version: Literal[1] = 1
    run_id: str
    """Id of the run."""
    job_id: str
    """Id of the job."""
    attempt: int = 1
    """Number of the attempt, from 1."""
    prompt: str
    """The question, as in Prompt."""
    category: str = "general"
    """As in Prompt."""
    requires_tools: bool = True
    """As in Prompt."""
    expect: JsonObject | None = None
    """As in Prompt."""
    split: Split | None = None
    """As in Prompt."""
    system_prompt: str = ""
    """System prompt, sent before the messages; it is not one of them."""
    tools: tuple[JsonObject, ...] = ()
    """JSON schemas of the offered tools, {"type": "function", "function": {name, description, parameters}}."""
    messages: tuple[Message, ...] = ()
    """The conversation; its first message is the user's."""
    outcome: Literal["completed", "failed"]
    """Whether the rollout reached an answer."""
    failure: Failure | None = None
    """Reason of a failed rollout."""
    usage: Usage = Usage()
    """Requests and tokens used."""
    finish_reasons: tuple[str, ...] = ()
    """Finish reason of each model request: stop, tool_calls, length, ..."""
    seconds: float = 0.0
    """Wall time of the rollout."""
    timing: Timing | None = Field(None, exclude_if=lambda timing: timing is None)
    """Where the seconds went; None for the scripted teacher and in records of earlier versions."""
    provenance: Provenance | None = None
    """Origin of the trajectory."""

    @classmethod
    def failed(
        cls, spec: Spec, prompt: Prompt, failure: Failure, *, run_id: str, job_id: str, attempt: int
    ) -> "Trajectory":
        """Create the trajectory of a job that failed before its first model request; it has no messages."""
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
        """Text of the last message if it is the assistant's, else ""."""
        last = self.messages[-1] if self.messages else None
        return (last.content or "") if last and last.role == "assistant" else ""

    @property
    def truncated(self) -> bool:
        """Whether max_tokens ended the last model turn, which ends the rollout."""
        return self.outcome == "completed" and self.finish_reasons[-1:] == (CUT,)

    @property
    def lost_calls(self) -> int:
        """Turns whose call the model server dropped: they end with "tool_calls" and have none.

        Where the server drops one of several calls of a turn, nothing in its response shows it.
        """
        turns = [message for message in self.messages if message.role == "assistant"]
        pairs = zip(turns, self.finish_reasons, strict=False)  # a failed rollout may lack its last turn
        return sum(reason == CALLED and not turn.tool_calls for turn, reason in pairs)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All tool calls, in order."""
        return tuple(call for message in self.messages for call in message.tool_calls)


class Finding(Record):
    """One reason for a rejection, with its evidence."""

    reason: RejectionReason
    """The rule that the trajectory breaks."""
    detail: str
    """The evidence, in one line."""
    message: int | None = None
    """Index of the message concerned."""
    call: str | None = None
    """Id of the tool call concerned."""


class Verdict(Record):
    """Result of curation for one trajectory: it is kept if there are no findings."""

    job_id: str
    """Id of the job."""
    findings: tuple[Finding, ...] = ()
    """Reasons for the rejection."""
    split: Split | None = None
    """Split that holds its rows; None if it was rejected."""
    rows: tuple[int, ...] = ()
    """Line numbers of its rows in the split's file, from 1, in ascending order."""

    @property
    def kept(self) -> bool:
        """Whether there are no findings."""
        return not self.findings

    @property
    def reasons(self) -> tuple[RejectionReason, ...]:
        """The distinct reasons of the findings, in the order of RejectionReason."""
        found = {finding.reason for finding in self.findings}
        return tuple(reason for reason in RejectionReason if reason in found)


class TrainProgress(Record):
    """One progress report of the training process."""

    iteration: int
    """Iterations done."""
    iterations: int
    """Iterations in total."""
    train_loss: float | None = None
    """Training loss; None in a report of validation."""
    valid_loss: float | None = None
    """Validation loss; None in a report of training."""
    learning_rate: float | None = None
    """Current learning rate."""
    tokens_per_second: float | None = None
    """Training speed in tokens."""
    iterations_per_second: float | None = None
    """Training speed in iterations."""
    trained_tokens: int | None = None
    """Tokens trained on so far."""
    peak_memory_gb: float | None = None
    """Peak memory so far, in GB."""
    rows: int | None = Field(None, exclude_if=lambda rows: rows is None)
    """Training rows; only in the report that precedes the training."""
    epochs: float | None = Field(None, exclude_if=lambda epochs: epochs is None)
    """Passes over them; with `rows`."""
    needed_gb: float | None = Field(None, exclude_if=lambda needed: needed is None)
    """Peak memory that was estimated, in GB; with `rows`."""
    grad_checkpoint: bool | None = Field(None, exclude_if=lambda chosen: chosen is None)
    """Whether activations are computed twice to save memory; with `rows`."""
    seconds: float | None = Field(None, exclude_if=lambda seconds: seconds is None)
    """Since the training began, without interruptions; not in the report that precedes it, nor in an Adapter."""

    @property
    def plan(self) -> str:
        """What is about to be trained, of the report that precedes the training; "" of the others."""
        if self.rows is None or self.epochs is None:
            return ""
        checkpoint = ", grad_checkpoint on" if self.grad_checkpoint else ""
        memory = f", about {self.needed_gb:.1f} GB{checkpoint}" if self.needed_gb is not None else ""
        return f"{self.rows} rows, {self.epochs:g} epochs, {self.iterations} iterations{memory}"

    @property
    def minutes_left(self) -> float | None:
        """Expected minutes to the end, without validation; None in a report without a speed."""
        if not self.iterations_per_second:
            return None
        return (self.iterations - self.iteration) / self.iterations_per_second / 60


class Adapter(Record):
    """Result of the train stage."""

    schema_version: Literal[1] = 1
    path: str
    """Directory of the adapter."""
    student: str
    """The base model: a directory or a hub id."""
    revision: str | None = Field(None, exclude_if=lambda revision: revision is None)
    """The hub's commit of the base model; None for a directory."""
    dataset_hash: str
    """Hash of the dataset it was trained on."""
    iterations: int
    """Iterations done."""
    rows: int | None = Field(None, exclude_if=lambda rows: rows is None)
    """Training rows; None in records of earlier versions."""
    epochs: float | None = Field(None, exclude_if=lambda epochs: epochs is None)
    """Passes over them."""
    losses: tuple[TrainProgress, ...] = ()
    """Progress reports of the training, in order."""
    peak_memory_gb: float
    """Peak memory, in GB."""
    tokens_per_second: float
    """Training speed."""
    seconds: float
    """Wall time of the training."""
    backend: str | None = Field(None, exclude_if=lambda backend: backend is None)
    """What mlx computed on: metal, cuda or cpu; None in records of earlier versions."""
    trainer: str | None = Field(None, exclude_if=lambda trainer: trainer is None)
    """The command of a trainer other than mlx_lm's."""
    unservable: str | None = Field(None, exclude_if=lambda reason: reason is None)
    """Why the adapter cannot be served, and so is not evaluated; None if it can."""


class JobState(StrEnum):
    """State of a generation job."""

    QUEUED = "queued"  # pending, not leased
    RUNNING = "running"  # a worker holds its lease
    GENERATED = "generated"  # a completed trajectory is stored
    FAILED = "failed"  # a failed trajectory is stored
    CANCELLED = "cancelled"  # its run was cancelled before it finished


class RunControl(StrEnum):
    """What a person has asked of a run."""

    GO = ""  # nothing: it runs
    PAUSED = "paused"  # jobs and stages in flight end, no other starts
    CANCELLED = "cancelled"  # jobs and stages in flight are stopped, no other starts


class WorkerControl(StrEnum):
    """What a person has asked of a worker; it outlives the worker's process."""

    GO = ""  # nothing: it takes work
    PAUSED = "paused"  # it ends the work that it holds and takes no other
    DRAINING = "draining"  # the same, and then its process ends


class StageState(StrEnum):
    """State of a stage of a run."""

    WAITING = "waiting"  # its input does not exist yet
    READY = "ready"  # may start, not leased
    RUNNING = "running"  # a worker holds its lease
    DONE = "done"  # its result is stored
    FAILED = "failed"  # it ended with an error, which is stored
    SKIPPED = "skipped"  # the run does not include it
