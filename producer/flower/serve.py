"""Flower's own application with our options and our Runs page; strangers see nothing but its health check."""

import errno
import logging
import os
import signal
import socket

from flower.app import Flower
from flower.options import options
from flower.urls import settings as flower_settings
from flower.views.broker import BrokerView
from flower.views.monitor import Metrics
from tornado.web import authenticated, url

from config import logs
from config.address import is_loopback
from config.broker import make_app
from config.errors import UsageError
from config.ledger import Ledger
from config.settings import Settings
from config.topology import QUEUES
from producer.flower.credentials import find_credentials
from producer.flower.runs import RunPage, RunsPage
from producer.flower.templates import Templates
from producer.output import Output
from producer.stack.redis_server import find_live

ADDRESS = "127.0.0.1"  # Flower's own default is every interface
PORT = 5555
LAST_PORT = 65535
SAVE_MS = 10_000  # what a kill may cost of Flower's task list
COLUMNS = "name,args,state,result,received,runtime,worker"  # args hold the prompt, which makes the list readable


class EveryQueue(BrokerView):  # type: ignore[misc]  # Flower has no type information
    """Flower shows the queues of live workers; a queue that nobody reads is the one to see."""

    def get_active_queue_names(self) -> list[str]:
        """All of ours."""
        return list(QUEUES)


class GuardedMetrics(Metrics):  # type: ignore[misc]  # Flower has no type information
    """Flower leaves /metrics open; task and worker names are nobody else's business."""

    @authenticated
    async def get(self) -> None:
        """The metrics, for whoever may see the pages."""
        await super().get()


def serve(settings: Settings, *, address: str, port: int, output: Output) -> None:
    """Serve until SIGTERM or Ctrl-C; once it listens, `output` gets what a person needs to log in. Port 0: a free one.

    UsageError when there is no Redis, the address or port cannot be had, or a wider address is asked for without one's
    own password.
    """
    if not 0 <= port <= LAST_PORT:  # the system would take the rest of a division by 65536
        raise UsageError(f"--port {port} is no port; give one from 1 to {LAST_PORT}, or 0 for a free one")
    _require_address(address)
    redis_url = settings.redis_url or find_live(settings.dir)
    if redis_url is None:
        raise UsageError(f"no stack runs on {str(settings.dir)!r}; start `applejack up`, or set APPLEJACK_REDIS_URL")
    credentials = find_credentials(settings, settings.dir)
    if credentials.file is not None and not is_loopback(address):
        raise UsageError(
            f"--address {address!r} opens Flower to other machines; set APPLEJACK_FLOWER_USER and "
            "APPLEJACK_FLOWER_PASSWORD first"
        )
    logs.configure(settings)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)  # it would open the API to any web page
    options.address, options.port = address, port
    options.basic_auth = [credentials.pair]
    options.persistent, options.state_save_interval = True, SAVE_MS
    options.db = str(settings.dir / "flower")
    options.tasks_columns = COLUMNS
    settings.dir.mkdir(parents=True, exist_ok=True)
    watched = settings.model_copy(update={"redis_url": redis_url})
    app = Flower(capp=make_app(watched), options=options, **flower_settings, template_loader=Templates())
    app.add_handlers(
        ".*",
        [
            url(r"/runs", RunsPage, {"ledger": Ledger.connect(redis_url.get_secret_value())}, name="runs"),
            url(r"/runs/(.+)", RunPage, {"ledger": Ledger.connect(redis_url.get_secret_value())}, name="run"),
            (r"/broker", EveryQueue),
            (r"/metrics", GuardedMetrics),
        ],
    )
    try:
        bound = app.start_http_server()
    except OSError as error:
        option = "--address" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise UsageError(f"cannot listen on {address}:{port} ({error.strerror}); choose another {option}") from error
    shown = f"[{address}]" if ":" in address else address
    link, password = f"http://{shown}:{bound}", credentials.file or "APPLEJACK_FLOWER_PASSWORD"
    output.console.print(f"Flower: {link}  runs: {link}/runs", markup=False)
    output.console.print(f"user {credentials.user!r}, password in {password}", markup=False)
    output.result({"url": link})
    _run(app)


def _require_address(address: str) -> None:
    try:
        socket.getaddrinfo(address or None, 0)  # "" is every interface
    except (OSError, UnicodeError) as error:
        raise UsageError(f"there is no address {address!r}; give --address one of this machine's, or none") from error


def _run(app: Flower) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app.start()
    except KeyboardInterrupt:
        return
    finally:
        app.stop()
