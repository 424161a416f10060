"""What mlx_lm is told: config/lora.yaml, then a run's overrides, checked before anything is loaded."""

import ast
import importlib.util
import re
from pathlib import Path
from typing import cast

import yaml
from pydantic import JsonValue

import config
from config.errors import TrainingError, UsageError
from config.records import JsonObject

DEFAULT_FILE = Path(config.__file__).with_name("lora.yaml")
OWN = frozenset({"model", "data", "train", "adapter_path", "config"})  # the stage sets these itself
WHOLE = ("iters", "batch_size", "max_seq_length", "steps_per_report", "steps_per_eval", "save_every")
LORA = frozenset({"rank", "scale", "dropout", "keys"})
FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # YAML 1.1 takes 1e-4 for text


def load(file: Path = DEFAULT_FILE) -> JsonObject:
    """The keys of a YAML file; UsageError when it cannot be read."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(file)!r} cannot be read as YAML: {error}".replace("\n", " ")) from None
    if not isinstance(content, dict):
        raise UsageError(f"{str(file)!r} must hold keys and values, as config/lora.yaml does")
    return {str(key): _number(value) for key, value in content.items()}


def parse_overrides(pairs: list[str]) -> JsonObject:
    """`["iters=20", "lora_parameters.rank=4"]` as an object; a value is read as YAML."""
    merged: JsonObject = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not (key and sign and text):
            raise UsageError(f"{pair!r} is no key=value, for example iters=200 or lora_parameters.rank=4")
        try:
            value: JsonValue = _number(yaml.safe_load(text))
        except yaml.YAMLError:
            raise UsageError(f"the value of {pair!r} cannot be read") from None
        for part in reversed(key.split(".")[1:]):
            value = {part: value}
        merged = merge(merged, {key.split(".")[0]: value})
    return merged


def merge(base: JsonObject, overrides: JsonObject) -> JsonObject:
    """The overrides win; nested objects such as lora_parameters are merged key by key."""
    merged = dict(base)
    for key, value in overrides.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def resolve(overrides: JsonObject, *, turns: bool, file: Path = DEFAULT_FILE) -> JsonObject:
    """Every hyperparameter of one training; `turns`: the rows are messages, so that their prompts can be masked.

    Raises UsageError naming the key that mlx_lm does not know or whose value cannot be meant.
    """
    return checked(merge({"mask_prompt": turns, **load(file)}, overrides), turns=turns)


def checked(values: JsonObject, *, turns: bool) -> JsonObject:
    """`values` again, or UsageError about the first that is wrong."""
    own = sorted(OWN & values.keys())
    if own:
        raise UsageError(f"{own[0]!r} is set by the train stage itself; take it out of the hyperparameters")
    known = known_keys()
    for key in values:
        if key not in known:
            raise UsageError(f"mlx_lm knows no hyperparameter {key!r}; known are {', '.join(sorted(known - OWN))}")
    for key in WHOLE:
        value = values.get(key, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{key} is {value!r}, it must be a whole number of at least 1")
    rate = values.get("learning_rate", 1e-5)
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < 1:
        raise UsageError(f"learning_rate is {rate!r}, it must be a number between 0 and 1, for example 5e-5")
    lora = values.get("lora_parameters", {})
    if not isinstance(lora, dict) or lora.keys() - LORA:
        raise UsageError(f"lora_parameters is {lora!r}, it may hold {', '.join(sorted(LORA))}")
    if values.get("mask_prompt") and not turns:
        raise UsageError("mask_prompt is true, but mlx_lm masks only rows of messages; curate with --format turns")
    return values


def known_keys() -> frozenset[str]:
    """mlx_lm's own list, read out of its source: importing it would load mlx into this process."""
    spec = importlib.util.find_spec("mlx_lm")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise TrainingError("mlx_lm is not installed on this machine: pip install 'applejack[worker]'")
    tree = ast.parse((Path(folders[0]) / "lora.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "CONFIG_DEFAULTS":
            return frozenset(cast("dict[str, object]", ast.literal_eval(statement.value)))
    raise TrainingError(f"the mlx_lm in {folders[0]!r} is none of the versions this works with; see pyproject.toml")


def _number(value: JsonValue) -> JsonValue:
    return float(value) if isinstance(value, str) and FLOAT.fullmatch(value) else value
