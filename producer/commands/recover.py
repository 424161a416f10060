"""`applejack recover`: rebuild lost runs from the journals of workers."""

from pathlib import Path
from typing import Annotated

import typer

from config.errors import UsageError
from config.exit_codes import EXIT_INCOMPLETE
from config.records import JsonObject
from producer.commands.options import Dir, Json, settings_with_dir
from producer.connect import open_ledger
from producer.output import Output, pluralise
from producer.recover import Recovered
from producer.recover import recover as recover_runs


def recover(
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="Ids of runs; all by default.")] = None,
    journals: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="JOURNAL",
            help="Journal folder of a worker, copied here or mounted (repeatable) [default: journal under --dir].",
        ),
    ] = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Rebuild runs in the ledger from the journals of any workers, after Redis has lost data.

    Each worker keeps what it generated in `journal` under its --dir until the run is archived. Trajectories that the
    ledger lacks are put back, jobs without one are queued again, and the run is curated anew. What the ledger has is
    not changed, so the command can be repeated, also with the journals of more workers. Example:
    applejack recover --from /Volumes/mac-one/applejack/data/journal --from mac-two-journal
    """
    settings, output = settings_with_dir(folder), Output(as_json)
    places = journals or [settings.journal]
    for place in places:
        if not place.is_dir():
            raise UsageError(f"there is no journal folder {str(place)!r}; give the folder with --from")
    with open_ledger(settings, stopped=True) as (ledger, _):
        found = recover_runs(ledger, places, run_ids=tuple(runs or ()), tell=output.console.print)
    for one in found:
        output.console.print(describe(one), soft_wrap=True, markup=False)
    body: JsonObject = found[0].as_json() if len(found) == 1 else {"runs": [one.as_json() for one in found]}
    output.result(body)
    if any(one.unknown for one in found):
        raise typer.Exit(EXIT_INCOMPLETE)


def describe(one: Recovered) -> str:
    """What was done for a run, in one line."""
    parts = [
        f"{one.run_id}: {'created, ' if one.created else ''}trajectories put back: {one.restored}",
        f"jobs without one, which will run: {one.missing}",
    ]
    if one.unknown:
        parts.append(f"{one.unknown} of jobs that the run does not have were left out")
    if one.broken:
        parts.append(f"{pluralise(len(one.broken), 'line')} cannot be read, the first is {one.broken[0]}")
    return "; ".join(parts)
