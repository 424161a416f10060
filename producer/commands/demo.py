"""`applejack demo`: run every stage on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from config.exit_codes import EXIT_INCOMPLETE
from config.records import JsonObject
from config.report.model import Report
from producer.commands.options import Dir, Json, require_url, settings_with_dir
from producer.demo import CATEGORIES, ITERATIONS, JOBS, QUESTIONS, SEED, Demo
from producer.output import Output
from producer.report.before_after import before_after
from producer.report.verdict_table import format_verdict


def demo(
    folder: Dir = None,
    jobs: Annotated[int, typer.Option(help="Number of generation jobs.")] = JOBS,
    endpoint: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible URL of a teacher model [default: a scripted teacher, without a model]."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model name to request from --endpoint.")] = "default_model",
    iterations: Annotated[
        int, typer.Option(help="Number of training iterations; fewer take less time and teach less.", min=1)
    ] = ITERATIONS,
    questions: Annotated[int, typer.Option(help="Number of held-out questions for the evaluation.", min=1)] = QUESTIONS,
    student: Annotated[
        Path | None,
        typer.Option(help="Student model: a directory that mlx_lm can load [default: SmolLM2-135M-Instruct]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the questions, the splits and the training.")] = SEED,
    as_json: Json = False,
) -> None:
    """Generate data, train a small student on it, and test the student before and after training.

    Needs no configuration. Mines questions from the source code of Celery. A scripted teacher answers them with real
    tools, unless --endpoint gives a teacher model. All other steps are those of any run.

    The task is narrow, so that a student of 135M parameters can learn it within minutes: where a class, function or
    file is, the value of a constant, the number of lines with a name, and names that do not exist.
    """
    output = Output(as_json)
    if endpoint:
        require_url(endpoint)
    run = Demo(
        settings_with_dir(folder),
        jobs=jobs,
        endpoint=endpoint,
        model=model,
        student=student,
        iterations=iterations,
        questions=questions,
        seed=seed,
    )
    status, body = run.run(output)
    console = output.console
    if body["after"]:
        report = Report.read(Path(str(body["report"])))
        console.print(format_verdict(report))
        if shown := before_after(report, Path(str(body["report"])).parent):
            console.print(shown)
        console.print(
            f"The demo is narrow: {len(CATEGORIES)} kinds of short questions, asked in a few wordings. A 135M student "
            "learns no more in minutes; `applejack prompts --help` shows all kinds."
        )
    console.print(f"jobs     {body['generated']} generated, {body['failed']} failed")
    console.print(f"curated  {body['kept']} kept, {body['rejected']} rejected")
    for name in ("dataset", "adapter", "report"):
        if body[name]:
            console.print(f"{name:<8} {body[name]}")
    console.print(f"time     {body['seconds']} s ({stage_times(body)})")
    if not endpoint:
        console.print("teacher  scripted, without a model. To use a model, start mlx_lm's server, for example, and run")
        console.print("         applejack demo --endpoint http://127.0.0.1:8080/v1")
    output.result(body)
    if status.failed or status.state in {"failed", "cancelled"}:
        console.print(
            f"incomplete: {status.error or f'{status.failed} jobs failed, {status.cancelled} cancelled'}; "
            f"see `applejack status {status.run_id}`"
        )
        raise typer.Exit(EXIT_INCOMPLETE)


def stage_times(body: JsonObject) -> str:
    """Seconds per stage as text: "curate 3 s, train 120 s"."""
    stages = body["stage_seconds"]
    assert isinstance(stages, dict)
    return ", ".join(f"{name} {seconds:.0f} s" for name, seconds in stages.items() if isinstance(seconds, float))
