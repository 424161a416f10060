"""Writes the files of a plan. Nothing is written if a file would be overwritten without `force`."""

from dataclasses import dataclass
from typing import Literal

from config.atomic_files import write_text, writing
from config.errors import UsageError
from producer.deploy.env_file import filled
from producer.deploy.plan import File, Plan

State = Literal["new", "unchanged", "differs", "kept", "written"]


@dataclass(frozen=True)
class Installed:
    """A file of the plan and its state on this machine."""

    file: File
    state: State


def state(file: File) -> State:
    """What is at the file's path now. An existing file with secrets is kept, whatever it contains."""
    if not file.path.exists():
        return "new"
    if file.known is not None:
        return "kept"
    try:
        same = file.path.read_text(encoding="utf-8") == file.text
    except (OSError, UnicodeDecodeError):
        same = False
    return "unchanged" if same else "differs"


def install(plan: Plan, *, force: bool) -> list[Installed]:
    """Write the new files; with `force` also those that differ. Raises UsageError before anything is written."""
    found = [Installed(file, state(file)) for file in plan.files]
    different = [str(one.file.path) for one in found if one.state == "differs"]
    if different and not force:
        raise UsageError(
            f"{different[0]!r} exists with other content; nothing was written. Compare it with the output of the same "
            "command without --install, and repeat with --force to overwrite it"
        )
    for folder in plan.folders:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    return [Installed(one.file, write(one.file) if one.state in ("new", "differs") else one.state) for one in found]


def write(file: File) -> State:
    """Write one file, its secrets filled in."""
    private = file.known is not None
    text = file.text if file.known is None else filled(file.text, file.known)
    with writing(file.path):
        file.path.parent.mkdir(mode=0o700 if private else 0o755, parents=True, exist_ok=True)
        write_text(file.path, text, private=private)
        file.path.chmod(file.mode)
    return "written"
