"""Names of trainers: "command:PROGRAM ARGUMENT...", split as a shell would and run without one."""

import shlex
from collections.abc import Iterable

from config.errors import UsageError

PREFIX = "command:"
TRAINER_HELP = (
    "Train with your own program instead of mlx_lm: 'command:python trl/train.py'. It gets the path of a JSON "
    "configuration as its last argument; docs/trainers.md describes the contract."
)

Command = tuple[str, ...]


def parse_trainer(trainer: str) -> Command:
    """The command of a trainer's name; UsageError if it is not "command:..." or cannot be split."""
    if not trainer.startswith(PREFIX):
        raise UsageError(f"--trainer is {trainer!r}; it must be 'command:PROGRAM ARGUMENT...'")
    return parse_command(trainer.removeprefix(PREFIX))


def parse_command(text: str) -> Command:
    """A command as its words; UsageError if there are none or a quotation is not closed."""
    try:
        command = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"the trainer's command {text!r} cannot be split into words: {error}") from None
    if not command:
        raise UsageError(f"the trainer's command is {text!r}; name a program, such as 'python trl/train.py'")
    return command


def is_allowed(command: Command, allowed: Iterable[str]) -> bool:
    """Whether a command is, word for word, one of the allowed ones."""
    return any(command == parse_command(text) for text in allowed)


def refusal(command: Command, allowed: Iterable[str], *, host: str, run_id: str) -> str:
    """The reason why a worker does not run a trainer, with what its owner can do."""
    shown, others = shlex.join(command), ", ".join(repr(text) for text in allowed) or "none"
    return (
        f"{host}: this worker does not run the trainer {shown!r}; allowed here: {others}. If you trust it, start the "
        f"worker with `applejack worker train --allow-trainer {shlex.quote(shown)}`, then `applejack resubmit {run_id} "
        "--stage train`"
    )
