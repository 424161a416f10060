"""Server addresses: whether one is on this machine, and how to print it without its secrets."""

import ipaddress
import re
from contextlib import suppress
from typing import Final
from urllib.parse import SplitResult, urlsplit

STORES: Final = ("redis", "rediss")
HOST: Final = re.compile(r"(\[[\w:.%]+\]|[^\s:@\[\]]+)(:\d*)?")
SECRETS: Final = re.compile(r"(?i)([?&;][\w-]*(?:password|secret|token|key)=)[^&]*")
"""parameters of a query that hold a secret: password and ssl_password of redis-py, keys of endpoints"""


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach an address. "" means every interface, so it is False."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def http_parts(url: str) -> SplitResult | None:
    """Parse an HTTP or HTTPS URL; None for any other text."""
    with suppress(ValueError):  # a bad port, or an unclosed IPv6 bracket
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    return None


def without_secret(url: str) -> str:
    """Remove user, password and secret parameters from a URL, for records and messages.

    A password that is not percent-encoded may hold "/", "?", "#" and "@": where no host precedes them, and in Redis
    URLs, whose path holds no "@", everything before the last "@" is left out.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    rest = SECRETS.sub(r"\1***", rest)  # first: a parameter may hold an "@"
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    whole = scheme not in STORES and HOST.fullmatch(host)
    shown = rest[len(authority) - len(host) :] if whole else rest.rpartition("@")[2]
    return f"{scheme}{separator}{shown}"
