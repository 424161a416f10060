"""Run Flower with applejack's options and Runs page. Without the password only its health check is accessible."""

import errno
import logging
import os
import signal
import socket

from flower.app import Flower
from flower.options import options
from flower.urls import settings as flower_settings
from tornado.web import Application, StaticFileHandler, url

from config import logs
from config.address import is_loopback
from config.broker import make_app
from config.errors import UsageError
from config.ledger import Ledger
from config.private_files import restrict, restrict_log
from config.settings import Settings
from producer.flower.fleet.pages import ControlWorker, FleetPage
from producer.flower.jobs.pages import urls as job_urls
from producer.flower.login import Login, announce, base_url, flower_address
from producer.flower.prometheus.page import MetricsPage
from producer.flower.queues import EveryQueue
from producer.flower.runs.pages import urls as run_urls
from producer.flower.session import Access, cookie_secret
from producer.flower.templates import ASSETS, Templates
from producer.output import Output
from producer.stack.flower_credentials import find_credentials
from producer.stack.redis_server import find_live

ADDRESS = "127.0.0.1"  # Flower's own default is every interface
PORT = 5555
LAST_PORT = 65535
SAVE_MS = 10_000  # between saves of the task list; a kill loses what came after the last save
COLUMNS = "name,args,state,result,received,runtime,worker"  # args contain the prompt, so that tasks are recognisable


def serve(settings: Settings, *, address: str, port: int, output: Output) -> None:
    """Serve until SIGTERM or Ctrl-C; port 0 picks a free port. Prints URL and login to `output` once it listens.

    UsageError if there is no Redis, if the address or port is not available, or if the address is not loopback and
    the settings have no password.
    """
    if not 0 <= port <= LAST_PORT:  # the system would use the port modulo 65536
        raise UsageError(f"--port {port} is not a valid port; give 1 to {LAST_PORT}, or 0 for a free port")
    _require_address(address)
    redis_url = settings.redis_url or find_live(settings.dir)
    if redis_url is None:
        raise UsageError(
            f"no stack is running in {str(settings.dir)!r}; start one with `applejack up`, or set APPLEJACK_REDIS_URL"
        )
    credentials = find_credentials(settings, settings.dir)
    if credentials.file is not None and not is_loopback(address):
        raise UsageError(
            f"--address {address!r} makes Flower reachable from other machines; set APPLEJACK_FLOWER_USER and "
            "APPLEJACK_FLOWER_PASSWORD first"
        )
    logs.configure(settings)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)  # it would make the API accessible without a login
    options.address, options.port = address, port
    options.basic_auth = [credentials.pair]
    options.persistent, options.state_save_interval = True, SAVE_MS
    options.db = str(settings.dir / "flower")
    options.tasks_columns = COLUMNS
    settings.dir.mkdir(parents=True, exist_ok=True)
    restrict(settings.own_places)
    restrict_log()
    with_url = settings.model_copy(update={"redis_url": redis_url})
    Access(credentials.pair).install()
    secret = {"cookie_secret": cookie_secret(settings.dir, credentials.pair)}
    app = Flower(capp=make_app(with_url), options=options, **{**flower_settings, **secret}, template_loader=Templates())
    ledger = Ledger.connect(redis_url.get_secret_value())
    add_pages(app, ledger, with_url)
    try:
        bound = app.start_http_server()
    except OSError as error:
        option = "--address" if error.errno == errno.EADDRNOTAVAIL else "--port"
        raise UsageError(f"cannot listen on {address}:{port} ({error.strerror}); choose another {option}") from error
    app.io_loop.add_callback(announce, ledger, flower_address(address, bound))
    url_, password = base_url(address, bound), credentials.file or "APPLEJACK_FLOWER_PASSWORD"
    output.console.print(f"Flower: {url_}  runs: {url_}/runs", markup=False)
    output.console.print(f"user {credentials.user!r}, password in {password}", markup=False)
    output.result({"url": url_})
    _run(app)


def add_pages(app: Application, ledger: Ledger, settings: Settings) -> None:
    """Add applejack's pages. tests/integration/pages/test_access.py checks that each requires a login."""
    reads: dict[str, object] = {"ledger": ledger, "settings": settings}
    app.add_handlers(
        ".*",
        [
            *run_urls(reads),
            *job_urls(reads),
            url(r"/fleet", FleetPage, reads, name="fleet"),
            url(r"/fleet/(.+)/(pause|resume|drain)", ControlWorker, reads, name="control-worker"),
            url(r"/applejack/login", Login, {"ledger": ledger}, name="one-time-login"),
            url(r"/applejack/static/(.+)", StaticFileHandler, {"path": str(ASSETS)}, name="asset"),
            (r"/broker", EveryQueue, reads),
            (r"/metrics", MetricsPage, reads),
        ],
    )


def _require_address(address: str) -> None:
    try:
        socket.getaddrinfo(address or None, 0)  # "" means every interface
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--address {address!r} is not a valid address; give an address of this machine") from error


def _run(app: Flower) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app.start()
    except KeyboardInterrupt:
        return
    finally:
        app.stop()
