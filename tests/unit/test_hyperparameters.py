"""Hyperparameters: the annotated file, overrides as text, and the values that are refused."""

from pathlib import Path

import pytest

from config import hyperparameters
from config.errors import UsageError
from config.records import JsonObject
from producer.demo import LORA


def test_resolve_of_the_annotated_file_masks_prompts_exactly_when_rows_are_turns() -> None:
    assert hyperparameters.resolve({}, turns=True)["mask_prompt"] is True
    assert hyperparameters.resolve({}, turns=False)["mask_prompt"] is False


def test_resolve_reads_every_number_of_the_annotated_file_as_a_number() -> None:
    values = hyperparameters.resolve({}, turns=True)
    assert values["learning_rate"] == 1e-4
    assert values["val_batches"] == -1
    assert values["epochs"] == 3


def test_resolve_holds_either_iterations_or_epochs(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("{iters: 200, epochs: 3, max_seq_length: 64}")  # lora.yaml with a line for iters added
    cases: list[tuple[JsonObject, Path, str]] = [
        ({}, hyperparameters.DEFAULT_FILE, "epochs"),
        ({"iters": 7}, hyperparameters.DEFAULT_FILE, "iters"),
        ({}, file, "iters"),
        ({"epochs": 2}, file, "epochs"),
    ]
    for overrides, source, key in cases:
        values = hyperparameters.resolve(overrides, turns=True, file=source)
        assert values.keys() & {"iters", "epochs"} == {key}


def test_overrides_win_and_leave_their_neighbours_alone() -> None:
    values = hyperparameters.resolve({"iters": 7, "lora_parameters": {"rank": 2}}, turns=True)
    assert values["iters"] == 7
    assert values["lora_parameters"] == {"rank": 2, "scale": 20.0, "dropout": 0.0}


def test_resolve_takes_the_overrides_of_the_demo() -> None:
    assert hyperparameters.resolve(LORA, turns=False)["optimizer"] == "adam"


PAIRS = [
    (["iters=20"], {"iters": 20}),
    (["learning_rate=2e-4"], {"learning_rate": 2e-4}),  # YAML 1.1 alone would make this a text
    (["optimizer_config={adamw: {eps: 1e-6}}"], {"optimizer_config": {"adamw": {"eps": 1e-6}}}),  # and this
    (["grad_checkpoint=false"], {"grad_checkpoint": False}),
    (["grad_checkpoint=False", "test=True"], {"grad_checkpoint": False, "test": True}),  # as Python writes them
    (["lr_schedule=null"], {"lr_schedule": None}),
    (["lora_parameters.rank=4", "lora_parameters.scale=10"], {"lora_parameters": {"rank": 4, "scale": 10}}),
    (["lora_parameters.keys=[self_attn.q_proj]"], {"lora_parameters": {"keys": ["self_attn.q_proj"]}}),
    (["optimizer_config.adamw.weight_decay=0"], {"optimizer_config": {"adamw": {"weight_decay": 0}}}),
    (["resume_adapter_file=runs/a=b.safetensors"], {"resume_adapter_file": "runs/a=b.safetensors"}),
    (["iters=1", "iters=2"], {"iters": 2}),  # the last wins
]


@pytest.mark.parametrize(("pairs", "expected"), PAIRS)
def test_parse_overrides(pairs: list[str], expected: JsonObject) -> None:
    parsed = hyperparameters.parse_overrides(pairs)
    assert parsed == expected
    hyperparameters.resolve(parsed, turns=True)


@pytest.mark.parametrize("pair", ["iters", "=3", "iters=", "iters=[1", "iters=2024-99-99", "iters=!!int x"])
def test_parse_overrides_refuses_what_is_not_a_pair(pair: str) -> None:
    with pytest.raises(UsageError, match=r"iters|=3"):
        hyperparameters.parse_overrides([pair])


WRONG: list[tuple[str, str]] = [
    # unknown: mlx_lm itself would use its default without a word
    ("learning_rat=1e-4", "no hyperparameter 'learning_rat'; did you mean 'learning_rate'"),
    ("lora_parameters.rang=8", "no hyperparameter 'lora_parameters.rang'; did you mean 'rank'"),
    ("lora_parameters={1: 2}", r"no hyperparameter 'lora_parameters.1'; expected one of"),
    ("optimizer_config.adamw.weight_decy=1", "'optimizer_config.adamw.weight_decy'; did you mean 'weight_decay'"),
    ("optimizer_config.adamw.momentum=0.9", "no hyperparameter 'optimizer_config.adamw.momentum'"),  # it is SGD's
    # without effect
    ("model=elsewhere", "'model' has no effect: the train stage sets it"),
    ("adapter_path=elsewhere", "'adapter_path' has no effect: the train stage sets it"),
    ("report_to=wandb", "'report_to' has no effect: the train stage does not"),
    ("project_name=x", "'project_name' has no effect: the train stage does not"),
    ("trust_remote_code=true", "'trust_remote_code' has no effect: the train stage never"),
    ("clear_cache_threshold=100", "'clear_cache_threshold' has no effect: mlx_lm does not"),
    ("test_batches=3", "'test_batches' has no effect without test=true"),
    ("optimizer_config.sgd.momentum=0.9", "'optimizer_config.sgd' has no effect with optimizer=adamw"),
    # another type than mlx_lm needs
    ("grad_checkpoint=maybe", "grad_checkpoint is 'maybe'"),
    ("grad_checkpoint='False'", "grad_checkpoint is 'False'"),  # a quoted text, which is true to Python
    ("grad_checkpoint=0", "grad_checkpoint is 0"),
    ("mask_prompt=[]", r"mask_prompt is \[\]"),
    ("iters=many", "iters is 'many'"),
    ("iters=true", "iters is True"),  # a bool is an int to Python
    ("iters=null", "iters is None"),
    ("iters.more=3", r"iters is \{'more': 3\}"),
    ("batch_size=2.5", "batch_size is 2.5"),
    ("max_seq_length='2048'", "max_seq_length is '2048'"),
    ("learning_rate=fast", "learning_rate is 'fast'"),
    ("lora_parameters=8", "lora_parameters is 8"),
    ("lora_parameters=null", "lora_parameters is None"),
    ("optimizer_config.adamw.betas=0.9", "optimizer_config.adamw.betas is 0.9"),
    ("lora_parameters.rank=big", "lora_parameters.rank is 'big'"),
    ("seed=abc", "seed is 'abc'"),
    ("resume_adapter_file=2024-01-01", "resume_adapter_file is "),  # YAML makes it a date
    ("optimizer=adamm", "optimizer is 'adamm'"),
    ("fine_tune_type=qlora", "fine_tune_type is 'qlora'.*'lora', 'dora' or 'full'"),
    ("lr_schedule={name: cosine}", "lr_schedule.name is 'cosine'"),
    ("lr_schedule.name=cosine_decay", "lr_schedule.arguments is missing"),
    # out of range
    ("epochs=0", "epochs is 0"),
    ("iters=0", "iters is 0"),
    ("learning_rate=-1e-4", "learning_rate is -0.0001"),
    ("learning_rate=.nan", "learning_rate is nan"),
    ("lora_parameters.rank=0", "lora_parameters.rank is 0"),
    ("lora_parameters.dropout=1", "lora_parameters.dropout is 1"),  # mlx raises once the model is loaded
    ("lora_parameters.scale=.inf", "lora_parameters.scale is inf"),
    ("grad_accumulation_steps=0", "grad_accumulation_steps is 0"),
    ("num_layers=0", "num_layers is 0: it must be at least 1, or -1 for all"),  # mlx_lm would train all of them
    ("val_batches=0", "val_batches is 0: it must be at least 1, or -1 for all"),  # the loss of no batch is NaN
    ("seed=-1", "seed is -1"),
]


@pytest.mark.parametrize(("pair", "message"), WRONG)
def test_resolve_refuses_in_one_short_line(pair: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        hyperparameters.resolve(hyperparameters.parse_overrides([pair]), turns=True)
    assert "\n" not in str(caught.value)


def test_resolve_shortens_a_long_value() -> None:
    with pytest.raises(UsageError, match=r"^iters is 'x{79}\.\.\.: ") as caught:
        hyperparameters.resolve({"iters": "x" * 5000}, turns=True)
    assert len(str(caught.value)) < 200
    with pytest.raises(UsageError) as caught:
        hyperparameters.parse_overrides(["iters=" + "[" * 5000])
    assert len(str(caught.value)) < 200


UNUSED_TOGETHER: list[tuple[list[str], str]] = [
    (
        ["learning_rate=1e-4", "lr_schedule={name: cosine_decay, arguments: [1e-4, 600]}"],
        "'learning_rate' has no effect with lr_schedule",
    ),
    (["fine_tune_type=full", "lora_parameters.rank=4"], "'lora_parameters' has no effect with fine_tune_type=full"),
    (["iters=200", "epochs=2"], "'epochs' has no effect with iters"),
]


@pytest.mark.parametrize(("pairs", "message"), UNUSED_TOGETHER)
def test_resolve_refuses_an_override_that_another_makes_useless(pairs: list[str], message: str) -> None:
    for pair in pairs:  # each does something by itself
        hyperparameters.resolve(hyperparameters.parse_overrides([pair]), turns=True)
    with pytest.raises(UsageError, match=message):
        hyperparameters.resolve(hyperparameters.parse_overrides(pairs), turns=True)


def test_resolve_refuses_to_mask_rows_of_text() -> None:
    with pytest.raises(UsageError, match="--format turns"):
        hyperparameters.resolve({"mask_prompt": True}, turns=False)


@pytest.mark.parametrize("content", ["- a list", "{broken", "\x00"])
def test_load_refuses_a_file_without_keys(tmp_path: Path, content: str) -> None:
    file = tmp_path / "lora.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"lora\.yaml"):
        hyperparameters.load(file)


def test_load_refuses_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.yaml"):
        hyperparameters.load(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("content", "missing"),
    [
        ("max_seq_length: 64", "epochs"),  # or iters: the length of the training
        ("iters: 3", "max_seq_length"),  # the rows are checked against it
        ("{iters: 3, max_seq_length: 64, lora_parameters: {rank: 4}}", "lora_parameters.scale"),  # mlx_lm's KeyError
    ],
)
def test_resolve_names_what_a_file_lacks(tmp_path: Path, content: str, missing: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(content)
    with pytest.raises(UsageError, match=f"^{missing} is missing"):
        hyperparameters.resolve({}, turns=True, file=file)
