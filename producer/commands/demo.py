"""`applejack demo`: every stage on this machine, for real."""

from pathlib import Path
from typing import Annotated

import typer

from config.exit_codes import EXIT_INCOMPLETE
from config.records import JsonObject
from config.report.model import Report
from producer.commands.options import Dir, Json, require_url, settings_with_dir
from producer.demo import ITERATIONS, JOBS, QUESTIONS, Demo
from producer.output import Output
from producer.report import lines as rendering


def demo(
    folder: Dir = None,
    jobs: Annotated[int, typer.Option(help="Generation jobs.")] = JOBS,
    endpoint: Annotated[
        str | None, typer.Option(help="A real teacher's OpenAI-compatible URL, instead of the scripted teacher.")
    ] = None,
    model: Annotated[str, typer.Option(help="Model name asked of --endpoint.")] = "default_model",
    iterations: Annotated[
        int, typer.Option(help="Training iterations; fewer are quicker and teach less.", min=1)
    ] = ITERATIONS,
    questions: Annotated[int, typer.Option(help="Held-out questions to ask before and after.", min=1)] = QUESTIONS,
    student: Annotated[Path | None, typer.Option(help="Another student: a directory that mlx_lm can load.")] = None,
    as_json: Json = False,
) -> None:
    """Make data, train a small student on it, and ask it the same questions before and after. Needs no setting.

    Questions are mined from the source of Celery and answered with real tools, by a program unless --endpoint names a
    model; the rest (queue, checks, dataset, LoRA training, served student, scores) is what every run does.
    """
    output = Output(as_json)
    if endpoint:
        require_url(endpoint)
    asked = Demo(
        settings_with_dir(folder),
        jobs=jobs,
        endpoint=endpoint,
        model=model,
        student=student,
        iterations=iterations,
        questions=questions,
    )
    ended, body = asked.run(output)
    console = output.console
    if body["after"]:
        console.print(rendering.format_table(Report.read(Path(str(body["report"])))))
    console.print(f"jobs     {body['generated']} generated, {body['failed']} failed")
    console.print(f"curated  {body['kept']} kept, {body['rejected']} rejected")
    for name in ("dataset", "adapter", "report"):
        if body[name]:
            console.print(f"{name:<8} {body[name]}")
    console.print(f"time     {body['seconds']} s ({stage_times(body)})")
    if not endpoint:
        console.print("teacher  scripted: a program that calls the tools. With a model, for instance mlx_lm's server:")
        console.print("         applejack demo --endpoint http://127.0.0.1:8080/v1")
    output.result(body)
    if ended.failed or ended.stage == "failed":
        console.print(
            f"[red]fell short[/red]: {ended.error or f'{ended.failed} jobs failed'}; applejack status {ended.run_id}"
        )
        raise typer.Exit(EXIT_INCOMPLETE)


def stage_times(body: JsonObject) -> str:
    """ "curate 3 s, train 120 s"."""
    stages = body["stage_seconds"]
    assert isinstance(stages, dict)
    return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items() if isinstance(seconds, float))
