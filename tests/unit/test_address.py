import pytest

from config.address import is_loopback, without_secret


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("127.8.8.8", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),  # Tornado's word for every interface
        (None, False),  # a URL without a host
        ("192.168.1.7", False),
        ("mac-studio.local", False),  # whatever it resolves to
    ],
)
def test_only_loopback_is_loopback(address: str | None, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:token@host.example/x/y@z", "https://host.example/x/y@z"),  # a revision is no secret
        ("git@host.example:x/y", "git@host.example:x/y"),  # ssh's user is none either
    ],
)
def test_secret_of_a_url_is_not_shown(url: str, shown: str) -> None:
    assert without_secret(url) == shown
