"""A training that stopped, in one line with what to change."""

from pathlib import Path

import pytest

from config.records import JsonObject
from worker.train.failures import diverged, failed, out_of_disk
from worker.train.process import Ending

VALUES: JsonObject = {"batch_size": 4, "num_layers": 16, "grad_checkpoint": False, "learning_rate": 1e-3}
ALL = (
    "lower batch_size (now 4), set grad_checkpoint=true, lower num_layers (now 16) or curate with a max_seq_length "
    "below 1800, the longest row"
)


@pytest.mark.parametrize(
    ("code", "log"),
    [
        (137, ""),  # the kernel's SIGKILL leaves no word
        (134, "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc"),
        (134, "uncaught exception of type std::runtime_error: [METAL] Command buffer execution failed: Insufficient "
              "Memory (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"),
        (1, "RuntimeError: [metal::malloc] Attempting to allocate 21474836480 bytes which is greater than the maximum"),
        (1, "RuntimeError: [malloc_or_wait] Unable to allocate 4294967296 bytes."),
        (1, "RuntimeError: CUDA error: out of memory"),
        (1, "Traceback (most recent call last):\nMemoryError: std::bad_alloc"),
    ],
)  # fmt: skip
def test_out_of_memory_names_what_can_be_changed(code: int, log: str) -> None:
    error = str(failed(Ending(code, log, log.splitlines()[-1] if log else ""), VALUES, 1800))
    assert "memory" in error
    assert error.endswith(ALL)
    assert "\n" not in error


def test_out_of_memory_names_nothing_that_is_at_its_limit() -> None:
    values: JsonObject = {**VALUES, "batch_size": 1, "grad_checkpoint": True}
    error = str(failed(Ending(137, "", ""), values, 900))
    assert error.endswith(": lower num_layers (now 16) or curate with a max_seq_length below 900, the longest row")


def test_a_killed_training_tells_where_it_goes_on() -> None:
    error = str(failed(Ending(137, "", ""), VALUES, 900, resumes=100))
    assert error.endswith("; started again unchanged, it goes on from iteration 100")


def test_another_end_keeps_its_own_words() -> None:
    error = str(failed(Ending(1, "ValueError: Model type x not supported.", "ValueError: Model type x"), VALUES, 900))
    assert error == "training ended with exit code 1: ValueError: Model type x"
    for backend in (None, "metal"):
        assert "training ended with signal 11" in str(failed(Ending(139, "", ""), VALUES, 900, backend=backend))


def test_a_crash_on_a_cpu_counts_as_out_of_memory() -> None:
    error = str(failed(Ending(139, "", ""), VALUES, 1800, backend="cpu"))
    assert error.startswith("the training crashed (SIGSEGV), as mlx on a CPU does when it is given no more memory: ")
    assert error.endswith(ALL)


def test_divergence_names_the_rate_or_the_schedule() -> None:
    assert str(diverged("the train loss is nan at iteration 7", VALUES)) == (
        "the train loss is nan at iteration 7: the training has diverged; lower learning_rate (now 0.001)"
    )
    schedule: JsonObject = {**VALUES, "lr_schedule": {"name": "cosine_decay", "arguments": [1e-3, 9.0]}}
    assert str(diverged("x", schedule)).endswith("lower the rates of lr_schedule")


def test_a_full_disk_names_place_and_size(tmp_path: Path) -> None:
    error = str(out_of_disk(tmp_path / "not" / "there", 10**15, resumes=100))
    assert error.startswith(f"no space left at {str(tmp_path / 'not' / 'there')!r} (")
    assert "free 9999" in error
    assert error.endswith("start the training again; it goes on from iteration 100")
    assert str(out_of_disk(tmp_path, 5_000_000)).endswith("it starts at its first iteration")
