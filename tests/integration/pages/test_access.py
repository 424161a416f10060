"""Without a login nothing of Flower is accessible, no page of another site presses a button, and markup stays text.

One file of more than 250 lines, because all of it shares one Flower, which takes seconds to start.
"""

import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flower.urls import handlers as flower_handlers
from flower.views.auth import LoginHandler, LogoutHandler
from flower.views.error import NotFoundErrorHandler
from flower.views.monitor import Healthcheck
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tornado.web import Application, RequestHandler, StaticFileHandler, URLSpec, create_signed_value, url

from config.ledger import Ledger
from config.records import Prompt, RunControl, Spec, WorkerControl
from config.settings import Settings
from producer.flower.login import Login
from producer.flower.serve import add_pages
from producer.flower.session import SESSION, cookie_secret
from producer.stack.redis_server import Server
from tests.support.flower_site import Site, flower_site, logged_in
from tests.support.http_server import pages

# What anybody may see: whether Flower lives, static files, "not found", "logged out"; and the one-time login itself.
PUBLIC = (Healthcheck, StaticFileHandler, NotFoundErrorHandler, LoginHandler, LogoutHandler, Login)
OURS = ("/runs", "/runs/night", "/fleet", "/applejack/login?token=x", "/broker")
STREAM = "text/event-stream"
RUN, WORKER = "night", "mac@one"
PAUSE = "/fleet/mac%40one/pause"
TOKEN = "0123456789abcdef0123456789abcdef"  # any value, as cookie and as field, is a valid token
PLANTED = '</small></script><script>window.planted = 1</script><img src=x onerror="window.planted = 1">\'"'


@dataclass
class Routes(Application):
    """Collects what is added to it."""

    specs: list[URLSpec] = field(default_factory=list)

    def add_handlers(self, host_pattern: str, host_handlers: list) -> None:  # noqa: ARG002
        self.specs += [spec if isinstance(spec, URLSpec) else url(*spec) for spec in host_handlers]


def protected() -> list[URLSpec]:
    """Every route that requires a login, applejack's before Flower's, as Flower tries them."""
    routes = Routes()
    add_pages(routes, Ledger.connect("redis://127.0.0.1:1/0"), Settings())
    routes.add_handlers(".*", flower_handlers)
    first = {spec.regex.pattern: spec for spec in reversed(routes.specs)}
    return [spec for spec in first.values() if not issubclass(spec.handler_class, PUBLIC)]


def sample(spec: URLSpec) -> str:
    """An address that the route matches: the first of alternatives, else the run or the worker of this test."""

    def group(found: re.Match[str]) -> str:
        if re.fullmatch(r"[\w|-]+", found[1]):
            return found[1].partition("|")[0]
        return "mac%40one" if "/fleet" in spec.regex.pattern else RUN

    path = re.sub(r"\(([^()]*)\)", group, spec.regex.pattern).rstrip("$").replace("/?", "")
    assert spec.regex.match(path), f"no address is known for {spec.regex.pattern!r}: teach `sample` its form"
    return path


def verbs(spec: URLSpec) -> list[str]:
    names = ("GET", "POST", "PUT", "PATCH", "DELETE")
    return [name for name in names if getattr(spec.handler_class, name.lower()) is not RequestHandler.get]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.start(tmp_path_factory.mktemp("access")) as started:
        yield started


@pytest.fixture(scope="module")
def site(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # FLOWER_UNAUTHENTICATED_API is set on purpose: it must not open the API.
    with flower_site(tmp_path_factory.mktemp("flower"), server.url, FLOWER_UNAUTHENTICATED_API="true") as started:
        yield started


@pytest.fixture(scope="module")
def ledger(server: Server) -> Ledger:
    found = Ledger.connect(server.url.get_secret_value())
    found.create(Spec(run_id=RUN), [Prompt(prompt="question")])
    return found


@pytest.fixture(autouse=True)
def worker(ledger: Ledger) -> None:
    ledger.fleet.heartbeat(WORKER, {"queues": ["generate"], "holds": 0})
    ledger.fleet.set_control(WORKER, WorkerControl.GO)


@pytest.fixture
def session(site: Site, ledger: Ledger) -> str:
    """The cookie of a browser that `applejack open` has logged in."""
    status, headers, _ = ask(site, f"/applejack/login?token={ledger.logins.create('')}")
    assert status == 303
    return next(text.partition(";")[0] for name, text in headers if name == "Set-Cookie" and "session" in text)


Headers = list[tuple[str, str]]


def ask(site: Site, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, Headers, str]:
    """Status, headers and text of one request; `Sec_Fetch_Site` is the header Sec-Fetch-Site. Follows no redirect."""
    connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=20)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if method != "GET":
        sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    if "event-stream" in (answer.headers["Content-Type"] or ""):
        connection.close()
        return answer.status, answer.getheaders(), ""
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, answer.getheaders(), text


def untouched(ledger: Ledger) -> bool:
    run = ledger.run(RUN)
    return ledger.fleet.controls() == {} and (run.control, run.bulk, run.history) == (RunControl.GO, 0, ())


def require_refusal(site: Site, spec: URLSpec) -> None:
    """AssertionError if the route shows or does anything without a login, or with a session that Flower did not sign.

    The request looks like one of Flower's own pages and has a valid token, so that nothing else refuses it.
    """
    path, allowed = sample(spec), verbs(spec)
    assert allowed, "a route without a method"
    name = f"applejack-session-{site.url.rpartition(':')[2]}"
    forged = create_signed_value("guessed", name, SESSION).decode()
    for method in allowed:
        for cookie in ("", f"{name}={forged}; ", f"{name}={SESSION}; "):
            status, headers, text = ask(
                site,
                path,
                method,
                f"_xsrf={TOKEN}",
                Cookie=f"{cookie}_xsrf={TOKEN}",
                Sec_Fetch_Site="same-origin",
                Accept=STREAM if method == "GET" else "application/json",
            )
            assert status == 401, (method, path, text[:200])
            assert "session" not in str(headers)
            assert RUN not in text


@pytest.mark.parametrize("spec", protected(), ids=sample)
def test_every_page_button_and_stream_is_refused_without_a_login(site: Site, ledger: Ledger, spec: URLSpec) -> None:
    require_refusal(site, spec)
    assert untouched(ledger)


def test_a_route_that_forgets_its_login_would_be_found(site: Site) -> None:
    with pytest.raises(AssertionError):
        require_refusal(site, url(r"/healthcheck", Healthcheck))


def test_the_list_of_routes_has_applejacks_and_flowers_own() -> None:
    paths = {sample(spec): spec for spec in protected()}
    assert {"/runs", "/runs/night", "/fleet", PAUSE, "/broker", "/metrics", "/workers", "/api/tasks"} <= set(paths)
    assert verbs(paths[PAUSE]) == ["POST"]
    assert verbs(paths["/fleet"]) == ["GET"]
    assert len(paths) > 25


def test_the_password_and_the_session_are_accepted_everywhere(site: Site, session: str) -> None:
    for path in ("/runs", "/fleet", "/workers", "/tasks", "/broker", "/metrics", "/api/workers"):
        assert site.get(path, pair=site.pair)[0] == 200
        assert ask(site, path, Cookie=session)[0] == 200
    assert ask(site, "/fleet", Cookie=session, Accept=STREAM)[0] == 200


@pytest.mark.parametrize(
    "pair", ["applejack:wrong", "applejack:", ":", "no colon", "applejack:pässwörd", "applejack:x\x00"]
)
def test_a_wrong_password_is_refused(site: Site, pair: str) -> None:
    assert site.get("/runs", pair=pair)[0] == 401


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Bearer x", "Basic \xff\xfe", "Digest username=x"])
def test_an_unreadable_login_is_refused(site: Site, header: str) -> None:
    assert ask(site, "/runs", Authorization=header)[0] == 401


# What a browser adds to a request of another page, and what a script can send without a browser.
FOREIGN = [
    {"Sec_Fetch_Site": "cross-site", "Origin": "http://evil.example"},
    {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:1"},  # another port: the cookies are sent there too
    {"Sec_Fetch_Site": "none"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {},  # no proof at all, and no token below
]


@pytest.mark.parametrize("headers", FOREIGN, ids=json.dumps)
@pytest.mark.parametrize("path", [PAUSE, "/tasks/datatable", "/api/task/revoke/x"])
def test_a_post_with_a_session_needs_proof_of_its_origin(
    site: Site, ledger: Ledger, session: str, path: str, headers: dict[str, str]
) -> None:
    assert ask(site, path, "POST", "draw=1", Cookie=session, **headers)[0] == 403
    token = {"Cookie": f"{session}; _xsrf={TOKEN}"}
    if headers:  # a planted token does not help a page of another origin
        assert ask(site, path, "POST", f"_xsrf={TOKEN}", **token, **headers)[0] == 403
    assert untouched(ledger)


@pytest.mark.parametrize("token", ["", "_xsrf=ffffffffffffffffffffffffffffffff", "_xsrf="])
def test_a_button_needs_the_pages_token_also_from_the_same_origin(
    site: Site, ledger: Ledger, session: str, token: str
) -> None:
    own = {"Sec_Fetch_Site": "same-origin", "Origin": site.url}
    assert ask(site, PAUSE, "POST", token, Cookie=f"{session}; _xsrf={TOKEN}", **own)[0] == 403
    assert untouched(ledger)
    assert ask(site, PAUSE, "POST", f"_xsrf={TOKEN}", Cookie=f"{session}; _xsrf={TOKEN}", **own)[0] == 303
    assert ledger.fleet.control(WORKER) is WorkerControl.PAUSED


def test_flowers_own_buttons_work_with_a_session(site: Site, session: str) -> None:
    own = {"Sec_Fetch_Site": "same-origin", "Origin": site.url, "Cookie": session}
    assert ask(site, "/api/task/revoke/x", "POST", **own)[0] == 200
    assert ask(site, "/api/task/revoke/x", "POST", "", Origin=site.url, Cookie=session)[0] == 200  # an older browser
    token = {"X_XSRFToken": TOKEN, "Cookie": f"{session}; _xsrf={TOKEN}"}  # a script that has the token
    assert ask(site, "/api/task/revoke/x", "POST", **token)[0] == 200


ATTACK = """<!doctype html><form method=post action="{target}"><input name=_xsrf value={token}></form>
<script>document.cookie = "_xsrf={token}; path=/"; document.forms[0].submit()</script>"""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])  # another port of this machine, and another site
def test_a_page_of_another_origin_cannot_press_a_button(
    browser: Browser, site: Site, ledger: Ledger, host: str
) -> None:
    attack = ATTACK.format(target=site.url + PAUSE, token=TOKEN)
    with pages({"/": (200, attack)}) as evil, with_session(browser, site, ledger) as context:
        page = context.new_page()
        with page.expect_response(lambda answer: answer.url.endswith("/pause")) as sent:
            page.goto(evil.replace("127.0.0.1", host))
        assert sent.value.status in (401, 403)
        posted = sent.value.request.all_headers()
        assert ("applejack-session" in posted.get("cookie", "")) == (host == "127.0.0.1")  # the port does not matter
    assert untouched(ledger)


def test_another_site_cannot_show_flower_in_a_frame(browser: Browser, site: Site, ledger: Ledger) -> None:
    html = f'<!doctype html><iframe src="{site.url}/fleet"></iframe>'
    with pages({"/": (200, html)}) as evil, with_session(browser, site, ledger) as context:
        page = context.new_page()
        page.goto(evil)
        page.wait_for_timeout(500)
        assert not any(frame.locator("text=Fleet").count() for frame in page.frames[1:])


@pytest.mark.parametrize("path", [*OURS, "/workers", "/tasks", "/api/workers", "/nowhere"])
def test_every_answer_forbids_frames_sniffing_and_referrers(site: Site, session: str, path: str) -> None:
    _, found, _ = ask(site, path, Cookie=session)
    headers = dict(found)
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    if path in OURS:
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "script-src" not in headers["Content-Security-Policy"]  # nothing weakens the default for scripts


def with_session(browser: Browser, site: Site, ledger: Ledger) -> BrowserContext:
    """A window that a one-time link has logged in; it knows no password."""
    context = browser.new_context(base_url=site.url)
    context.new_page().goto(f"/applejack/login?token={ledger.logins.create('')}")
    return context


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    with logged_in(browser, site) as context:
        yield context.new_page()


def test_markup_of_a_worker_stays_text(page: Page, ledger: Ledger) -> None:
    text = PLANTED
    heartbeat = {
        **dict.fromkeys(("endpoint", "paused", "version", "limit", "limit_reason", "serves", "budget", "awake"), text),
        **dict.fromkeys(("pid", "machine", "first_token_seconds", "tokens_per_second", "clock", "holds"), text),
        "queues": ["generate", text],
        "refuses": {text: text},
        "device": {"name": text, "holder": text, "waiting": [text]},
        "downloading": {"model": text, "bytes": 1, "of": 2},
        "memory": {"available": text, "total": text},
        "disk": text,
    }
    ledger.fleet.heartbeat(f"{text}@{text}", heartbeat)
    ledger.fleet.heartbeat("odd@types", {name: [{"x": text}, None, 1] for name in heartbeat})
    ledger.fleet.set_control(f"gone{text}", WorkerControl.PAUSED)
    try:
        page.goto("/fleet")
        expect(page.get_by_text(text).first).to_be_visible()
        expect(page.locator("#live-status")).to_have_text("live")  # the stream has sent the same again
        assert page.locator("#fleet script, #fleet img").count() == 0
        assert page.evaluate("window.planted") is None
        page.get_by_role("button", name=f"Pause {text}@{text}", exact=True).click()
        expect(page.locator(".toast")).to_contain_text(f"{text}@{text} finishes the work")
        assert ledger.fleet.control(f"{text}@{text}") is WorkerControl.PAUSED
        assert page.evaluate("window.planted") is None
    finally:
        for name in (f"{text}@{text}", "odd@types"):
            ledger.fleet.leave(name)
        for name in ledger.fleet.controls():
            ledger.fleet.set_control(name, WorkerControl.GO)


def test_a_script_that_got_into_a_page_would_not_run(page: Page) -> None:
    page.goto("/fleet")
    page.evaluate("document.querySelector('#fleet').innerHTML = '<img src=x onerror=\"window.planted = 1\">'")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.planted = 1'}))"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("window.planted") is None


def login(site: Site, token: str) -> tuple[int, Headers, str]:
    return ask(site, f"/applejack/login?token={urllib.parse.quote(token)}")


def test_a_link_logs_in_once_and_leaves_no_token_behind(site: Site, ledger: Ledger) -> None:
    token = ledger.logins.create(RUN)
    status, found, _ = login(site, token)
    cookie = next(text for name, text in found if name == "Set-Cookie" and "session" in text)
    assert (status, dict(found)["Location"]) == (303, "/runs/night")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert dict(found)["Cache-Control"] == "no-store"
    refused, again, text = login(site, token)
    assert (refused, "session" in str(again)) == (403, False)
    assert "works once" in text
    assert token not in site.child.log_tail(1000)
    assert token not in text


@pytest.mark.parametrize("token", ["", "guess", "a" * 43, "../x", "%00", "*", "<script>"])
def test_a_wrong_token_gives_no_session(site: Site, token: str) -> None:
    status, headers, text = login(site, token)
    assert (status, "session" in str(headers)) == (403, False)
    assert "<script>" not in text.partition("This link")[2].partition("</div>")[0]


def test_an_expired_token_gives_no_session(site: Site, ledger: Ledger, server: Server) -> None:
    token = ledger.logins.create("")
    keys = ledger._redis.keys("applejack:login:*")
    assert all(0 < ledger._redis.ttl(key) <= 60 for key in keys)
    assert not any(token in key.decode() for key in keys)  # the ledger's files hold no login
    for key in keys:
        ledger._redis.pexpire(key, 1)
    time.sleep(0.05)
    assert login(site, token)[0] == 403


def test_an_old_or_altered_session_is_refused(site: Site, session: str) -> None:
    secret = cookie_secret(site.child.log.parent, site.pair)
    name, _, value = session.partition("=")
    assert ask(site, "/runs", Cookie=session)[0] == 200
    for hours, status in ((11, 200), (13, 401)):
        then = time.time() - hours * 3600
        aged = create_signed_value(secret, name, SESSION, clock=lambda then=then: then).decode()
        assert ask(site, "/runs", Cookie=f"{name}={aged}")[0] == status
    assert ask(site, "/runs", Cookie=f"{name}={value[:-1]}{'0' if value[-1] != '0' else '1'}")[0] == 401
    assert ask(site, "/runs", Cookie=f"applejack-session-1={value}")[0] == 401  # of another Flower of this machine


def test_a_login_during_an_outage_is_not_logged(site: Site, server: Server) -> None:  # the last one: it ends the server
    server.stop()
    token = "secret-of-a-link"
    status, headers, _ = login(site, token)
    assert (status, "session" in str(headers)) == (503, False)
    assert "/applejack/login" in site.child.log_tail(1000)
    assert token not in site.child.log_tail(1000)
