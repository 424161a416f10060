"""A rollout in this process against a scripted endpoint."""

from pathlib import Path

from config.records import JsonObject, Limits, Pin, Prompt, Spec, Trajectory
from tests.support.scripted_endpoint import Script, ScriptedEndpoint
from worker.generate.agent import endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.tools.workspace import Workspace


def roll(folder: Path, script: Script, *, prompt: str, limits: Limits) -> tuple[Trajectory, list[JsonObject]]:
    """The trajectory of one job over the folder, and the requests that the endpoint got."""
    with ScriptedEndpoint(script) as endpoint:
        trajectory = run_rollout(
            Prompt(prompt=prompt),
            spec=Spec(run_id="r", limits=limits),
            job_id="000000-aaaaaaaa",
            attempt=1,
            workspace=Workspace(folder, Pin(origin="code")),
            teacher=endpoint_teacher(endpoint.base_url, model="default_model", sampling=None, request_seconds=10),
            worker="w",
        )
    return trajectory, endpoint.requests
