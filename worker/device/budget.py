"""Chooses how a model is served and trained so that it fits the machine, or refuses with the figures.

python -m worker.cli doctor --student MODEL    prints both budgets of a model on this machine
"""

from dataclasses import dataclass
from typing import cast

from config.errors import TrainingError, UsageError
from config.hyperparameters import load
from config.records import JsonObject
from worker.device.machine import Machine
from worker.device.model_memory import Model, TrainingShape

RESERVE = 10**9  # for Python, mlx's kernels and fragments: a server of a tiny model takes 0.3 GB beside its arrays
CONVERSATION_TOKENS = 16_384  # of a job at its limits: 12 answers of 1,024 tokens and as much again of results
MOST_CONVERSATIONS = 63  # far above a worker's jobs; an unused slot of the server costs nothing
CACHED_CONVERSATIONS = 16  # that wait for their next request; a busy worker has more than mlx_lm's default of 10
PROMPTS_AT_ONCE = (4, 2, 1)  # read together; four fill an accelerator
REMEDY = "choose a smaller model or another machine"


@dataclass(frozen=True)
class Serving:
    """How a server of one model runs on one machine."""

    model: Model
    machine: Machine
    conversations: int
    """at once, each of `tokens` tokens"""
    tokens: int
    prompts: int
    """read at once"""
    cache_bytes: int
    """of all KV caches, of conversations in progress and of those that wait for their next request"""

    @property
    def decode_concurrency(self) -> int:
        """Slots of the server: one more than the conversations. In a full batch a health check would wait."""
        return self.conversations + 1

    def line(self) -> str:
        """The budget in one line."""
        return (
            f"{self.model.name}: {_gb(self.model.weights)} of weights, {self.model.kv_bytes_per_token:,} bytes of KV "
            f"cache a token; up to {self.conversations} conversations of {self.tokens:,} tokens at once, "
            f"{_gb(self.cache_bytes)} of KV caches; {self.machine.gives} ({self.machine.source})"
        )


def serving(model: Model, machine: Machine, *, most: int = MOST_CONVERSATIONS) -> Serving:
    """As many conversations as fit beside the weights, up to `most`; UsageError if not even one does."""
    tokens = min(CONVERSATION_TOKENS, model.context)
    each = model.kv_bytes(tokens)
    for prompts in PROMPTS_AT_ONCE:
        reading = model.prefill_bytes(prompts, tokens, fused=machine.backend != "cpu")
        room = machine.limit - RESERVE - model.weights - reading
        conversations = min(most, room // each) if each else most
        if conversations >= prompts or (prompts == PROMPTS_AT_ONCE[-1] and conversations > 0):
            cache = min(room, (conversations + CACHED_CONVERSATIONS) * each)
            return Serving(model, machine, conversations, tokens, min(prompts, conversations), cache)
    raise UsageError(
        f"{model.name} needs {_gb(model.weights)} for its weights, {_gb(each)} for one conversation of {tokens:,} "
        f"tokens and {_gb(reading + RESERVE)} to work, but {machine.gives}: {REMEDY}"
    )


@dataclass(frozen=True)
class Training:
    """A training that fits: the memory it is estimated to need."""

    grad_checkpoint: bool
    needed: int
    """bytes at the peak"""
    warning: str = ""
    """why it may not fit although it was asked for"""


def training(model: Model, machine: Machine, shape: TrainingShape, *, checkpoint: bool | None, fixed: bool) -> Training:
    """Choose gradient checkpointing where `checkpoint` leaves it open.

    `fixed`: the user chose the batch or checkpointing, which is then only warned about. Else TrainingError if the
    longest row does not fit.
    """
    choices = (False, True) if checkpoint is None else (checkpoint,)
    for choice in choices:
        needed = model.training_bytes(shape, checkpoint=choice) + RESERVE
        if needed <= machine.limit:
            return Training(choice, needed)
    figures = (
        f"training {model.name} on rows of {shape.tokens:,} tokens, {shape.batch} at once, needs about {_gb(needed)}"
        f"{' with grad_checkpoint' if choice else ''}, but {machine.gives}"
    )
    if fixed:
        return Training(choice, needed, figures)
    raise TrainingError(
        f"{figures}: set num_layers lower, curate with a lower --max-seq-length, or {REMEDY} "
        "(an explicit grad_checkpoint=true tries it anyway)"
    )


def budget_lines(model: Model, machine: Machine) -> list[str]:
    """What serving and training take on this machine, with the defaults of config/lora.yaml; or why they do not fit."""
    try:
        served = f"serving {serving(model, machine).line()}"
    except UsageError as error:
        served = f"serving does not fit: {error}"
    shape = default_shape()
    try:
        fit = training(model, machine, shape, checkpoint=None, fixed=False)
    except TrainingError as error:
        return [served, f"training does not fit: {error}"]
    return [
        served,
        f"training {model.name}: about {_gb(fit.needed)} {'with' if fit.grad_checkpoint else 'without'} "
        f"grad_checkpoint, {shape.layers} layers, batch {shape.batch}, rows of {shape.tokens:,} tokens; "
        f"{machine.gives} ({machine.source})",
    ]


def default_shape() -> TrainingShape:
    """A training with config/lora.yaml, and rows as long as it allows."""
    values = load()
    tokens, batch, layers = (cast("int", values[name]) for name in ("max_seq_length", "batch_size", "num_layers"))
    return TrainingShape(tokens, batch, layers, cast("int", cast("JsonObject", values["lora_parameters"])["rank"]))


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
