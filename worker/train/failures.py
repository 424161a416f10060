"""Why a training stopped, in one line with what to change."""

import re
import shutil
import signal
from pathlib import Path
from typing import cast

from config.errors import TrainingError
from config.process import KILLED, describe_exit
from config.records import JsonObject
from config.watchdog import SIGNALLED
from worker.train.process import Ending
from worker.train.training_size import DEFAULT_BATCH

# Metal, CUDA, mlx's allocators, C++ and Python, in the words that end up in the log.
OUT_OF_MEMORY = re.compile(
    r"insufficient memory|out of ?memory|bad_alloc|MemoryError|(unable|attempting|cannot)( to)? allocate|\[malloc",
    re.IGNORECASE,
)


def failed(
    ending: Ending, values: JsonObject, longest: int, *, backend: str | None = None, resumes: int = 0
) -> TrainingError:
    """The error for a child that ended with an exit code.

    `longest`: tokens of the longest row; `resumes`: iteration of the last checkpoint, 0 without one.
    """
    again = f"; started again unchanged, it goes on from iteration {resumes}" if resumes else ""
    if cause := _memory_cause(ending, backend):
        return TrainingError(f"{out_of_memory(cause, values, longest)}{again}")
    return TrainingError(f"training ended with {describe_exit(ending.code)}: {ending.last_error or 'its log is empty'}")


def _memory_cause(ending: Ending, backend: str | None) -> str:
    """What shows that memory ran out; "" if nothing does."""
    if ending.code == KILLED:
        return "the training was killed (SIGKILL), often because memory ran out"
    if ending.code == SIGNALLED + signal.SIGSEGV and backend == "cpu":
        return "the training crashed (SIGSEGV), as mlx on a CPU does when it is given no more memory"
    found = next((line.strip() for line in reversed(ending.log.splitlines()) if OUT_OF_MEMORY.search(line)), "")
    return f"the training ran out of memory ({found[:200]})" if found else ""


def diverged(detail: str, values: JsonObject) -> TrainingError:
    """The error for a loss or a weight that is not a finite number."""
    schedule = values.get("lr_schedule")
    rate = "the rates of lr_schedule" if schedule else f"learning_rate (now {values.get('learning_rate', 1e-5):g})"
    return TrainingError(f"{detail}: the training has diverged; lower {rate}")


def out_of_memory(what: str, values: JsonObject, longest: int) -> TrainingError:
    """The error for a training that did not fit into memory. Names only what can still be changed."""
    batch, layers = cast("int", values.get("batch_size", DEFAULT_BATCH)), cast("int", values.get("num_layers", 16))
    changes = [
        f"lower batch_size (now {batch})" if batch > 1 else "",
        "" if values.get("grad_checkpoint") else "set grad_checkpoint=true",
        f"lower num_layers (now {'all' if layers < 0 else layers})" if layers != 1 else "",
        f"curate with a max_seq_length below {longest}, the longest row",
    ]
    return TrainingError(f"{what}: {', '.join(filter(None, changes[:-1]))} or {changes[-1]}")


def out_of_disk(place: Path, needed: int, *, resumes: int = 0) -> TrainingError:
    """The error for a full disk. `needed`: bytes; `resumes`: iteration of the last checkpoint, 0 without one."""
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir())).free
    again = f"it goes on from iteration {resumes}" if resumes else "it starts at its first iteration"
    return TrainingError(
        f"no space left at {str(place)!r} ({size(free)} free): free {size(max(needed - free, 0) or needed)} there and "
        f"start the training again; {again}"
    )


def size(number: int) -> str:
    """Bytes for people: "1.4 GB", "310 MB"."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{-(-number // 1_000_000)} MB"
