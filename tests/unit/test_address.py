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
        ("redis://:s3c@ret@host:6379/0", "redis://host:6379/0"),  # works: the last "@" counts
        ("redis://:s3c/ret@host:6379/0", "redis://host:6379/0"),  # not percent-encoded: refused, and shown
        ("redis://:s3c#ret@host:6379/0", "redis://host:6379/0"),
        ("redis://:s3c?ret@host:6379/0", "redis://host:6379/0"),
        ("redis://me:12/s3cret@host:6379/0", "redis://host:6379/0"),  # "me:12" could be a host
        ("rediss://host/0?password=s3cret&ssl_ca_certs=ca", "rediss://host/0?password=***&ssl_ca_certs=ca"),
        ("redis://host/0?password=s3c@r#et", "redis://host/0?password=***"),
        ("rediss://host/0?ssl_password=s3cret", "rediss://host/0?ssl_password=***"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("http://me:s3c/ret@host.example/v1", "http://host.example/v1"),
        ("https://host.example/v1?api_key=s3cret", "https://host.example/v1?api_key=***"),
        ("https://host.example/v1?model=a", "https://host.example/v1?model=a"),
    ],
)
def test_secret_of_a_url_is_not_shown(url: str, shown: str) -> None:
    assert without_secret(url) == shown
