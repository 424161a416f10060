"""Bases of applejack's pages in Flower: a page that reads the ledger, its live updates, a dialog and an action.

A live page renders on the server and works without scripts. With them, static/live.js opens an event stream at the
page's own address; the stream sends the fragments whose HTML has changed, and data for charts.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import ClassVar, TypeVar

from flower.views import BaseHandler
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, authenticated

from config.errors import ApplejackError, StoreDeniedError, StoreError, UsageError
from config.ledger import Ledger
from config.records import JsonObject
from config.settings import Settings
from producer.flower import text

LIVE_SECONDS = 2.0  # between two looks of a stream; workers send heartbeats as often
KEEP_ALIVE_SECONDS = 15.0  # a comment in a silent stream, by which a dead connection is found
EVENT_STREAM = "text/event-stream"
LOADS_PER_COST = 50.0  # a load is repeated after 50 times its CPU time: it takes 2% of a core
SELDOM_SECONDS = 10.0  # but not later than this
DIALOG = "dialog"  # X-Requested-With of live.js when it loads the content of a dialog

T = TypeVar("T")
Loaded = tuple[Mapping[str, object], float]  # the values of a page, and the CPU seconds that they took


class SharedLoads:
    """Loads of pages that all open streams share: ten open pages read the ledger as often as one.

    A load that costs much is repeated seldom, so that an open page of a big run takes about 2% of a core.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loads: dict[object, asyncio.Future[Mapping[str, object]]] = {}
        self._until: dict[object, float] = {}  # when the load of a key is too old; not there while it runs

    async def get(self, key: object, load: Callable[[], Awaitable[Loaded]]) -> Mapping[str, object]:
        """The values of `key`, loaded a short time ago; raises what `load` raised."""
        now = time.monotonic()
        for old in [known for known, until in self._until.items() if until <= now]:
            del self._until[old], self._loads[old]
        if key not in self._loads:
            self._loads[key] = asyncio.ensure_future(self._load(key, load))
        return await asyncio.shield(self._loads[key])

    async def _load(self, key: object, load: Callable[[], Awaitable[Loaded]]) -> Mapping[str, object]:
        began, cost = time.monotonic(), 0.0
        try:
            values, cost = await load()
            return values
        finally:
            self._until[key] = began + max(self._seconds, min(LOADS_PER_COST * cost, SELDOM_SECONDS))


LOADS = SharedLoads(LIVE_SECONDS)


def status_of(error: ApplejackError) -> int:
    """The HTTP status of an error of an action."""
    if isinstance(error, StoreDeniedError):
        return 403
    return 503 if isinstance(error, StoreError) else 400


class LedgerPage(BaseHandler):  # type: ignore[misc]  # Flower has no type information
    """A page of Flower that reads the ledger, in a thread because redis-py blocks."""

    tab: ClassVar[str] = "runs"
    """the entry of the navigation that is marked"""

    def initialize(self, ledger: Ledger, settings: Settings) -> None:
        """Store what the page reads from; the settings have the ledger's URL."""
        self.ledger, self.settings_ = ledger, settings

    async def blocking(self, read: Callable[..., T], *args: object, **options: object) -> T:
        """Call a function in a thread. UsageError becomes 404, other errors of the ledger 403 or 503."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(None, partial(read, *args, **options))
        except UsageError as error:
            raise HTTPError(404, str(error)) from error
        except StoreError as error:
            raise HTTPError(status_of(error), str(error)) from error

    def show(self, page: str, **values: object) -> None:
        """Render one of applejack's pages, with the formatting functions of text.py."""
        self.set_header("Cache-Control", "no-store")
        self.render(page, **self._helpers(), **values)

    def fragment(self, template: str, **values: object) -> str:
        """Render a part of a page."""
        return str(self.render_string(template, **self._helpers(), **values).decode())

    def address(self, name: str, *args: str) -> str:
        """Address of a page by its name; "" if this Flower has no such page."""
        try:
            return str(self.reverse_url(name, *args))
        except KeyError:
            return ""

    def _helpers(self) -> Mapping[str, object]:
        assets = partial(self.reverse_url, "asset")
        return {**text.HELPERS, "assets": assets, "address": self.address, "active_tab": self.tab}


class LivePage(LedgerPage):
    """A page whose fragments follow the ledger. A subclass sets the class variables and `load`."""

    page: ClassVar[str]
    """template of the whole page, which includes the fragments"""
    fragments: ClassVar[Mapping[str, str]]
    """id of an element -> template of its content"""

    def load(self, *ids: str) -> Mapping[str, object]:
        """What the templates show; runs in a thread. `ids` are the groups of the URL. UsageError becomes 404.

        Open streams share the result, so it depends on the address and its query only, never on the user.
        """
        raise NotImplementedError

    def _measured_load(self, *ids: str) -> Loaded:
        began = time.thread_time()
        values = self.load(*ids)
        return values, time.thread_time() - began

    def charts(self, values: Mapping[str, object]) -> JsonObject:  # noqa: ARG002 - for subclasses
        """Data of the page's charts, by element id; static/charts.js describes it. None by default."""
        return {}

    @authenticated
    async def get(self, *ids: str) -> None:
        """The page, or its stream of changes for a client that accepts only that."""
        if self.request.headers.get("Accept") == EVENT_STREAM:
            await self._stream(*ids)
            return
        values = await self.blocking(self.load, *ids)
        self.show(self.page, charts=self.charts(values), **values)

    async def _stream(self, *ids: str) -> None:
        self.set_header("Content-Type", EVENT_STREAM)
        self.set_header("Cache-Control", "no-store")
        try:
            async for message in self._messages(*ids):
                self.write(message)
                await self.flush()
        except StreamClosedError:
            return

    async def _messages(self, *ids: str) -> AsyncIterator[str]:
        """Server-sent events: one at once, then one for each change, until the client has gone."""
        sent: dict[str, str] = {}
        silent_since = time.monotonic()
        while not self.request.connection.stream.closed():
            message = await self._changes(sent, *ids)
            if message or time.monotonic() - silent_since > KEEP_ALIVE_SECONDS:
                silent_since = time.monotonic()
                yield f"data: {json.dumps(message)}\n\n" if message else ": alive\n\n"
            await asyncio.sleep(LIVE_SECONDS)

    async def _changes(self, sent: dict[str, str], *ids: str) -> JsonObject:
        """What differs from what was sent: {"html": {id: text}, "charts": {id: data}}, or {"error": text}."""
        try:
            key = (type(self), ids, self.request.query)
            values = await LOADS.get(key, lambda: self.blocking(self._measured_load, *ids))
        except HTTPError as error:
            return {"error": error.log_message or str(error)}
        html = {name: self.fragment(template, **values) for name, template in self.fragments.items()}
        charts = self.charts(values)
        fresh = {**html, **{f"chart {name}": json.dumps(data) for name, data in charts.items()}}
        changed = {name for name, content in fresh.items() if sent.get(name) != content}
        sent.update(fresh)
        parts: JsonObject = {
            "html": {name: content for name, content in html.items() if name in changed},
            "charts": {name: data for name, data in charts.items() if f"chart {name}" in changed},
        }
        return {name: part for name, part in parts.items() if part}


class DialogPage(LedgerPage):
    """A question before an action: the content of a dialog, or without scripts a page. A subclass sets both."""

    page: ClassVar[str]
    """template of the content"""

    def load(self, *ids: str) -> Mapping[str, object]:
        """What the template shows; runs in a thread. UsageError becomes 404."""
        raise NotImplementedError

    @authenticated
    async def get(self, *ids: str) -> None:
        """The content alone for live.js, else within a page."""
        values = await self.blocking(self.load, *ids)
        alone = self.request.headers.get("X-Requested-With") == DIALOG
        if alone:
            self.show(self.page, **values)
        else:
            self.show("dialog.html", fragment=self.fragment(self.page, **values), **values)


class Action(LedgerPage):
    """A change that a button asks for by POST. Requires the login and the page's token; a subclass sets `act`."""

    def check_xsrf_cookie(self) -> None:
        """Require the token also where Flower does without: with a password that the browser sends by itself."""
        super().check_xsrf_cookie()
        RequestHandler.check_xsrf_cookie(self)

    def act(self, *ids: str) -> str:
        """Make the change and say in one sentence what was done; runs in a thread. UsageError becomes 400."""
        raise NotImplementedError

    @authenticated
    async def post(self, *ids: str) -> None:
        """Act, then answer with JSON {"message"} or {"error"}, or without scripts go back to the page."""
        body: JsonObject
        try:
            loop = asyncio.get_running_loop()
            body = {"message": await loop.run_in_executor(None, partial(self.act, *ids))}
        except ApplejackError as error:
            self.set_status(status_of(error))
            body = {"error": str(error)}
        if self.request.headers.get("Accept") == "application/json":
            self.set_header("Content-Type", "application/json")
            self.finish(json.dumps(body))
        elif "error" in body:
            self.show("refused.html", error=body["error"], back=self.back())
        else:
            self.redirect(self.back(), status=303)

    def back(self) -> str:
        """The page to return to: the form's field `back` if it is a page of this site, else the runs."""
        wanted = self.get_body_argument("back", "")
        return wanted if is_own_page(wanted) else str(self.reverse_url("runs"))


def is_own_page(address: str) -> bool:
    """Whether an address is a path on this site.

    Browsers read "//host" and "/\\host" as another site's address, and leave tabs and line breaks out before that.
    """
    return address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
