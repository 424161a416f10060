"""`submit --lora` and `train --set` take the same text, and their list is the one of the installed mlx_lm."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.hyperparameter_schema import OWN, UNUSED, Hyperparameters, OptimizerConfig
from tests.support.training_set import make_training_set

PRODUCER = [sys.executable, "-P", "-c", "from producer.cli import main; main()"]
SUBMIT = [*PRODUCER, "submit", "p.jsonl", "--run", "r", "--student", "empty", "--format", "turns"]
TRAIN = [*PRODUCER, "train", "dataset", "--student", "empty", "--out", "adapter"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Holds a prompts file, a dataset and an empty directory as the student, but no stack."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "requires_tools": false}\n')
    make_training_set(tmp_path / "dataset", train=6, valid=6)
    return tmp_path


def error_line(command: list[str], pairs: list[str], folder: Path) -> str:
    """The one line on stderr of a command that is refused with exit code 2."""
    option = "--lora" if "submit" in command else "--set"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APPLEJACK_")}
    done = subprocess.run(
        [*command, *(word for pair in pairs for word in (option, pair))],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["dataset", "empty", "p.jsonl"]  # nothing was made
    return done.stderr


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("iters", "'iters' is not KEY=VALUE"),
        ("iter=6", "did you mean 'iters'?"),
        ("lora_parameters.rang=8", "did you mean 'rank'?"),
        ("grad_checkpoint=maybe", "grad_checkpoint is 'maybe': it must be true or false"),
        ("iters=many", "iters is 'many': it must be a whole number"),
        ("batch_size=0", "batch_size is 0: it must be at least 1"),
        ("report_to=wandb", "'report_to' has no effect"),
    ],
)
def test_both_commands_refuse_an_override_with_the_same_line(folder: Path, pair: str, message: str) -> None:
    submitted = error_line(SUBMIT, [pair], folder)
    assert message in submitted
    assert error_line(TRAIN, [pair], folder) == submitted


def test_both_commands_take_the_same_overrides(folder: Path) -> None:
    pairs = ["lora_parameters.rank=4", "grad_checkpoint=False", "learning_rate=1e-4", "lr_schedule=null"]
    assert "no stack is running in" in error_line(SUBMIT, pairs, folder)  # as far as it gets without one
    assert "has no config.json" in error_line(TRAIN, pairs, folder)  # the student


def test_submit_refuses_to_mask_rows_of_text_before_anything_is_queued(folder: Path) -> None:
    """The train stage would refuse it hours later."""
    command = ["text" if word == "turns" else word for word in SUBMIT]
    assert "--format turns" in error_line(command, ["mask_prompt=true"], folder)


def test_the_hyperparameters_are_those_of_the_installed_mlx_lm() -> None:
    from mlx_lm.lora import CONFIG_DEFAULTS  # imported late: it takes seconds

    assert {*Hyperparameters.model_fields, *UNUSED} == {*CONFIG_DEFAULTS, *OWN}
    assert not UNUSED.keys() & Hyperparameters.model_fields.keys()


@pytest.mark.parametrize("name", OptimizerConfig.model_fields)
def test_the_arguments_of_an_optimizer_are_those_of_the_installed_mlx(name: str) -> None:
    from mlx import optimizers

    optimizer = next(value for key, value in vars(optimizers).items() if key.lower() == name)
    model = OptimizerConfig.model_fields[name].annotation
    assert model is not None
    assert set(model.model_fields) == set(inspect.signature(optimizer).parameters) - {"learning_rate"}
