"""Server addresses: whether one is on this machine, and how to print it without its secrets."""

import ipaddress
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit


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
    """Remove user and password from a URL, for records and messages."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else url
