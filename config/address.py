"""What the address of a server tells: whether it is on this machine, and what of it may be shown."""

import ipaddress


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach an address; "" is every interface."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def without_secret(url: str) -> str:
    """A URL without user and password, fit for records and messages."""
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else url
