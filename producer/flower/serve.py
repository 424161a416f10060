"""Flower's own application with our options and our Runs page; strangers see nothing but its health check."""

import logging
import os
import signal
from collections.abc import Callable

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
from producer.flower.runs import RunsView, RunView
from producer.flower.templates import Templates
from producer.server import find_live

ADDRESS = "127.0.0.1"  # Flower's own default is every interface
PORT = 5555
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


def serve(settings: Settings, *, address: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; `tell` gets the lines a person needs to log in.

    UsageError when there is no Redis, the port is taken, or a wider address is asked for without one's own password.
    """
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
            url(r"/runs", RunsView, {"ledger": Ledger.connect(redis_url.get_secret_value())}, name="runs"),
            url(r"/runs/(.+)", RunView, {"ledger": Ledger.connect(redis_url.get_secret_value())}, name="run"),
            (r"/broker", EveryQueue),
            (r"/metrics", GuardedMetrics),
        ],
    )
    try:
        bound = app.start_http_server()
    except OSError as error:
        raise UsageError(f"cannot listen on {address}:{port} ({error.strerror}); choose another --port") from error
    shown = f"[{address}]" if ":" in address else address
    tell(f"Flower: http://{shown}:{bound}  runs: http://{shown}:{bound}/runs")
    tell(f"user {credentials.user!r}, password in {credentials.file or 'APPLEJACK_FLOWER_PASSWORD'}")
    _run(app)


def _run(app: Flower) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app.start()
    except KeyboardInterrupt:
        return
    finally:
        app.stop()
