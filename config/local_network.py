"""A hint for a connection that macOS 15 or later may have blocked (Apple's technical note TN3179).

Local network privacy applies to background agents of launchd and to programs started from other terminals than
Terminal. A blocked connection to an address of the local network fails with EHOSTUNREACH, "No route to host".
"""

import errno
import platform

FIRST = 15  # the first macOS with local network privacy
HINT = (
    "; macOS may block it: allow Python under System Settings > Privacy & Security > Local Network, "
    "or start applejack from Terminal (docs/mac.md)"
)


def macos_major() -> int:
    """The major version of macOS; 0 on other systems."""
    number = platform.mac_ver()[0].partition(".")[0]
    return int(number) if number.isdecimal() else 0


def local_network_hint(error: BaseException, *, macos: int | None = None) -> str:
    """HINT if this error, or one that caused it, is the one of a blocked connection; "" otherwise.

    `macos` is the major version of macOS [default: this machine's].
    """
    if (macos_major() if macos is None else macos) < FIRST:
        return ""
    seen: BaseException | None = error
    while seen is not None:
        reason = getattr(seen, "reason", None)  # urllib's URLError has it instead of a cause
        if errno.EHOSTUNREACH in (getattr(seen, "errno", None), getattr(reason, "errno", None)):
            return HINT
        seen = seen.__cause__ or seen.__context__
    return ""
