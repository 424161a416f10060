"""The headers and signatures of messages as applejack sends them. Celery reads both without any check.

An exception that Celery raises on them after a task's body is lost in its thread pool: the message is never
acknowledged, and the worker has one slot less until it restarts.
"""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from config.records import RUN_ID
from config.topology import CURATE, EVALUATE, ROUTES, TRAIN

MOST: Final = 1_000_000  # retries of a job, jobs of a run

Id = Annotated[str, Field(max_length=200)]
Count = Annotated[int, Field(ge=0, le=MOST)]


def _is_moment(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Moment = Annotated[str, AfterValidator(_is_moment)]


class Shape(BaseModel):
    """A part of a message; nothing in it is converted, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Headers(Shape):
    """The headers that Celery is given; others are dropped, for it makes attributes of the task's context of them."""

    model_config = ConfigDict(extra="ignore")

    task: Literal["generate", "curate", "train", "evaluate"]
    id: Id
    lang: str | None = None
    root_id: Id | None = None
    parent_id: Id | None = None
    group: Id | None = None
    group_index: Count | None = None
    retries: Count | None = None
    eta: Moment | None = None
    expires: Moment | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    ignore_result: bool | None = None
    redelivered: bool | None = None


class Options(Shape):
    """How a stage is sent."""

    queue: str | None = None
    task_id: Id | None = None
    reply_to: Id | None = None
    group_id: Id | None = None
    root_id: Id | None = None
    parent_id: Id | None = None


class Nothing(Shape):
    """An empty object."""


class StageSignature(Shape):
    """A stage that Celery sends when the task, or all tasks of the chord, have ended."""

    task: Literal["curate", "train", "evaluate"]
    args: list[Annotated[str, Field(pattern=RUN_ID)]] = Field(min_length=1, max_length=1)
    kwargs: Nothing
    options: Options
    subtask_type: None
    immutable: Literal[True]

    @model_validator(mode="after")
    def _goes_into_its_queue(self) -> Self:
        if self.options.queue != ROUTES[self.task]["queue"]:
            raise ValueError(f"stage {self.task!r} does not belong into the queue {self.options.queue!r}")
        return self


class Stages(Shape):
    """Several stages, one after the other."""

    tasks: list[StageSignature] = Field(min_length=1, max_length=len((CURATE, TRAIN, EVALUATE)))


class ChainSignature(Shape):
    """The body of a chord with several stages."""

    task: Literal["celery.chain"]
    args: list[None] = Field(max_length=0)
    kwargs: Stages
    options: Options
    subtask_type: Literal["chain"]
    immutable: bool


class Embed(Shape):
    """What is to be sent after the task."""

    callbacks: None = None
    errbacks: None = None
    chain: list[StageSignature] | None = Field(default=None, max_length=len((TRAIN, EVALUATE)))
    chord: StageSignature | ChainSignature | None = None
