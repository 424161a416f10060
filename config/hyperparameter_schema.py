"""Names, types and ranges of the hyperparameters of mlx_lm; config/hyperparameters.py reads and checks them.

They are listed here because mlx_lm is not installed on producers. The defaults, which are those of mlx_lm and mlx, are
not passed to them. `epochs` is the only key that mlx_lm does not have.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from config.did_you_mean import did_you_mean
from config.records import Record

Count = Annotated[int, Field(ge=1)]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]

UNUSED: Final = {  # options of mlx_lm without an effect here, and the reason
    **dict.fromkeys(("model", "data", "train", "adapter_path", "config"), "the train stage sets it itself"),
    **dict.fromkeys(("report_to", "project_name"), "the train stage does not report to other services"),
    "trust_remote_code": "the train stage never runs code that comes with a model",
    "clear_cache_threshold": "mlx_lm does not pass it to its training loop",
}
OWN: Final = ("epochs",)  # not passed to mlx_lm


class Part(Record):
    """Base with strict types: the text "False" is not a boolean, and True is not a number."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _require_known(cls, values: object) -> object:
        names = tuple(cls.model_fields)
        for key in values if isinstance(values, dict) else ():
            if key not in names:
                hint = did_you_mean(str(key), names)
                raise PydanticCustomError("unknown", "unknown key", {"key": str(key), "hint": hint})
        return values


class LoraParameters(Part):
    """Parameters of the LoRA layers. mlx_lm requires the first three."""

    rank: Count
    scale: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)
    keys: Annotated[list[str], Field(min_length=1)] | None = None
    """Modules to adapt in each layer, such as self_attn.q_proj; None adapts all."""


class LrSchedule(Part):
    """Learning rate schedule, which replaces learning_rate; see mlx.optimizers.schedulers."""

    name: Literal["cosine_decay", "exponential_decay", "linear_schedule", "step_decay"]
    arguments: list[float] = Field(min_length=1)
    warmup: int = Field(0, ge=0)
    warmup_init: float = Field(0.0, ge=0)


class Adam(Part):
    """Arguments of mlx.optimizers.Adam. The defaults here and below are those of mlx."""

    betas: Pair = Field([0.9, 0.999])
    eps: float = 1e-8
    bias_correction: bool = False


class AdamW(Adam):
    """Arguments of mlx.optimizers.AdamW."""

    weight_decay: float = 0.01


class Muon(Part):
    """Arguments of mlx.optimizers.Muon."""

    momentum: float = 0.95
    weight_decay: float = 0.01
    nesterov: bool = True
    ns_steps: Count = 5


class Sgd(Part):
    """Arguments of mlx.optimizers.SGD."""

    momentum: float = 0.0
    weight_decay: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False


class Adafactor(Part):
    """Arguments of mlx.optimizers.Adafactor."""

    eps: Pair = Field([1e-30, 1e-3])
    clip_threshold: float = 1.0
    decay_rate: float = -0.8
    beta_1: float | None = None
    weight_decay: float = 0.0
    scale_parameter: bool = True
    relative_step: bool = True
    warmup_init: bool = False


class OptimizerConfig(Part):
    """Arguments of each optimizer; mlx_lm uses those of the selected one."""

    adam: Adam = Adam()
    adamw: AdamW = AdamW()
    muon: Muon = Muon()
    sgd: Sgd = Sgd()
    adafactor: Adafactor = Adafactor()


class Hyperparameters(Part):
    """mlx_lm's CONFIG_DEFAULTS without UNUSED, and OWN; tests/integration/test_hyperparameters.py compares them."""

    fine_tune_type: Literal["lora", "dora", "full"] = "lora"
    optimizer: Literal["adam", "adamw", "muon", "sgd", "adafactor"] = "adam"
    optimizer_config: OptimizerConfig = OptimizerConfig()
    num_layers: int = 16
    lora_parameters: LoraParameters = LoraParameters(rank=8, scale=20.0, dropout=0.0)
    learning_rate: float = Field(1e-5, gt=0, lt=1)
    lr_schedule: LrSchedule | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the training rows; they determine iters. Only where iters is not set."""
    iters: Count = 1
    """Required unless there are epochs."""
    batch_size: Count = 4
    grad_checkpoint: bool = False
    grad_accumulation_steps: Count = 1
    max_seq_length: Count
    mask_prompt: bool = False
    seed: int = Field(0, ge=0, lt=2**32)  # numpy's range
    val_batches: int = 25
    steps_per_eval: Count = 200
    steps_per_report: Count = 10
    save_every: Count = 100
    resume_adapter_file: str | None = None
    test: bool = False
    test_batches: int = 500

    @field_validator("num_layers", "val_batches", "test_batches")
    @classmethod
    def _require_count_or_all(cls, value: int) -> int:
        if value < 1 and value != -1:
            raise PydanticCustomError("count_or_all", "it must be at least 1, or -1 for all")
        return value
