"""Which applejack this is."""

from functools import cache


@cache
def version() -> str:
    """The installed version, "unknown" in a checkout that was never installed."""
    from importlib import metadata  # 20 ms that `--help` does not need

    try:
        return metadata.version("applejack")
    except metadata.PackageNotFoundError:
        return "unknown"
