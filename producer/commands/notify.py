"""`applejack notify`: try where notices would go."""

from typing import Annotated

import typer

from config.errors import UsageError
from config.records import JsonObject
from config.settings import settings
from producer.commands.options import Json
from producer.notify.delivery import DeliveryError, attempt
from producer.notify.events import EventKind, Notice
from producer.notify.notifying import targets_of
from producer.output import Output, partial_failure

SENTENCE = "This is a test: applejack can reach you here."


def notify(
    target: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL|COMMAND|@FILE]...",
            help="A webhook, a command, or a file of mode 600 with one a line [default: $APPLEJACK_NOTIFY].",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send a test notification, as --notify of `up`, `flower`, `status --watch` and `submit --wait` would.

    Exit code 1: it did not arrive everywhere.

    Example: applejack notify @~/.config/applejack/notify
    """
    output = Output(as_json)
    targets = targets_of(target, settings())
    if not targets:
        raise UsageError("there is nobody to notify; give a URL, a command or @FILE, or set APPLEJACK_NOTIFY")
    notice = Notice(EventKind.TEST, "", "test", SENTENCE, "applejack status")
    problems: dict[int, str] = {}
    for number, one in enumerate(targets):
        try:
            attempt(one, notice)
        except DeliveryError as error:
            problems[number] = str(error)
        output.console.print(f"{one.shown}: {problems.get(number, 'delivered')}", markup=False)
    listed: list[JsonObject] = [
        {"target": one.shown, "delivered": number not in problems, "problem": problems.get(number)}
        for number, one in enumerate(targets)
    ]
    output.result({"targets": [*listed]})
    if problems:
        raise partial_failure()
