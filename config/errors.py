"""Failure kinds, rejection reasons and the exceptions behind them, named by the boundary they cross.

ApplejackError
├── UsageError            bad input from a person: one clear line, exit code 2, nothing changed
├── GenerationError       a rollout went wrong; becomes Failure(kind, message, retryable)
│   ├── EndpointError     the model server: unreachable, wedged, erring or serving another model
│   ├── WorkspaceError    the code to be read cannot be had as pinned
│   └── RolloutError      the rollout itself: limits, tool retries, malformed calls
├── CurationError         a dataset cannot be made
├── StudentError          the student's model cannot be made or loaded
├── TrainingError         preflight or the training process failed
├── EvaluationError       scores cannot be trusted, so none are given
└── StoreError            the ledger refused or could not be reached
    └── StoreUnavailableError    ... for now: it is away, full, or refuses the password; waiting helps
"""

from enum import StrEnum


class FailureKind(StrEnum):
    """Why a rollout has no usable end."""

    ENDPOINT_UNREACHABLE = "endpoint_unreachable"  # no connection, or it broke before an answer
    ENDPOINT_WEDGED = "endpoint_wedged"  # healthy HTTP, no tokens
    ENDPOINT_ERROR = "endpoint_error"  # an error answer
    WRONG_MODEL = "wrong_model"  # another model than the run asks for
    TIMEOUT = "timeout"  # the job's wall time is over
    REQUEST_LIMIT = "request_limit"  # model requests, tool calls or repeats of one call are used up
    TOOL_RETRIES_EXCEEDED = "tool_retries_exceeded"  # the model could not mend its call
    MALFORMED_TOOL_CALL = "malformed_tool_call"  # the call cannot be read at all
    CONTEXT_OVERFLOW = "context_overflow"  # the conversation no longer fits the model
    WORKSPACE_UNAVAILABLE = "workspace_unavailable"  # path, commit or digest is not here
    WORKER_LOST = "worker_lost"  # its workers died as often as is allowed
    INTERNAL = "internal"  # a fault of ours; the message names it


RETRYABLE = frozenset(  # another worker, or a later hour, may do better
    {
        FailureKind.ENDPOINT_UNREACHABLE,
        FailureKind.ENDPOINT_WEDGED,
        FailureKind.ENDPOINT_ERROR,
        FailureKind.WRONG_MODEL,
        FailureKind.TIMEOUT,
        FailureKind.WORKSPACE_UNAVAILABLE,
        FailureKind.WORKER_LOST,
    }
)


class RejectionReason(StrEnum):
    """Why curation keeps a trajectory out of the dataset."""

    NULL_RESULT = "null_result"  # a call whose result is missing or null
    UNPAIRED_RESULT = "unpaired_result"  # a result that answers no call, or one call answered twice
    PHANTOM_CALL = "phantom_call"  # a return recorded as a call
    PLACEHOLDER_RESULT = "placeholder_result"  # a result that stands for one that was never there
    RETRY_UNANSWERED = "retry_unanswered"  # told to mend a call, and did not
    TOOLS_REQUIRED_BUT_NONE = "tools_required_but_none"  # answered from memory what needs tools
    LEAKED_TOOL_CALL = "leaked_tool_call"  # call text in an answer
    CHAT_MARKUP = "chat_markup"  # <|im_start|> and kin in any text
    TRUNCATED = "truncated"  # finish_reason length
    EMPTY_ANSWER = "empty_answer"  # nothing was said at the end
    REPEATED_CALL = "repeated_call"  # the teacher's own loop
    TOO_MANY_CALLS = "too_many_calls"  # more calls than a student should learn to make
    FABRICATED_RESULT = "fabricated_result"  # the answer asserts what no result holds
    OVER_LENGTH = "over_length"  # longer than the student is trained on, in its own tokens
    DUPLICATE = "duplicate"  # the same again
    MALFORMED = "malformed"  # no conversation a template can render: roles out of order, a call no schema allows
    SAMPLED_OUT = "sampled_out"  # sound, and left out to keep the share that was asked for
    FAILED_GENERATION = "failed_generation"  # the rollout did not complete


class ApplejackError(Exception):
    """The root of what applejack raises on purpose."""


class UsageError(ApplejackError):
    """Bad input from a person; nothing was changed."""


class GenerationError(ApplejackError):
    """A rollout went wrong; `kind` says how."""

    kind: FailureKind

    def __init__(self, message: str, *, kind: FailureKind) -> None:
        super().__init__(message)
        self.kind = kind


class EndpointError(GenerationError):
    """The model server is unreachable, wedged, erring or serving another model."""


class WorkspaceError(GenerationError):
    """The code to be read cannot be had as pinned."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind=FailureKind.WORKSPACE_UNAVAILABLE)


class RolloutError(GenerationError):
    """The rollout ran into one of its limits or could not be read."""


class CurationError(ApplejackError):
    """A dataset cannot be made from what is there."""


class StudentError(ApplejackError):
    """The student's model cannot be made or loaded."""


class TrainingError(ApplejackError):
    """Preflight or the training process failed."""


class EvaluationError(ApplejackError):
    """Scores cannot be trusted, so none are given."""


class StoreError(ApplejackError):
    """The ledger refused, or could not be reached."""


class StoreUnavailableError(StoreError):
    """The ledger is away, full, or refuses the password; nothing was stored, and the same again may do later."""
