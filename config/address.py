"""What the address of a server tells: whether it is on this machine, and what of it may be shown."""

import ipaddress
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach an address; "" is every interface."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def http_parts(url: str) -> SplitResult | None:
    """The parts of a URL that can be asked over HTTP; None for any other text."""
    with suppress(ValueError):  # a port that is no number or too large, half of an IPv6 address
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    return None


def without_secret(url: str) -> str:
    """A URL without user and password, fit for records and messages."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else url
