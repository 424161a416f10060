"""Hyperparameters of the train stage: config/lora.yaml with a run's overrides, checked before anything is queued."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import yaml
from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from config.errors import UsageError
from config.records import JsonObject

if TYPE_CHECKING:
    from config.hyperparameter_schema import Hyperparameters

DEFAULT_FILE = Path(__file__).with_name("lora.yaml")
OVERRIDE_HELP = "Override of config/lora.yaml, such as epochs=2, iters=200 or lora_parameters.rank=4; repeat for more."
SHOWN = 80  # characters of an offending value in a message

EXPLAINED: Final = {  # by pydantic's error type; other types keep pydantic's message
    "bool_type": "it must be true or false",
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "string_type": "it must be text",
    "model_type": "it must hold keys and values",
    "greater_than_equal": "it must be at least {ge}",
    "greater_than": "it must be greater than {gt}",
    "less_than": "it must be less than {lt}",
}


class Loader(yaml.SafeLoader):
    """YAML loader that reads 1e-4 as a number, as mlx_lm does. In YAML 1.1 it is text."""


Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), [*"-+0123456789"])


def load(file: Path = DEFAULT_FILE) -> JsonObject:
    """Read a YAML file of keys and values; raises UsageError if it cannot be read."""
    try:
        content = _read(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(file)!r} cannot be read as YAML: {error}".replace("\n", " ")) from None
    if not isinstance(content, dict):
        raise UsageError(f"{str(file)!r} must hold keys and values, as config/lora.yaml does")
    return {str(key): value for key, value in content.items()}


def parse_overrides(pairs: list[str]) -> JsonObject:
    """Parse `["iters=20", "lora_parameters.rank=4"]` into an object. Values are YAML; `resolve` checks them."""
    merged: JsonObject = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        if not (key and text):
            raise UsageError(f"{_shorten(pair)} is not KEY=VALUE, such as iters=200 or lora_parameters.rank=4")
        try:
            value = _read(text)
        except ValueError:
            raise UsageError(f"the value of {_shorten(pair)} cannot be read as YAML") from None
        first, *rest = key.split(".")
        for name in reversed(rest):
            value = {name: value}
        merged = merge(merged, {first: value})
    return merged


def merge(base: JsonObject, overrides: JsonObject) -> JsonObject:
    """Apply overrides to `base`; nested objects such as lora_parameters are merged key by key."""
    merged = dict(base)
    for key, value in overrides.items():
        current = merged.get(key)
        merged[key] = merge(current, value) if isinstance(current, dict) and isinstance(value, dict) else value
    return merged


def resolve(overrides: JsonObject, *, turns: bool, file: Path = DEFAULT_FILE) -> JsonObject:
    """All hyperparameters of one training. `turns`: the rows are messages, so their prompts can be masked.

    Holds either `iters` or `epochs`: an override replaces the other one of the file; within the file `iters` wins.
    Raises UsageError for the first key or value that is invalid or has no effect.
    """
    from config.hyperparameter_schema import UNUSED, Hyperparameters  # 40 ms: not at the start of every command

    values = merge({"mask_prompt": turns, **load(file)}, overrides)
    for key in values:
        if key in UNUSED:
            raise UsageError(f"{key!r} has no effect: {UNUSED[key]}; leave it out")
    try:
        checked = Hyperparameters.model_validate(values)
    except ValidationError as error:
        raise UsageError(_explain(error.errors()[0])) from None
    _require_effect(overrides, checked)
    if checked.mask_prompt and not turns:
        raise UsageError("mask_prompt is true, but mlx_lm masks only rows of messages; curate with --format turns")
    if "iters" in overrides or ("iters" in values and "epochs" not in overrides):
        values.pop("epochs", None)
    elif values.get("epochs") is None:
        raise UsageError("epochs is missing, and so is iters; config/lora.yaml shows it")
    else:
        values.pop("iters", None)
    return values


def _require_effect(overrides: JsonObject, checked: "Hyperparameters") -> None:
    """Raise UsageError for an override that has no effect because of another hyperparameter."""
    optimizers = cast("JsonObject", overrides.get("optimizer_config", {}))
    rules = (
        ("learning_rate", checked.lr_schedule is not None, "with lr_schedule, which replaces it"),
        ("lora_parameters", checked.fine_tune_type == "full", "with fine_tune_type=full"),
        ("test_batches", not checked.test, "without test=true"),
        ("epochs", "iters" in overrides, "with iters, which fixes the length"),
    )
    useless = [(key, why) for key, applies, why in rules if applies and key in overrides]
    useless += [
        (f"optimizer_config.{name}", f"with optimizer={checked.optimizer}")
        for name in optimizers
        if name != checked.optimizer
    ]
    for key, why in useless:
        raise UsageError(f"{key!r} has no effect {why}; leave it out")


def _explain(fault: ErrorDetails) -> str:
    """Describe a validation error in one line."""
    where, context = ".".join(str(part) for part in fault["loc"]), fault.get("ctx", {})
    if fault["type"] == "unknown":
        path = f"{where}.{context['key']}" if where else context["key"]
        return f"mlx_lm has no hyperparameter {path!r}{context['hint']}"
    if fault["type"] == "missing":
        return f"{where} is missing; config/lora.yaml shows it"
    known = EXPLAINED.get(fault["type"])
    return f"{where} is {_shorten(fault['input'])}: {known.format(**context) if known else fault['msg']}"


def _shorten(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _read(text: str) -> JsonValue:
    """Parse YAML; raises ValueError if the text is not YAML."""
    try:
        return cast("JsonValue", yaml.load(text, Loader))  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, LookupError, AttributeError, RecursionError) as error:  # `!!int ''` is a LookupError
        raise ValueError(str(error)) from None
