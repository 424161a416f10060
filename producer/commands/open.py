"""`applejack open`: Flower's pages in the browser, logged in by a link that works once."""

import os
import socket
import sys
import time
import webbrowser
from http.client import HTTPException
from typing import Annotated
from urllib.parse import urlsplit
from urllib.request import urlopen

import typer

from config.address import http_parts, without_secret
from config.errors import UsageError
from config.ledger import Ledger
from config.ledger.logins import LOGIN_SECONDS, FlowerAddress
from config.terminal import say
from producer.commands.options import Dir, Json, settings_with_dir
from producer.connect import open_ledger
from producer.output import Output

FIND_SECONDS = 6.0  # a Flower that has just started announces itself within a second, after an outage within five
ANSWER_SECONDS = 5.0
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def open(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Id of a run; the list of runs by default.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Flower's address as this machine reaches it, for instance through an ssh tunnel "
            "[default: the running Flower].",
        ),
    ] = None,
    print_link: Annotated[
        bool, typer.Option("--print", help="Print the link instead of opening it. It is the only line on stdout.")
    ] = False,
    folder: Dir = None,
    as_json: Json = False,
) -> None:
    """Open the Runs pages in the browser, logged in by a one-time link.

    The link logs in whoever opens it first, within a minute; afterwards it is void. The browser stays logged in for 12
    hours. With --json, or on a machine without a screen, the link is printed instead.
    """
    output = Output(as_json)
    with open_ledger(settings_with_dir(folder)) as (ledger, _):
        if run is not None:
            ledger.run(run)
        base = given(url) if url else running(ledger)
        require_answer(base)
        link = f"{base}/applejack/login?token={ledger.logins.create(run or '')}"
    if not (print_link or as_json) and open_browser(link):
        output.console.print(f"opened {base} in the browser", markup=False)
    elif not as_json:
        say(f"this link logs in once, within {LOGIN_SECONDS} s; keep it to yourself:", file=sys.stderr)
        say(link)
    output.result({"url": link})


def given(url: str) -> str:
    """The address that the user gave, without a slash at the end; UsageError if it is not one."""
    if http_parts(url) is None:
        raise UsageError(f"--url {without_secret(url)!r} is not of the form http://HOST:PORT; give Flower's address")
    return url.rstrip("/")


def running(ledger: Ledger) -> str:
    """Address of the running Flower, of this machine's where there are several. UsageError if there is none."""
    deadline = time.monotonic() + FIND_SECONDS
    while not (found := [flower for flower in ledger.logins.flowers() if is_web(flower)]):
        if time.monotonic() > deadline:
            raise UsageError("no Flower is running; start one with `applejack flower`, or give its --url")
        time.sleep(0.5)
    return reachable(found, socket.gethostname())


def is_web(flower: FlowerAddress) -> bool:
    """Whether an announced Flower has web addresses; anybody who can write to Redis announces any other, as file:."""
    return None not in (http_parts(flower.url), http_parts(flower.local_url))


def reachable(found: list[FlowerAddress], here: str) -> str:
    """Choose among the running Flowers, from the machine `here`. UsageError if it reaches none of them."""
    if own := [flower.local_url for flower in found if flower.host == here]:
        return own[0]
    if public := [flower.url for flower in found if not flower.loopback]:
        return public[0]
    flower = found[0]
    port = urlsplit(flower.url).port
    raise UsageError(
        f"Flower runs on {flower.host!r} and only that machine can reach it: run "
        f"`ssh -L {port}:127.0.0.1:{port} {flower.host}`, then give --url http://127.0.0.1:{port}"
    )


def require_answer(base: str) -> None:
    """UsageError unless Flower answers there, so that no token is made for nothing."""
    try:
        with urlopen(f"{base}/healthcheck", timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - http or https only
            answer.read(100)
    except (OSError, HTTPException, ValueError) as error:
        raise UsageError(
            f"Flower at {without_secret(base)!r} does not answer ({error}); start it with `applejack flower`, or give "
            "the --url by which this machine reaches it"
        ) from error


def open_browser(link: str) -> bool:
    """Open a link in the user's browser; False if this machine has no screen or no browser."""
    if "SSH_CONNECTION" in os.environ and "BROWSER" not in os.environ and "DISPLAY" not in os.environ:
        return False
    if sys.platform != "darwin" and not any(name in os.environ for name in SCREENS):
        return False
    try:
        return webbrowser.open(link)
    except webbrowser.Error:
        return False
