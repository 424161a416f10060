"""The environment: what is refused, by which name, and what is only pointed out."""

import pytest

from config.errors import UsageError
from config.settings import misspelt, settings


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEASE_SECONDS", "abc", "APPLEJACK_LEASE_SECONDS is 'abc': Input should be a valid number"),
        ("CONCURRENCY", "0", "APPLEJACK_CONCURRENCY is '0': Input should be greater than or equal to 1"),
        ("LOG_LEVEL", "loud", "APPLEJACK_LOG_LEVEL is 'loud': Input should be 'debug', "),
        ("REDIS_URL", "garbage", "APPLEJACK_REDIS_URL: 'garbage' is not a Redis URL"),
        ("REDIS_URL", "", "APPLEJACK_REDIS_URL: '' is not a Redis URL"),
        (
            "REDIS_URL",
            "http://:hunter2@h:1/0",
            "APPLEJACK_REDIS_URL: 'http://h:1/0' is not a Redis URL",
        ),  # another protocol
        (
            "REDIS_URL",
            ":hunter2@h:1",
            "APPLEJACK_REDIS_URL: 'h:1' is not a Redis URL",
        ),  # a password in a text that is not a URL
        ("REDIS_URL", "redis://:hunter2@h:99999/0", "APPLEJACK_REDIS_URL: 'redis://h:99999/0' is not a Redis URL"),
        (
            "REDIS_URL",
            "redis://:hunter2@h/runs",
            "APPLEJACK_REDIS_URL: 'redis://h/runs' is not a Redis URL",
        ),  # no number
        ("REDIS_URL", "redis://", "APPLEJACK_REDIS_URL: 'redis://' is not a Redis URL"),
        ("REDIS_URL", "redis://[::1", "APPLEJACK_REDIS_URL: 'redis://[::1' is not a Redis URL"),
    ],
)
def test_a_value_that_does_not_fit_is_told_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"APPLEJACK_{name}", value)
    with pytest.raises(UsageError) as refused:
        settings()
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith("; correct it or unset it")
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://h", "redis://:p@h:6379", "rediss://u:p@h:6379/1", "redis://[::1]:6379/0"])
def test_the_urls_of_a_redis(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("APPLEJACK_REDIS_URL", url)
    found = settings().redis_url
    assert found is not None
    assert found.get_secret_value() == url


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("APPLEJACK_LEASE_SECNDS", "APPLEJACK_LEASE_SECONDS"),
        ("APPLEJACK_REDIS", "APPLEJACK_REDIS_URL"),
        ("APPLEJACK_REDISURL", "APPLEJACK_REDIS_URL"),
        ("APPLEJACK_DIR", None),  # a setting
        ("APPLEJACK_TEST_MARK", None),  # somebody else's: near to nothing
        ("LEASE_SECNDS", None),
    ],
)
def test_a_misspelt_name_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, near: str | None
) -> None:
    assert misspelt([name]) == ([f"{name} is not a setting and is ignored; did you mean {near}?"] if near else [])
    monkeypatch.setenv(name, "1")
    settings()
    assert capsys.readouterr().err == (f"applejack: {misspelt([name])[0]}\n" if near else "")
