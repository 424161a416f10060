"""Which applejack this is."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The installed version, "unknown" in a checkout that was never installed."""
    try:
        return metadata.version("applejack")
    except metadata.PackageNotFoundError:
        return "unknown"
