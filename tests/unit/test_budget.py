"""What fits which machine: served, trained, or refused with the figures. Hosts and models are planted."""

import dataclasses
from pathlib import Path

import pytest

from benchmarks import machines as table
from config.endpoint.health import HealthCheck
from config.errors import TrainingError, UsageError
from tests.support.tiny_student import make_tiny_student
from worker.device.budget import RESERVE, budget_lines, serving, training
from worker.device.machine import Machine
from worker.device.model_memory import Model, TrainingShape
from worker.endpoint.device_turn import DeviceTurn
from worker.endpoint.served_model import ServedModel

HOSTS = table.machines()
MODELS = {model.name.split("-Instruct")[0].removeprefix("Qwen"): model for model in table.models()}
TEACHER, STUDENT = MODELS["3-Coder-30B-A3B"], MODELS["2.5-Coder-7B"]
SHAPE = TrainingShape(tokens=2048, batch=1, layers=16, rank=8)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_is_served_fits_the_machine(host: str, model: Model) -> None:
    machine = HOSTS[host]
    try:
        fit = serving(model, machine)
    except UsageError:
        assert model.weights + model.kv_bytes(16_384) + RESERVE > 0.9 * machine.limit
        return
    assert fit.conversations * model.kv_bytes(fit.tokens) <= fit.cache_bytes
    assert model.weights + fit.cache_bytes + RESERVE < machine.limit
    assert 1 <= fit.prompts <= fit.conversations < fit.decode_concurrency


def served(student: Path, limit: int, concurrency: int | None = None) -> tuple[ServedModel, list[str]]:
    """A worker's child server on a planted Mac, and the reasons for which the worker paused. Nothing is started."""
    reasons: list[str] = []
    machine = Machine("metal", limit, limit, "planted")
    log_file = student.parent / "server.log"
    turn = DeviceTurn("w", student.parent / "locks", grace_seconds=0)
    child = ServedModel(
        str(student), log_file, reasons.append, reasons.append, turn, concurrency=concurrency, machine=lambda: machine
    )
    return child, reasons


def test_a_server_that_does_not_fit_is_not_started_and_pauses_its_worker(tmp_path: Path) -> None:
    child, reasons = served(make_tiny_student(tmp_path / "student"), limit=500_000_000)
    child.ensure(lambda: HealthCheck(None))
    assert (child.server, child.budget) == (None, None)
    assert "this Mac gives its GPU 0.5 GB" in reasons[-1]
    assert not child.log_file.exists()


def test_the_flags_of_a_server_follow_from_its_budget(tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    kv = Model.of(student).kv_bytes(4096)
    room = Model.of(student).weights + RESERVE + Model.of(student).prefill_bytes(2, 4096, fused=True)
    child, _ = served(student, limit=room + 3 * kv)
    flags = child.fitting_flags(student).arguments()
    assert flags[flags.index("--decode-concurrency") + 1] == "4"  # three conversations and a health check
    assert flags[flags.index("--prompt-concurrency") + 1] == "2"
    assert flags[flags.index("--prompt-cache-bytes") + 1] == str(3 * kv)
    asked, _ = served(student, limit=room + 3 * kv, concurrency=8)
    assert asked.fitting_flags(student).decode_concurrency == 9  # else a health check would wait behind eight jobs


def test_a_30b_teacher_is_refused_on_a_16_gb_mac_with_the_figures() -> None:
    with pytest.raises(UsageError) as caught:
        serving(TEACHER, HOSTS["Mac, 16 GB"])
    line = str(caught.value)
    for figure in ("needs 17.2 GB for its weights", "1.6 GB for one conversation of 16,384 tokens", "11.5 GB"):
        assert figure in line
    assert line.endswith("choose a smaller model or another machine")
    assert "\n" not in line


def test_a_30b_teacher_holds_two_conversations_on_a_32_gb_mac() -> None:
    fit = serving(TEACHER, HOSTS["Mac, 32 GB"])
    assert (fit.conversations, fit.prompts, fit.decode_concurrency) == (2, 2, 3)


def test_the_context_of_a_model_bounds_its_conversations() -> None:
    short = dataclasses.replace(STUDENT, context=2048)
    assert serving(short, HOSTS["Mac, 16 GB"]).tokens == 2048


def test_no_more_conversations_than_were_asked_for() -> None:
    assert serving(STUDENT, HOSTS["Mac, 128 GB"], most=4).conversations == 4


def test_a_7b_student_is_checkpointed_where_it_fits_only_so() -> None:
    assert training(STUDENT, HOSTS["Mac, 32 GB"], SHAPE, checkpoint=None, fixed=False).grad_checkpoint
    assert not training(STUDENT, HOSTS["Mac, 64 GB"], SHAPE, checkpoint=None, fixed=False).grad_checkpoint


def test_a_row_that_does_not_fit_is_refused_and_an_explicit_setting_only_warns() -> None:
    long = dataclasses.replace(SHAPE, tokens=16_384)
    with pytest.raises(TrainingError, match=r"rows of 16,384 tokens.* with grad_checkpoint, but this Mac gives"):
        training(STUDENT, HOSTS["Mac, 16 GB"], long, checkpoint=None, fixed=False)
    asked = training(STUDENT, HOSTS["Mac, 16 GB"], long, checkpoint=False, fixed=True)
    assert not asked.grad_checkpoint
    assert "needs about" in asked.warning


def test_both_budgets_are_lines_whether_they_fit_or_not() -> None:
    fitting = budget_lines(STUDENT, HOSTS["Mac, 32 GB"])
    assert fitting[0].startswith("serving Qwen2.5-Coder-7B-Instruct-4bit: 4.3 GB of weights, 57,344 bytes of KV cache")
    assert "about 9.7 GB with grad_checkpoint, 16 layers, batch 1, rows of 2,048 tokens" in fitting[1]
    refused = budget_lines(TEACHER, HOSTS["Mac, 16 GB"])
    assert [line.partition(":")[0] for line in refused] == ["serving does not fit", "training does not fit"]
    assert not any("\n" in line for line in (*fitting, *refused))


def test_the_table_of_the_docs_is_what_the_command_prints() -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert page.partition(table.BEGIN)[2].partition(table.END)[0].strip() == table.table().strip()
