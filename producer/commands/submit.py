"""`applejack submit`: queue a chord of one job per prompt.

The file is long because each of its many options explains itself.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError

from config.errors import UsageError
from config.hyperparameters import OVERRIDE_HELP, parse_overrides, resolve
from config.ledger import Ledger
from config.prompts import load
from config.records import TOOL_NAMES, JsonObject, Limits, Sampling, Spec
from config.settings import Settings
from config.terminal import say
from config.topology import QUEUE_CURATE, QUEUE_GENERATE, QUEUE_TRAIN, UNSEEN
from config.trainer_command import TRAINER_HELP, parse_trainer
from producer import enqueue
from producer.commands.model_options import STUDENT_HELP, doubtful, parse_students
from producer.commands.options import Dir, Json, Notify, settings_with_dir, tool_names
from producer.commands.sufficient_tools import require_sufficient_tools, require_tools
from producer.connect import open_ledger, require_no_eviction
from producer.follow import follow
from producer.mining.unseen import DEFAULT, unseen_prompts
from producer.model_check import ask_workers, no_workers, require_allowed, require_student, require_teacher
from producer.notify.notifying import notifying, watch_targets
from producer.output import Output, either, pluralise
from producer.workspace import resolve_prompts, resolve_workspace

EVALUATION = Spec(run_id="default")  # its defaults of the evaluation
MOST_HELD_OUT = 0.8  # share; a tenth more is for validation
SUBMITTED = " A train worker runs only those that it was started to allow (worker train --allow-trainer)."
CHECKPOINTS_HELP = (
    "Compare N saved checkpoints by their answers to questions of the valid split; the best becomes the adapter. 1 "
    "takes the last [default: 3 if the valid split has at least 12 questions with tools and an expected answer]."
)
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
    student: Annotated[list[str] | None, typer.Option(metavar="MODEL", help=STUDENT_HELP)] = None,
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
        typer.Option(
            metavar="PROGRAM", help="Let run_command start PROGRAM where a worker's owner allows it; repeatable."
        ),
    ] = None,
    allow_file: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Let tools read matching files for secrets, such as .env; repeat for more."),
    ] = None,
    secrets: Annotated[
        Literal["mask", "reject"],
        typer.Option(help="Mask secrets in what tools return, or leave them and reject the example in curation."),
    ] = "mask",
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
    test_share: Annotated[
        float, typer.Option(metavar="X", min=0, help="Share of the examples held out for the evaluation.")
    ] = Spec.model_fields["test_share"].default,
    unseen: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Questions about an installed package that is not part of the run, which the evaluation also asks; 0 "
            "asks none. Only for mined prompts.",
        ),
    ] = DEFAULT,
    trainer: Annotated[str | None, typer.Option(metavar="TRAINER", help=TRAINER_HELP + SUBMITTED)] = None,
    checkpoints: Annotated[
        int | None, typer.Option(metavar="N", min=1, help=CHECKPOINTS_HELP, show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the dataset split.")] = 0,
    evaluate_prompts: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Held-out prompts that base and adapter answer; fewer show only large differences."
        ),
    ] = EVALUATION.evaluate_prompts,
    evaluate_tokens: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Maximum tokens of one answer in the evaluation; raise it if answers are cut."
        ),
    ] = EVALUATION.evaluate_limits.max_tokens,
    evaluate_samples: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Further answers to each prompt at the student's own temperature; each takes as long.",
        ),
    ] = 0,
    evaluate_concurrency: Annotated[
        int, typer.Option(metavar="N", min=1, help="Prompts in flight at once in the evaluation.")
    ] = EVALUATION.evaluate_concurrency,
    force: Annotated[
        bool,
        typer.Option("--force", help="Queue a run that no live worker can or may run, or whose data Redis may evict."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run until it ends; Ctrl-C does not stop the run.")
    ] = False,
    notify: Notify = None,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Queue one generation job per prompt; a chord then starts curation, training and evaluation.

    All lines of PROMPTS are checked first. If any line is invalid, the error names it and nothing is queued.
    Example: applejack submit prompts.jsonl --run night-1 --workspace ~/src/celery@v5.5.0 --student ORG/NAME --wait
    """
    settings, output = settings_with_dir(folder), Output(as_json)
    loaded = load(prompts)
    students = parse_students(student or [])
    if train and not (students.train or students.curate):
        raise UsageError("training needs a student: give --student MODEL, or --no-train to stop after curation")
    if students.curate is None and format_ != "seed-text":
        raise UsageError(f"--format {format_} needs the student's chat template: give --student MODEL")
    if test_share >= MOST_HELD_OUT:
        raise UsageError(
            f"--test-share is {test_share}, which leaves too little to train on; give less than {MOST_HELD_OUT}"
        )
    overrides = parse_overrides(lora or [])
    if trainer is not None:
        parse_trainer(trainer)
    resolve(overrides, turns=format_ == "turns")  # otherwise the train stage would reject them hours later
    spec = checked(
        run_id=run,
        workspace=resolve_workspace(workspace),
        teacher=teacher,
        model=model,
        tools=tool_names(tools),
        allow_commands=allow_command or [],
        allow_files=allow_file or [],
        secrets=secrets,
        sampling={"temperature": temperature},
        limits={"max_tokens": max_tokens, "seconds": job_seconds},
        student=students.curate,
        train_student=students.train,
        dataset_format=format_,
        max_seq_length=max_seq_length,
        keep_wrong=keep_wrong,
        test_share=test_share,
        train=train,
        lora=overrides,
        trainer=trainer,
        checkpoints=checkpoints,
        seed=seed,
        evaluate_prompts=evaluate_prompts,
        evaluate_limits=EVALUATION.evaluate_limits.model_copy(update={"max_tokens": evaluate_tokens}),
        evaluate_samples=evaluate_samples,
        evaluate_concurrency=evaluate_concurrency,
        **({"system_prompt": system_prompt} if system_prompt is not None else {}),
    )
    asked = resolve_prompts(loaded, prompts, warn=lambda line: say(f"applejack: {line}", file=sys.stderr))
    require_tools(asked, spec)
    require_sufficient_tools(asked, spec)
    targets = watch_targets(notify, settings, "--wait", watching=wait)
    with open_ledger(settings) as (ledger, reached), notifying(ledger, reached, targets, run_id=run):
        if not force and run not in ledger.run_ids():
            require_no_eviction(ledger)
            check_models(ledger, reached, spec, output)
            require_allowed(ledger, spec, asked)
        for doubt in filter(None, (doubtful(name) for name in students if name)):
            say(f"applejack: {doubt}", file=sys.stderr)
        # A repeated submit keeps the questions of the first.
        elsewhere = [] if ledger.files.has(run, UNSEEN) else unseen_prompts(asked, spec, count=unseen)
        new, total = enqueue.submit(ledger, reached, spec, asked, unseen=elsewhere)
        if elsewhere:
            asks = pluralise(len(elsewhere), "question")
            output.console.print(f"the evaluation also asks {asks} about {elsewhere[0].workspace}")
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
    if ended and (ended.failed or ended.state in {"failed", "cancelled"}):
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


def check_models(ledger: Ledger, settings: Settings, spec: Spec, output: Output) -> None:
    """UsageError if no live worker has the run's teacher or student. A queue without a live worker is only named."""
    teacher = spec.model if spec.teacher == "endpoint" else None
    fleet = ask_workers(ledger, settings, teacher=teacher, student=spec.student)
    if teacher:
        require_teacher(fleet, teacher)
    if spec.student:
        require_student(fleet, spec.student, train=spec.train and spec.train_student is None)
    if spec.train_student:
        elsewhere = ask_workers(ledger, settings, teacher=None, student=spec.train_student)
        require_student(elsewhere, spec.train_student, curate=False)
    if missing := no_workers(fleet, [QUEUE_GENERATE, QUEUE_CURATE, *([QUEUE_TRAIN] if spec.train else [])]):
        output.console.print(f"no {either(missing)} worker is alive yet; the run waits until one starts")
