"""Delivers one message to one target, with time limits and retries. What fails is described without the secret."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

from config.endpoint.client import respond
from config.errors import EndpointError, FailureKind
from producer.notify.events import Notice
from producer.notify.message import command_json, slack_json
from producer.notify.targets import Command, Target, Webhook

POST_SECONDS = 10.0  # to connect, and for each read
COMMAND_SECONDS = 30.0
PAUSES = (2.0, 8.0, 30.0)  # seconds before each retry; with the attempts, far below the lease of a notice
MOST_PAUSE = 60.0  # of a Retry-After
WORTH_A_RETRY = frozenset({408, 425, 429})  # and every 5xx; other statuses stay as they are
WITHOUT = ("APPLEJACK_NOTIFY",)  # variables that a command does not get: it would notify of what it runs


class DeliveryError(Exception):
    """A message that was not delivered."""

    def __init__(self, message: str, *, retry: bool = True, after: float | None = None) -> None:
        super().__init__(message)
        self.retry = retry
        self.after = after
        """seconds that the server asked to wait"""


def deliver(
    target: Target,
    notice: Notice,
    *,
    pause: Callable[[float], object],
    tell: Callable[[str], None],
    pauses: Sequence[float] = PAUSES,
) -> bool:
    """Send a notice; whether it arrived. The first failure and giving up are told.

    `pause` waits; it returns true to give up at once, as threading.Event.wait does.
    """
    for number, seconds in enumerate((*pauses, None)):
        try:
            attempt(target, notice)
        except DeliveryError as error:
            if seconds is None or not error.retry:
                tell(f"notification of {notice.kind.value!r} was not delivered to the {target.shown}: {error}")
                return False
            if number == 0:
                tell(f"notification to the {target.shown} failed, trying again: {error}")
            if pause(min(MOST_PAUSE, max(seconds, error.after or 0.0))):
                tell(f"notification of {notice.kind.value!r} was not delivered before the command ended")
                return False
        else:
            return True
    return False


def attempt(target: Target, notice: Notice) -> None:
    """One attempt. Raises DeliveryError."""
    if isinstance(target, Webhook):
        post(target, notice)
    else:
        run(target, notice)


def post(target: Webhook, notice: Notice) -> None:
    """POST the message to a webhook."""
    try:
        response = respond(target.url.get_secret_value(), body=slack_json(notice), timeout=POST_SECONDS)
    except EndpointError as error:  # its message holds the URL
        if error.status is not None:
            raise DeliveryError(f"it redirects (status {error.status})", retry=False) from None
        silent = error.kind is FailureKind.ENDPOINT_WEDGED
        raise DeliveryError("no answer in time" if silent else "it cannot be reached") from None
    if response.status // 100 != 2:
        retry = response.status in WORTH_A_RETRY or response.status >= 500
        after = response.headers.get("retry-after", "")
        raise DeliveryError(f"status {response.status}", retry=retry, after=float(after) if after.isdecimal() else None)


def run(target: Command, notice: Notice, *, seconds: float = COMMAND_SECONDS) -> None:
    """Start a command without a shell, with the JSON on stdin. After `seconds` its whole session is killed."""
    env = {name: value for name, value in os.environ.items() if name not in WITHOUT}
    env |= {"APPLEJACK_EVENT": notice.kind.value, "APPLEJACK_RUN": notice.run_id}
    try:
        child = subprocess.Popen(
            target.words,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # a command's last line of stdout may be read by a program
            stderr=subprocess.DEVNULL,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise DeliveryError(f"it cannot be started: {error.strerror}", retry=False) from None
    try:
        child.communicate(json.dumps(command_json(notice)).encode() + b"\n", timeout=seconds)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise DeliveryError(f"it did not end within {seconds:g} s", retry=False) from None
    if child.returncode:
        raise DeliveryError(f"exit code {child.returncode}")
