"""`applejack submit`: queue a chord of one job per prompt."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from config.errors import RejectionReason, UsageError
from config.hyperparameters import OVERRIDE_HELP, parse_overrides, resolve
from config.prompts import load
from config.questions.answering_tools import can_answer, needed
from config.questions.wording import TOOL_FORMS, parse
from config.records import TOOL_NAMES, JsonObject, Limits, Prompt, Sampling, Spec
from producer import enqueue
from producer.commands.options import Dir, Json, settings_with_dir, tool_names
from producer.connect import open_ledger
from producer.follow import follow
from producer.output import Output, pluralise
from producer.workspace import resolve_prompts, resolve_workspace

SHOWN = 80  # characters of an offending value in a message


def submit(
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="prompts.jsonl, one JSON object per line.")],
    run: Annotated[
        str, typer.Option("--run", help="Id of the run; repeating a submit with the same content continues the run.")
    ],
    workspace: Annotated[
        str | None, typer.Option(help="Code that the tools read: PATH, PATH@REV or URL@REV of a git repository.")
    ] = None,
    train: Annotated[bool, typer.Option(metavar="", help="Train and evaluate a student after curation.")] = True,
    student: Annotated[
        str | None, typer.Option(help="Directory of the model to render for, train and evaluate.")
    ] = None,
    format_: Annotated[
        Literal["text", "turns", "seed-text"],
        typer.Option("--format", metavar="FORMAT", help="Dataset format: text, turns or seed-text."),
    ] = "text",
    teacher: Annotated[
        Literal["endpoint", "scripted"],
        typer.Option(
            metavar="TEACHER",
            help="endpoint, or scripted: answer mined prompts with real tools, without a model.",
        ),
    ] = "endpoint",
    model: Annotated[str, typer.Option(help="Model name sent to the endpoint.")] = "default_model",
    tools: Annotated[str, typer.Option(help="Tools of the agent, comma-separated.")] = ",".join(TOOL_NAMES),
    allow_command: Annotated[
        list[str] | None,
        typer.Option(metavar="PROGRAM", help="Offer the tool run_command and let it start PROGRAM; repeat for more."),
    ] = None,
    system_prompt: Annotated[str | None, typer.Option(help="System prompt of every conversation.")] = None,
    temperature: Annotated[
        float, typer.Option(metavar="X", min=0, help="Sampling temperature.")
    ] = Sampling().temperature,
    max_tokens: Annotated[
        int, typer.Option(metavar="N", min=1, help="Maximum tokens of one model answer.")
    ] = Limits().max_tokens,
    job_seconds: Annotated[
        float, typer.Option(metavar="N", min=1, help="Maximum wall time of one job, in seconds.")
    ] = Limits().seconds,
    max_seq_length: Annotated[
        int, typer.Option(metavar="N", min=64, help="Maximum tokens of one training row.")
    ] = 2048,
    keep_wrong: Annotated[
        bool, typer.Option("--keep-wrong", help="Keep answers that contradict the prompt's `expect` in the dataset.")
    ] = False,
    lora: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=OVERRIDE_HELP)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the dataset split.")] = 0,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run until it ends; Ctrl-C does not stop the run.")
    ] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Queue one generation job per prompt; a chord then starts curation, training and evaluation.

    All lines of PROMPTS are checked first. If any line is invalid, the error names it and nothing is queued.
    Example: applejack submit prompts.jsonl --run night-1 --workspace ~/src/celery@v5.5.0 --student models/qwen --wait
    """
    settings, output = settings_with_dir(folder), Output(as_json)
    loaded = load(prompts)
    if train and student is None:
        raise UsageError("training needs a student: give --student MODEL, or --no-train to stop after curation")
    if student is None and format_ != "seed-text":
        raise UsageError(f"--format {format_} needs the student's chat template: give --student MODEL")
    overrides = parse_overrides(lora or [])
    resolve(overrides, turns=format_ == "turns")  # otherwise the train stage would reject them hours later
    spec = checked(
        run_id=run,
        workspace=resolve_workspace(workspace),
        teacher=teacher,
        model=model,
        tools=tool_names(tools),
        allow_commands=allow_command or [],
        sampling={"temperature": temperature},
        limits={"max_tokens": max_tokens, "seconds": job_seconds},
        student=absolute(student) if student else None,
        dataset_format=format_,
        max_seq_length=max_seq_length,
        keep_wrong=keep_wrong,
        train=train,
        lora=overrides,
        seed=seed,
        **({"system_prompt": system_prompt} if system_prompt is not None else {}),
    )
    asked = resolve_prompts(loaded, prompts, warn=lambda line: sys.stderr.write(f"applejack: {line}\n"))
    require_tools(asked, spec)
    require_sufficient_tools(asked, spec)
    if student and (doubt := doubtful(student)):
        sys.stderr.write(f"applejack: {doubt}\n")
    with open_ledger(settings) as (ledger, reached):
        new, total = enqueue.submit(ledger, reached, spec, asked)
        for line, first in loaded.duplicates:
            output.console.print(f"{prompts}:{line} repeats line {first}; queued once")
        output.console.print(
            f"run {run}: {pluralise(total, 'job')} {'queued' if new else 'already queued; the run continues'}"
        )
        body: JsonObject = {
            "run_id": run, "submitted": total if new else 0, "jobs": total, "duplicates": len(loaded.duplicates),
        }  # fmt: skip
        ended = follow(ledger, run, output) if wait else None
    output.result({**body, **(ended.as_json() if ended else {})})
    if ended and (ended.failed or ended.stage == "failed"):
        raise typer.Exit(1)


def checked(**fields: object) -> Spec:
    """Build the run's Spec; raises a one-line UsageError if a field is invalid."""
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
                "and starts with a letter or digit"
            ) from error
        raise UsageError(f"{where} is {shown}: {fault['msg']}") from error
    return spec


def require_tools(prompts: Iterable[Prompt], spec: Spec) -> None:
    """Raise UsageError for the first prompt that needs tools but would have none: its answer would be rejected."""
    for prompt in prompts:
        if not prompt.requires_tools:
            continue
        shown = repr(prompt.prompt if len(prompt.prompt) <= SHOWN else f"{prompt.prompt[:SHOWN]}...")
        consequence = f"its answer would be rejected as {RejectionReason.TOOLS_REQUIRED_BUT_NONE}"
        if not (prompt.workspace or spec.workspace):
            raise UsageError(
                f"the prompt {shown} needs tools, but there is no workspace, so {consequence}; "
                'give --workspace, or set "requires_tools": false in the prompt'
            )
        if not (spec.tools or spec.allow_commands):
            raise UsageError(
                f"the prompt {shown} needs tools, but the run has none, so {consequence}; "
                'give --tools, or set "requires_tools": false in the prompt'
            )


def require_sufficient_tools(prompts: Iterable[Prompt], spec: Spec) -> None:
    """Raise UsageError if the run's tools cannot answer some of the mined questions about code.

    Only questions in the miner's own wording are refused: what other prompts of the same category need is not known. A
    program of --allow-command may answer anything.
    """
    possible = {category for category in TOOL_FORMS if can_answer(category, spec.tools)}
    if spec.allow_commands or len(possible) == len(TOOL_FORMS):
        return
    wanting = Counter(
        prompt.category
        for prompt in prompts
        if prompt.requires_tools and prompt.category in TOOL_FORMS and prompt.category not in possible
        if (question := parse(prompt.prompt)) and question.category == prompt.category
    )
    if wanting:
        tools = ",".join(spec.tools)
        listed = "; ".join(f"{category} ({number}): {needed(category)}" for category, number in sorted(wanting.items()))
        raise UsageError(
            f"{pluralise(wanting.total(), 'prompt')} cannot be answered with --tools {tools}; the categories and "
            f"what they need: {listed}. Add the tools, or mine prompts for these: applejack prompts --tools {tools}"
        )


def doubtful(student: str) -> str:
    """Return a warning if the model directory is not on this machine, else "".

    A name that is not a path is a model on the hub. A path may exist on the GPU host only. UsageError if it is a file.
    """
    path = Path(student).expanduser()
    if path.is_file():
        raise UsageError(f"--student {student!r} is a file; give the model's directory, which holds config.json")
    if not (student.startswith(("/", ".", "~")) or path.exists()) or (path / "config.json").is_file():
        return ""
    return (
        f"--student {student!r} is not a model directory on this machine: there is no {str(path / 'config.json')!r}; "
        "make sure that the machines that curate and train have it"
    )


def absolute(student: str) -> str:
    """Make the path of an existing directory absolute, because workers run elsewhere; other names are unchanged."""
    if Path(student).expanduser().exists():
        return str(Path(student).expanduser().resolve())
    return student
