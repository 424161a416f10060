"""Replays recorded tool calls: `python -m worker.cli verify IN.jsonl...`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from config.exit_codes import EXIT_INCOMPLETE
from config.records import JsonObject
from config.settings import settings
from config.terminal import say, say_json
from worker.cli.curate import Lines, progress, replay_line
from worker.curate import sources
from worker.curate.replay import NotReplayed, Replay
from worker.curate.replay.difference import Difference

SHOWN = 50  # differences that are listed; all are counted

MEANING = {
    NotReplayed.NO_PROVENANCE: "they do not record which code was read",
    NotReplayed.UNPINNED: "their code is recorded without a commit or digest",
    NotReplayed.UNREACHABLE: "their code is not on this machine",
    NotReplayed.REFUSED: "the owner of this machine's worker does not allow their folder",
    NotReplayed.CHANGED: "the directory has changed since",
    NotReplayed.OTHER_TOOLS: "they were recorded with other tools than this version's",
    NotReplayed.RUN_COMMAND: "run_command is never executed again",
    NotReplayed.INVALID_CALL: "a call names no offered tool, or its arguments are not an object",
    NotReplayed.NO_RESULT: "a call has no result",
    NotReplayed.TIME_LIMIT: "a search reached its time limit, so that its result may differ each time",
}


def verify(
    files: Annotated[list[Path], typer.Argument(help="trajectories, JSONL")],
    as_json: Annotated[bool, typer.Option("--json", help="last line of stdout is one JSON object")] = False,
) -> None:
    """Execute recorded tool calls again on their pinned code and compare the results. Exit code 1: some differ, or none
    could be executed."""
    sources.require_trajectory(files)
    out = sys.stderr if as_json else sys.stdout
    lines, replay = Lines(files), Replay(settings().cache)
    read = shown = 0
    listed: list[JsonObject] = []
    for trajectory in lines.trajectories():
        read += 1
        for difference in replay.differences(trajectory)[: SHOWN - shown]:
            shown += 1
            say(described(difference), file=out)
            listed.append({"job_id": difference.job_id, "call": difference.call.id, "detail": difference.detail})
        progress(read)
    if replay.differing > shown:
        say(f"and {replay.differing - shown} more calls that differ", file=out)
    for cause, count in replay.not_replayed.items():
        say(f"not replayed: {count} trajectories: {MEANING[cause]} ({cause.value})", file=out)
    counts = replay.counts()
    say(f"{read} trajectories: {replay_line(counts)}", file=out)
    if as_json:
        say_json({**counts, "trajectories": read, "broken": lines.broken, "differences": listed})
    if replay.differing or (replay.not_replayed and not replay.matched):
        raise typer.Exit(EXIT_INCOMPLETE)


def described(difference: Difference) -> str:
    """The call and both texts, on three lines."""
    return (
        f"{difference.job_id}: {difference.shown_call} {difference.note}\n"
        f"  recorded: {difference.recorded}\n"
        f"  replayed: {difference.replayed}"
    )
