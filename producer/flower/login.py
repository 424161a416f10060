"""Log a browser in by the one-time link of `applejack open`, and let that command find this Flower."""

import asyncio
import socket
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from flower.views import BaseHandler
from tornado.web import HTTPError

from config.address import is_loopback
from config.errors import StoreError
from config.ledger import Ledger
from config.ledger.logins import ANNOUNCE_SECONDS, FlowerAddress
from producer.flower.session import start_session

EVERY_INTERFACE = ("", "0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


class Login(BaseHandler):  # type: ignore[misc]  # Flower has no type information
    """/applejack/login?token=TOKEN: use the token up, start a session, and go to the page without it in its address."""

    def initialize(self, ledger: Ledger) -> None:
        """Store the ledger that has the tokens."""
        self.ledger = ledger

    async def get(self) -> None:
        """Redirect to the run or to all runs; 403 with an explanation for a wrong, used or expired token."""
        self.set_header("Cache-Control", "no-store")
        token = self.get_query_argument("token", "")
        try:
            loop = asyncio.get_running_loop()
            run_id = await loop.run_in_executor(None, partial(self.ledger.logins.use, token))
        except StoreError as error:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from error
        if run_id is None:
            self.set_status(HTTPStatus.FORBIDDEN)
            self.current_user = None  # templates look at it; otherwise a password would be asked for first
            self.render("login.html")
            return
        start_session(self)
        self.redirect(self.reverse_url("run", run_id) if run_id else self.reverse_url("runs"), status=303)

    def _request_summary(self) -> str:
        """What logs print of a request; Tornado's has the query, and so the token."""
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"


def flower_address(address: str, port: int) -> FlowerAddress:
    """Where a Flower that listens on an address of this machine is found, from here and from other machines."""
    host = socket.gethostname()
    own = "127.0.0.1" if address in EVERY_INTERFACE else address
    seen = host if address in EVERY_INTERFACE else address
    return FlowerAddress(
        url=base_url(seen, port), local_url=base_url(own, port), host=host, loopback=is_loopback(own) and own == seen
    )


def base_url(host: str, port: int) -> str:
    """URL of a server, without a slash at the end."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def announce(ledger: Ledger, address: FlowerAddress) -> None:
    """Keep this Flower's address in the ledger, as long as it runs. An unavailable ledger is tried again."""
    loop = asyncio.get_running_loop()
    while True:
        with suppress(StoreError):
            await loop.run_in_executor(None, ledger.logins.announce, address)
        await asyncio.sleep(ANNOUNCE_SECONDS)
