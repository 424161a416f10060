"""Who may use Flower: a browser with the password, or with the session of a one-time link (login.py).

`Access.install` puts the rules into the base class of all of Flower's handlers, its own pages, its API and applejack's.

    password    HTTP basic authentication. After many wrong ones from an address, it is refused there for a minute.
    session     a signed cookie that lasts SESSION_DAYS. A browser sends it by itself, also to a form that a page on
                another port of this machine posts, so that each POST needs proof that it comes from Flower's own page.

A session ends before its time when the password changes or the key file is removed and Flower restarts.
"""

import base64
import hashlib
import hmac
import secrets
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from flower.views import BaseHandler
from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, RequestHandler

from config.atomic_files import write_text
from config.errors import UsageError

KEY_FILE = "flower-session-key"  # mode 600; a restart of Flower does not log anybody out
KEY_BYTES = 32
SESSION_DAYS = 0.5  # a working day
SESSION = "applejack"  # the cookie's value; its signature and time are what counts
WRONG_LIMIT = 30  # wrong passwords from one address within WRONG_SECONDS; a person types a few
WRONG_SECONDS = 60.0
FRAMES = "frame-ancestors 'none'"  # no page of another site may show Flower under its own buttons
# Markup that a worker or a model planted stays text; should a template ever fail to escape it, it runs no script.
POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    f"form-action 'self'; {FRAMES}"
)
OURS = __name__.partition(".")[0]  # pages of this package; Flower's own have a script in the page
HEADERS = {"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"}

_check_origin = BaseHandler.check_xsrf_cookie  # Flower's own rules, which stay in force
_set_default_headers = BaseHandler.set_default_headers


def cookie_secret(folder: Path, pair: str) -> str:
    """Key that signs the sessions, from a private file in the folder, made if missing, and "USER:PASSWORD".

    UsageError if the file cannot be read or written.
    """
    file = folder / KEY_FILE
    try:
        if not file.exists():
            write_text(file, secrets.token_hex(KEY_BYTES), private=True)
        key = bytes.fromhex(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot use {str(file)!r} ({error}); remove it to make a new key") from error
    if len(key) < KEY_BYTES:
        raise UsageError(f"cannot use {str(file)!r} (it has no key); remove it to make a new key")
    return hmac.new(key, pair.encode(), hashlib.sha256).hexdigest()


def start_session(handler: RequestHandler) -> None:
    """Log the browser of this request in."""
    handler.set_signed_cookie(
        cookie_name(handler.request),
        SESSION,
        expires_days=SESSION_DAYS,
        httponly=True,
        samesite="Strict",
        secure=handler.request.protocol == "https",
    )


def has_session(handler: RequestHandler) -> bool:
    """Whether the request has a session that this Flower signed and that has not expired."""
    return handler.get_signed_cookie(cookie_name(handler.request), max_age_days=SESSION_DAYS) == SESSION.encode()


def cookie_name(request: HTTPServerRequest) -> str:
    """Cookies belong to a host, whatever the port: two Flowers of one machine need two names."""
    port = request.host.rpartition(":")[2]
    return f"applejack-session-{port if port.isdecimal() else request.protocol}"


def is_same_origin(request: HTTPServerRequest) -> bool:
    """Whether the browser vouches that a page of this very server sent the request."""
    if site := request.headers.get("Sec-Fetch-Site"):
        return bool(site == "same-origin")
    return urlsplit(request.headers.get("Origin") or "").netloc == request.host


@dataclass
class WrongPasswords:
    """Times of recent wrong passwords, by address."""

    _times: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))

    def add(self, address: str, now: float) -> None:
        """Count a wrong password; forgets addresses without a recent one."""
        for other in [other for other, times in self._times.items() if now - times[-1] > WRONG_SECONDS]:
            del self._times[other]
        self._times[address].append(now)

    def too_many(self, address: str, now: float) -> bool:
        """Whether the password is refused for now, also the right one."""
        times = self._times.get(address, deque())
        while times and now - times[0] > WRONG_SECONDS:
            times.popleft()
        if not times:
            self._times.pop(address, None)
        return len(times) >= WRONG_LIMIT


@dataclass(frozen=True)
class Access:
    """The rules. `pair` is "USER:PASSWORD"."""

    pair: str
    wrong: WrongPasswords = field(default_factory=WrongPasswords)

    def install(self) -> None:
        """Put the rules into Flower's base class."""

        def get_current_user(handler: RequestHandler) -> bool:
            return self.require_user(handler)

        BaseHandler.get_current_user = get_current_user
        BaseHandler.check_xsrf_cookie = check_post
        BaseHandler.set_default_headers = set_headers

    def require_user(self, handler: RequestHandler) -> bool:
        """Accept the session or the password; HTTPError 401 without either, 429 after too many wrong passwords."""
        if has_session(handler):
            return True
        given = handler.request.headers.get("Authorization")
        if not given:
            raise HTTPError(HTTPStatus.UNAUTHORIZED)
        address, now = handler.request.remote_ip or "", time.monotonic()
        if self.wrong.too_many(address, now):
            message = "too many wrong passwords from this address: wait a minute, or log in with `applejack open`"
            raise HTTPError(HTTPStatus.TOO_MANY_REQUESTS, message)
        if not hmac.compare_digest(_credentials(given), self.pair.encode()):
            self.wrong.add(address, now)
            raise HTTPError(HTTPStatus.UNAUTHORIZED)
        return True


def check_post(handler: RequestHandler) -> None:
    """Refuse what a page of another origin sends; with a session, also what has neither proof nor token."""
    _check_origin(handler)
    if has_session(handler) and not is_same_origin(handler.request):
        RequestHandler.check_xsrf_cookie(handler)


def set_headers(handler: RequestHandler) -> None:
    """Add the headers that every page needs to Flower's own."""
    _set_default_headers(handler)
    for name, value in HEADERS.items():
        handler.set_header(name, value)
    ours = type(handler).__module__.partition(".")[0] == OURS
    handler.set_header("Content-Security-Policy", POLICY if ours else FRAMES)


def _credentials(header: str) -> bytes:
    """User and password of an Authorization header; b"" if it is not basic authentication."""
    scheme, _, encoded = header.partition(" ")
    try:
        return base64.b64decode(encoded.strip(), validate=True) if scheme.lower() == "basic" else b""
    except ValueError:
        return b""
