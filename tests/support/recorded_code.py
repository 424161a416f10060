"""A git repository with two commits, and sound trajectories about its class, recorded with real tools."""

import subprocess
from pathlib import Path

from config.records import Provenance, ToolCall, Trajectory
from tests.support.trajectories import asks, says, told, trajectory, user
from worker.tools.toolset import build, digest, schemas
from worker.tools.workspace import Workspace

TOOLS = ("grep", "read_file")


def git(where: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *arguments], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def two_commits(made: Path) -> Path:
    """A repository; the tag "first" is its older commit, in which every class is one line further up."""
    made.mkdir(parents=True)
    git(made, "init", "--quiet")
    (made / "pkg").mkdir()
    for text, name in (("", "first"), ("import os\n", "second")):
        for number in range(40):
            (made / f"pkg/part{number}.py").write_text(f"{text}class Widget{number}(Base):\n    size = {number}\n")
        git(made, "add", ".")
        git(made, "commit", "--quiet", "-m", name)
        git(made, "tag", name)
    return made


def asked_about(workspace: Workspace, number: int, **fields: object) -> Trajectory:
    """A sound conversation: where is this class?"""
    call = ToolCall(id="c1", name="grep", arguments={"pattern": f"class Widget{number}\\b"})
    result = build(workspace, names=TOOLS)["grep"](dict(call.arguments))  # type: ignore[arg-type]
    place = result.split(":")[0]
    shown = schemas(TOOLS)
    provenance = Provenance(
        teacher="t", endpoint="e", worker="w", applejack_version="0", toolset_digest=digest(shown),
        workspace=workspace.pin,
    )  # fmt: skip
    messages = [
        user(f"Which file defines the class Widget{number}?"),
        asks(call),
        told(result),
        says(f"The class Widget{number} is defined in {place}."),
    ]
    given = {"job_id": f"{number:06d}-aaaaaaaa", "tools": shown, "provenance": provenance, **fields}
    return trajectory(messages, **given)
