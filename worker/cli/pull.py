"""Downloads a model: `python -m worker.cli pull MODEL`."""

from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bar

from config.console import PlainConsole
from config.errors import UsageError
from config.model_names import parse_model
from config.terminal import say_json
from worker.models.progress import Progress

LINE_SHARE = 0.1  # of the model, between two lines where there is no terminal


def pull(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="hub id: ORG/NAME or ORG/NAME@REVISION")],
    as_json: Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")] = False,
) -> None:
    """Download a model into the hub cache, only the files that mlx_lm needs. Run it again after an interruption.

    A download continues where it ended, also after kill -9. For a gated or private model, log in with
    `hf auth login` or set HF_TOKEN. HF_HOME moves the cache, HF_HUB_OFFLINE=1 forbids downloads.
    """
    if parse_model(model).path:
        raise UsageError(f"{model!r} is a directory, which is used as it is; give a hub id such as ORG/NAME")
    from worker.models.download import pull as download  # half a second: not for a wrong name

    console = PlainConsole(stderr=as_json)
    shown = Shown(console)
    with shown.bar:
        found = download(model, on_progress=shown.show)
    console.print(f"{found.model} at revision {found.revision}: {found.path}", soft_wrap=True)
    if as_json:
        size = sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file())
        say_json({"path": str(found.path), "model": found.model, "revision": found.revision, "bytes": size})


class Shown:
    """Progress as a bar; without a terminal, as a line for every tenth of the model."""

    def __init__(self, console: PlainConsole) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self.bar = Bar(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal)
        self._task = self.bar.add_task("listing files", total=None)
        self._next_line = 0.0

    def show(self, progress: Progress) -> None:
        """Show one report."""
        description = f"{progress.by} downloads" if progress.by else "downloading"
        self.bar.update(self._task, description=description, total=progress.of, completed=progress.bytes)
        if not self.bar.console.is_terminal and progress.bytes >= self._next_line:
            self.bar.console.print(str(progress))
            self._next_line = progress.bytes + LINE_SHARE * progress.of
