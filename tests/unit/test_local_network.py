"""The hint for connections that macOS blocks, on errors of the real clients; the refusal of the network is planted."""

import errno
import platform
import socket

import pytest
import redis
from pydantic import SecretStr

from config.endpoint.client import request
from config.errors import EndpointError, StoreUnavailableError
from config.ledger.store import redis_errors
from config.local_network import HINT, local_network_hint
from producer.doctor.store import Store

LAN = "192.0.2.5"  # an address of the documentation network; nothing is sent


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS 15, whose network answers each connection as local network privacy does."""

    def no_route(*_: object, **__: object) -> None:
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(socket.socket, "connect", no_route)
    monkeypatch.setattr(platform, "mac_ver", lambda: ("15.3.1", ("", "", ""), "arm64"))


def test_the_endpoint_clients_error_has_the_hint(blocked: None) -> None:
    with pytest.raises(EndpointError, match=r"No route to host; macOS may block it: .*Local Network"):
        request(f"http://{LAN}:8080/v1/models", timeout=5)


def test_the_error_of_redis_has_the_hint(blocked: None) -> None:
    with pytest.raises(StoreUnavailableError) as caught, redis_errors():
        redis.Redis(LAN, retry=None).ping()
    assert str(caught.value).endswith(HINT)
    assert "\n" not in str(caught.value)


def test_doctor_has_the_hint_in_its_remedy(blocked: None) -> None:
    (finding,) = Store(SecretStr(f"redis://:pw@{LAN}:6379/0")).answers()
    assert finding.name == "redis_unreachable"
    assert finding.remedy.endswith(HINT)


@pytest.mark.parametrize(
    ("number", "macos", "hinted"),
    [
        (errno.EHOSTUNREACH, 15, True),
        (errno.EHOSTUNREACH, 26, True),
        (errno.EHOSTUNREACH, 14, False),  # macOS before local network privacy
        (errno.EHOSTUNREACH, 0, False),  # Linux
        (errno.ECONNREFUSED, 15, False),  # the host answered
    ],
)
def test_only_a_blocked_connection_on_macos_15_gets_the_hint(number: int, macos: int, hinted: bool) -> None:
    assert bool(local_network_hint(OSError(number, "x"), macos=macos)) is hinted


def test_this_machine_gets_no_hint_unless_it_is_such_a_mac() -> None:
    expected = int(platform.mac_ver()[0].partition(".")[0] or 0) >= 15
    assert bool(local_network_hint(OSError(errno.EHOSTUNREACH, "x"))) is expected
