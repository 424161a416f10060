"""Failure kinds, rejection reasons and exceptions, named by the boundary they cross.

ApplejackError
├── UsageError            invalid user input: one line, exit code 2, nothing changed
├── GenerationError       a rollout failed; becomes Failure(kind, message)
│   ├── EndpointError     the model server: unreachable, hung, returning errors or serving the wrong model
│   ├── WorkspaceError    the pinned code is not available
│   │   └── WorkspaceRefusedError    the worker's owner does not allow it
│   └── RolloutError      the rollout itself: limits, tool retries, malformed calls
├── CurationError         a dataset cannot be created
├── StudentError          the student's model cannot be created or loaded
├── DeviceError           this machine's accelerator cannot be claimed
├── DownloadError         a model cannot be downloaded now: hub, network or disk
├── TrainingError         the preflight check or the training process failed
├── EvaluationError       scores cannot be trusted, so none are reported
├── StoppedError          the work was asked to stop: its run is cancelled, or its worker shuts down or lost its lease
└── StoreError            the ledger failed or rejected a command
    ├── StoreUnavailableError    it is unreachable, full or rejects the password; a retry may help
    ├── StoreDeniedError         the Redis user may not do this; another user may
    └── NewerRecordError         a later version of applejack has written this; another worker may read it
"""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why a rollout failed."""

    ENDPOINT_UNREACHABLE = "endpoint_unreachable"  # no connection, or lost before a response
    ENDPOINT_WEDGED = "endpoint_wedged"  # accepts requests, produces no tokens
    ENDPOINT_ERROR = "endpoint_error"  # an error response
    WRONG_MODEL = "wrong_model"  # not the model that the run requests
    TIMEOUT = "timeout"  # the job's wall-time limit is exceeded
    REQUEST_LIMIT = "request_limit"  # too many model requests, tool calls or repeats of one call
    TOOL_RETRIES_EXCEEDED = "tool_retries_exceeded"  # the model failed to correct its call
    MALFORMED_TOOL_CALL = "malformed_tool_call"  # the call cannot be parsed
    CONTEXT_OVERFLOW = "context_overflow"  # the conversation exceeds the model's context
    WORKSPACE_UNAVAILABLE = "workspace_unavailable"  # path, commit or digest is not available
    WORKSPACE_REFUSED = "workspace_refused"  # the worker's owner does not allow its folder, or a program of the run
    WORKER_LOST = "worker_lost"  # lost its worker `delivery_limit` times
    INTERNAL = "internal"  # a bug in applejack; the message names it


class RejectionReason(StrEnum):
    """Why curation rejects a trajectory."""

    NULL_RESULT = "null_result"  # a call whose result is missing or null
    UNPAIRED_RESULT = "unpaired_result"  # a result without a call, or two results of one call
    PHANTOM_CALL = "phantom_call"  # a return recorded as a call
    PLACEHOLDER_RESULT = "placeholder_result"  # a placeholder instead of a real result
    RETRY_UNANSWERED = "retry_unanswered"  # asked to correct a call, and did not
    TOOLS_REQUIRED_BUT_NONE = "tools_required_but_none"  # answered without the tools that the question needs
    LEAKED_TOOL_CALL = "leaked_tool_call"  # tool-call text in an answer
    CHAT_MARKUP = "chat_markup"  # <|im_start|> or similar in any text
    TRUNCATED = "truncated"  # finish_reason length
    EMPTY_ANSWER = "empty_answer"  # no final answer
    REPEATED_CALL = "repeated_call"  # the teacher repeated a call
    TOO_MANY_CALLS = "too_many_calls"  # more calls than the student should learn
    UNSUPPORTED_CLAIM = "unsupported_claim"  # the answer asserts something that no result holds
    WRONG_ANSWER = "wrong_answer"  # the answer contradicts the prompt's `expect`
    LEAKED_SECRET = "leaked_secret"  # noqa: S105 - a name; an API key, a private key or a password in any text
    REPLAY_MISMATCH = "replay_mismatch"  # the recorded call returns another result at the recorded version of the code
    OVER_LENGTH = "over_length"  # longer than the training length, in the student's tokens
    DUPLICATE = "duplicate"  # same as another example
    MALFORMED = (
        "malformed"  # not the job's conversation, or not in its form: roles, schemas, question, system prompt, text
    )
    SAMPLED_OUT = "sampled_out"  # valid, but left out to keep the requested proportions
    FAILED_GENERATION = "failed_generation"  # the rollout did not complete

    @classmethod
    def _missing_(cls, value: object) -> "RejectionReason | None":
        """The reason that replaced one stored by an earlier version."""
        return cls.UNSUPPORTED_CLAIM if value == "fabricated_result" else None


class ApplejackError(Exception):
    """Base class of all errors that applejack raises on purpose."""


class UsageError(ApplejackError):
    """Invalid user input; nothing was changed."""


class GenerationError(ApplejackError):
    """A rollout failed; `kind` classifies the failure."""

    kind: FailureKind

    def __init__(self, message: str, *, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind


class EndpointError(GenerationError):
    """The model server is unreachable, hung, returns errors or serves the wrong model."""

    status: int | None
    """HTTP status of its response; None without one"""

    def __init__(self, message: str, *, kind: FailureKind, status: int | None = None) -> None:
        super().__init__(message, kind=kind)
        self.status = status


class ServerKilledError(EndpointError):
    """The model server was killed with SIGKILL, often because memory ran out; another start may succeed."""


class WorkspaceError(GenerationError):
    """The pinned code is not available."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=FailureKind.WORKSPACE_UNAVAILABLE)


class WorkspaceRefusedError(WorkspaceError):
    """The worker's owner does not let runs read the folder, or start a program."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.kind = FailureKind.WORKSPACE_REFUSED


class RolloutError(GenerationError):
    """The rollout exceeded a limit, or a call could not be parsed."""


class CurationError(ApplejackError):
    """The dataset cannot be created from the given trajectories."""


class StudentError(ApplejackError):
    """The student's model cannot be created or loaded."""


class DeviceError(ApplejackError):
    """This machine's accelerator cannot be claimed, or waiting for it was cancelled."""


class DownloadError(ApplejackError):
    """A model cannot be downloaded now: the hub, the network or the disk is at fault; a retry may help."""


class TrainingError(ApplejackError):
    """The preflight check or the training process failed."""


class EvaluationError(ApplejackError):
    """Scores cannot be trusted, so none are reported."""


class StoppedError(ApplejackError):
    """The work was asked to stop: its run is cancelled, or its worker shuts down or has lost the lease."""


class StoreError(ApplejackError):
    """The ledger failed or rejected a command."""


class StoreUnavailableError(StoreError):
    """The ledger is unreachable, full or rejects the password; nothing was stored, and a retry may help."""


class StoreDeniedError(StoreError):
    """The Redis user may not do this; another user may."""


class NewerRecordError(StoreError):
    """A later version of applejack has written this record; a worker leaves it to others."""


UNREADABLE_RUN = (StoreError, ValueError, LookupError, TypeError)
"""what reading a run with broken values raises; StoreError: a key of another type, but a StoreUnavailableError says
nothing about the run"""
