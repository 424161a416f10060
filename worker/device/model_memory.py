"""How much memory a model takes, from its files and its config.json: weights, KV cache, a training step.

benchmarks/memory_budget.py compares these estimates with what mlx allocates.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from config.errors import UsageError
from config.records import JsonObject
from worker.models.resolve import hub_name

KV_STEP = 256  # mlx_lm's caches grow by so many tokens at a time
ROW_STEP = 32  # mlx_lm pads a batch to a multiple of this, plus one
FLOAT = 4  # bytes: LoRA's own weights and products are float32
PREFILL_TOKENS = 2048  # of one prompt at a time: mlx_lm's --prefill-step-size


@dataclass(frozen=True)
class TrainingShape:
    """What determines the memory of a training step besides the model."""

    tokens: int
    """of the longest row"""
    batch: int
    layers: int
    """that are trained, from the last"""
    rank: int
    full: bool = False
    """fine_tune_type=full: the layers' own weights are trained"""


@dataclass(frozen=True)
class Model:
    """A model as far as memory is concerned. Widths are numbers per token."""

    name: str
    weights: int
    """bytes"""
    value_bytes: int
    """of one activation: 4 for float32, else 2"""
    vocabulary: int
    context: int
    hidden: int
    heads: int
    kv_heads: int
    head_size: int
    inner: int
    """width of the MLP that one token passes; of a mixture of experts the active ones together"""
    experts: int
    """of a layer; 1 without a mixture"""
    active: int
    """experts that one token passes"""
    windows: tuple[int | None, ...]
    """one entry a layer: tokens that its KV cache keeps at most; None for all, 0 for a layer without a KV cache"""

    @classmethod
    def of(cls, directory: Path) -> Self:
        """A model on this machine; UsageError if its config.json cannot be read."""
        file = directory / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"{str(directory)!r} is not a model directory: it has no config.json") from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{str(file)!r} cannot be read: {error}") from None
        weights = sum(part.stat().st_size for part in directory.glob("model*.safetensors"))  # as mlx_lm loads them
        model, revision = hub_name(directory)
        name = model if revision else directory.name
        return cls.from_config(name, config if isinstance(config, dict) else {}, weights=weights)

    @classmethod
    def from_config(cls, name: str, config: JsonObject, *, weights: int | None = None) -> Self:
        """A model by the figures of its config.json. Without `weights` they are estimated from these."""
        nested = config.get("text_config")
        text = {**config, **nested} if isinstance(nested, dict) else config

        def number(key: str, otherwise: int) -> int:
            value = text.get(key)
            return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else otherwise

        hidden, heads = number("hidden_size", 4096), number("num_attention_heads", 32)
        experts = number("num_experts", number("num_local_experts", number("n_routed_experts", 1)))
        active = number("num_experts_per_tok", 1) if experts > 1 else 1
        inner = number("intermediate_size", 4 * hidden)
        if experts > 1:
            inner = active * number("moe_intermediate_size", inner)
        model = cls(
            name=name,
            weights=weights or 0,
            value_bytes=4 if text.get("torch_dtype", text.get("dtype")) == "float32" else 2,
            vocabulary=number("vocab_size", 32_000),
            context=number("max_position_embeddings", 32_768),
            hidden=hidden,
            heads=heads,
            kv_heads=number("num_key_value_heads", heads),
            head_size=number("head_dim", hidden // heads),
            inner=inner,
            experts=experts,
            active=active,
            windows=_windows(text, number("num_hidden_layers", 32)),
        )
        if weights is not None:
            return model
        return cls(**{**model.__dict__, "weights": _estimated_weights(model, text)})

    @property
    def attention(self) -> int:
        """Width of the queries; keys and values are `kv_heads` of the same heads."""
        return self.heads * self.head_size

    @property
    def keys(self) -> int:
        """Width of the keys, and of the values."""
        return self.kv_heads * self.head_size

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one more token adds to the KV cache of a short conversation: a key and a value in each layer."""
        return sum(2 * self.keys * self.value_bytes for window in self.windows if window != 0)

    def kv_bytes(self, tokens: int) -> int:
        """Bytes of the KV cache of one conversation; layers with a sliding window keep only that."""
        grown = -(-tokens // KV_STEP) * KV_STEP
        kept = sum(grown if window is None else min(grown, window) for window in self.windows)
        return 2 * self.keys * self.value_bytes * kept

    def prefill_bytes(self, prompts: int, tokens: int, *, fused: bool) -> int:
        """Bytes beside weights and KV cache while a chunk of so many prompts is read, of `tokens` each.

        One layer at a time: input, residual and norm (3 x hidden), queries, keys and values, the three products of the
        MLP. An accelerator computes attention without storing its scores (`fused`); mlx's CPU backend stores them.
        """
        chunk = prompts * min(tokens, PREFILL_TOKENS)
        layer = 3 * self.hidden + 2 * self.attention + 2 * self.keys + 3 * self.inner
        scores = 0 if fused else self.heads * tokens
        return chunk * (layer + scores) * self.value_bytes

    def training_bytes(self, shape: TrainingShape, *, checkpoint: bool) -> int:
        """Bytes at the peak of a training step of mlx_lm: weights, adapter, activations.

        - The adapter is stored four times: weights, gradient and the two moments of Adam.
        - Each trained layer keeps its activations until the backward pass, `kept`: the inputs of its matrices as
          float32, which LoRA multiplies with, the MLP's products, and the attention scores. With gradient checkpointing
          it keeps only its input, and one layer at a time is computed again.
        - On top of these come either the logits, five times (logits, their softmax, gradients), or the buffers of the
          backward pass through one layer, `passing`, whichever is larger.
        The factors are fitted to measurements of mlx 0.32 and mlx_lm 0.32 on a CPU: benchmarks/memory_budget.py. Metal
        stores attention scores in training too; CUDA need not.
        """
        rows = shape.batch * (-(-shape.tokens // ROW_STEP) * ROW_STEP)
        layers = min(shape.layers, len(self.windows)) if shape.layers > 0 else len(self.windows)
        scores = rows * (rows // shape.batch) * self.heads * self.value_bytes
        inputs = (5 + self.active) * self.hidden + 3 * self.attention + 4 * self.keys
        kept = rows * (inputs * FLOAT + self.inner * (3 * self.value_bytes + FLOAT)) + scores
        passing = rows * (8 * self.hidden * FLOAT + self.inner * (2.5 * self.value_bytes + 7.5 * FLOAT)) + 2 * scores
        logits = 5 * rows * self.vocabulary * self.value_bytes
        stored = layers * rows * self.hidden * self.value_bytes + kept if checkpoint else layers * kept
        return self.weights + 4 * self.trained_bytes(layers, shape) + stored + max(logits, int(passing))

    def trained_bytes(self, layers: int, shape: TrainingShape) -> int:
        """Bytes of the trained weights: LoRA has rank x (in + out) numbers for each matrix of a layer."""
        sides = 4 * self.hidden + 2 * self.attention + 2 * self.keys
        experts = 3 * self.experts * (self.hidden + self.inner // self.active)
        if shape.full:
            return layers * self.matrices * self.value_bytes
        return layers * shape.rank * (sides + experts) * FLOAT

    @property
    def matrices(self) -> int:
        """Numbers in the attention and MLP matrices of one layer, of every expert, and its router."""
        router = self.hidden * self.experts if self.experts > 1 else 0
        mlp = 3 * self.hidden * (self.inner // self.active) * self.experts
        return 2 * self.hidden * (self.attention + self.keys) + mlp + router


def _windows(config: JsonObject, layers: int) -> tuple[int | None, ...]:
    """mlx_lm has caches with a window for the layers that `layer_types` calls sliding; a linear layer has none."""
    kinds = config.get("layer_types")
    if not isinstance(kinds, list) or len(kinds) != layers:
        return (None,) * layers
    window = config.get("sliding_window")
    sliding = window if isinstance(window, int) else None
    return tuple({"sliding_attention": sliding, "linear_attention": 0}.get(str(kind)) for kind in kinds)


def _estimated_weights(model: Model, config: JsonObject) -> int:
    """Bytes of the weights: embedding and head, and per layer four attention and three MLP matrices, of every expert.

    A quantised weight takes its bits and its share of a scale and a bias of 16 bits for each group: 4.5 bits for 4 in
    groups of 64. Norms and biases are less than a thousandth and left out.
    """
    tables = 1 if config.get("tie_word_embeddings") else 2
    numbers = tables * model.vocabulary * model.hidden + len(model.windows) * model.matrices
    quantization = config.get("quantization")
    if not isinstance(quantization, dict):
        return numbers * model.value_bytes
    bits, group = cast("int", quantization.get("bits", 4)), cast("int", quantization.get("group_size", 64))
    return int(numbers * (bits + 32 / group) / 8)
