"""`applejack submit`: one job per prompt, as a chord."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from config.errors import RejectionReason, UsageError
from config.hyperparameters import OVERRIDE_HELP, parse_overrides, resolve
from config.prompts import load
from config.records import TOOL_NAMES, JsonObject, Limits, Prompt, Sampling, Spec
from producer import enqueue
from producer.commands.options import Dir, Json, settings_with_dir
from producer.connect import open_ledger
from producer.follow import follow
from producer.output import Output, pluralise
from producer.workspace import resolve_workspace

SHOWN = 80  # characters of an offending value in a message


def submit(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="prompts.jsonl, one JSON object a line.")],
    run: Annotated[str, typer.Option("--run", help="The run's id; the same id and content continues the run.")],
    workspace: Annotated[
        str | None, typer.Option(help="The code that tools read: PATH, PATH@REV or URL@REV of a git repository.")
    ] = None,
    train: Annotated[bool, typer.Option(metavar="", help="Train and evaluate a student after curation.")] = True,
    student: Annotated[str | None, typer.Option(help="Model directory to render for, train and evaluate.")] = None,
    format_: Annotated[
        Literal["text", "turns", "seed-text"],
        typer.Option("--format", metavar="FORMAT", help="The dataset's: text, turns or seed-text."),
    ] = "text",
    teacher: Annotated[
        Literal["endpoint", "scripted"],
        typer.Option(
            metavar="TEACHER",
            help="endpoint, or scripted: a program answers mined prompts with real tools; no model is asked.",
        ),
    ] = "endpoint",
    model: Annotated[str, typer.Option(help="Model name asked of the endpoint.")] = "default_model",
    tools: Annotated[str, typer.Option(help="Tools the agent has, comma separated.")] = ",".join(TOOL_NAMES),
    allow_command: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROGRAM", help="A program the tool run_command may start; repeat for more. None: no tool."
        ),
    ] = None,
    system_prompt: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    temperature: Annotated[
        float, typer.Option(metavar="X", min=0, help="Of the teacher's sampling.")
    ] = Sampling().temperature,
    max_tokens: Annotated[int, typer.Option(metavar="N", min=1, help="Per model request.")] = Limits().max_tokens,
    job_seconds: Annotated[
        float, typer.Option(metavar="N", min=1, help="Wall time of one job, in seconds.")
    ] = Limits().seconds,
    max_seq_length: Annotated[int, typer.Option(metavar="N", min=64, help="Tokens of one training row.")] = 2048,
    lora: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=OVERRIDE_HELP)] = None,
    seed: Annotated[int, typer.Option(help="Decides the split and nothing else.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end; Ctrl-C leaves it running.")] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Queue one generation job per prompt; a chord gathers them and starts curation, training and evaluation.

    Every line of PROMPTS is checked first: a bad one is named with file and line and nothing is queued.
    Example: applejack submit prompts.jsonl --run night-1 --workspace ~/src/celery@v5.5.0 --student models/qwen --wait
    """
    settings, output = settings_with_dir(folder), Output(as_json)
    loaded = load(prompts)
    if train and student is None:
        raise UsageError("training needs a student: give --student MODEL, or --no-train to stop after curation")
    if student is None and format_ != "seed-text":
        raise UsageError(f"--format {format_} is rendered by the student's chat template: give --student MODEL")
    overrides = parse_overrides(lora or [])
    resolve(overrides, turns=format_ == "turns")  # the train stage would refuse them hours later
    spec = checked(
        run_id=run,
        workspace=resolve_workspace(workspace),
        teacher=teacher,
        model=model,
        tools=[name.strip() for name in tools.split(",") if name.strip()],
        allow_commands=allow_command or [],
        sampling={"temperature": temperature},
        limits={"max_tokens": max_tokens, "seconds": job_seconds},
        student=absolute(student) if student else None,
        dataset_format=format_,
        max_seq_length=max_seq_length,
        train=train,
        lora=overrides,
        seed=seed,
        **({"system_prompt": system_prompt} if system_prompt is not None else {}),
    )
    require_tools(loaded.prompts, spec)
    if student and (doubt := doubtful(student)):
        sys.stderr.write(f"applejack: {doubt}\n")
    with open_ledger(settings) as (ledger, reached):
        new, total = enqueue.submit(ledger, reached, spec, loaded.prompts)
        for line, first in loaded.duplicates:
            output.console.print(f"{prompts}:{line} is line {first} again; queued once")
        output.console.print(f"run {run}: {pluralise(total, 'job')} {'queued' if new else 'known already; it goes on'}")
        body: JsonObject = {
            "run_id": run, "submitted": total if new else 0, "jobs": total, "duplicates": len(loaded.duplicates),
        }  # fmt: skip
        ended = follow(ledger, run, output) if wait else None
    output.result({**body, **(ended.as_json() if ended else {})})
    if ended and (ended.failed or ended.stage == "failed"):
        raise typer.Exit(1)


def checked(**fields: object) -> Spec:
    """The run's Spec; UsageError in one line when a field does not fit."""
    try:
        spec = Spec.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        value = str(fault["input"])
        shown = repr(value if len(value) <= SHOWN else f"{value[:SHOWN]}...")
        if where == "run_id":
            raise UsageError(
                f"--run is {shown}; a run's id has up to 64 letters, digits, '.', '_' and '-', "
                "and begins with a letter or digit"
            ) from error
        raise UsageError(f"{where} is {shown}: {fault['msg']}") from error
    unknown = [name for name in spec.tools if name not in TOOL_NAMES]
    if unknown:
        raise UsageError(f"there is no tool {unknown[0]!r}; there are {', '.join(TOOL_NAMES)}")
    return spec


def require_tools(prompts: Iterable[Prompt], spec: Spec) -> None:
    """UsageError naming the first prompt that needs tools and would have none: it could only be rejected."""
    for prompt in prompts:
        if not prompt.requires_tools:
            continue
        shown = repr(prompt.prompt if len(prompt.prompt) <= SHOWN else f"{prompt.prompt[:SHOWN]}...")
        lost = f"its answer would be rejected as {RejectionReason.TOOLS_REQUIRED_BUT_NONE}"
        if not (prompt.workspace or spec.workspace):
            raise UsageError(
                f"the prompt {shown} needs tools and names no code for them, so that {lost}; "
                'give --workspace, or "requires_tools": false with the prompt'
            )
        if not (spec.tools or spec.allow_commands):
            raise UsageError(
                f"the prompt {shown} needs tools and the run has none, so that {lost}; "
                'give --tools, or "requires_tools": false with the prompt'
            )


def doubtful(student: str) -> str:
    """A warning about a model directory that is not on this machine, "" when nothing speaks against it.

    UsageError when it is a file. A name that is no path is the hub's, and a path may be the GPU host's.
    """
    path = Path(student).expanduser()
    if path.is_file():
        raise UsageError(f"--student {student!r} is a file; give the model's directory, which holds config.json")
    if not (student.startswith(("/", ".", "~")) or path.exists()) or (path / "config.json").is_file():
        return ""
    return (
        f"--student {student!r} is no model directory on this machine: there is no {str(path / 'config.json')!r}; "
        "the machines that curate and train must have it"
    )


def absolute(student: str) -> str:
    """A directory of this machine by its whole path, since workers stand elsewhere; other names as they are."""
    if Path(student).expanduser().exists():
        return str(Path(student).expanduser().resolve())
    return student
