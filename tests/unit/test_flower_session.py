"""The key of sessions, the count of wrong passwords, and which Flower `applejack open` chooses."""

import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.errors import UsageError
from config.ledger.logins import FlowerAddress
from producer.commands import open as open_command
from producer.commands.open import reachable, running
from producer.flower.login import flower_address
from producer.flower.session import KEY_FILE, WRONG_LIMIT, WRONG_SECONDS, WrongPasswords, cookie_secret

HERE, THERE = "studio.local", "gpu"


def test_the_key_outlives_a_restart_and_not_a_new_password(tmp_path: Path) -> None:
    first = cookie_secret(tmp_path, "applejack:one")
    assert cookie_secret(tmp_path, "applejack:one") == first
    assert cookie_secret(tmp_path, "applejack:two") != first
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    (tmp_path / KEY_FILE).unlink()
    assert cookie_secret(tmp_path, "applejack:one") != first


@pytest.mark.parametrize("content", ["", "00", "not hexadecimal"])
def test_a_key_file_without_a_key_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / KEY_FILE).write_text(content)
    with pytest.raises(UsageError, match="remove it to make a new key"):
        cookie_secret(tmp_path, "applejack:one")


def test_wrong_passwords_are_counted_for_a_minute_and_by_address() -> None:
    wrong = WrongPasswords()
    for second in range(WRONG_LIMIT):
        assert not wrong.too_many("10.0.0.1", float(second))
        wrong.add("10.0.0.1", float(second))
    assert wrong.too_many("10.0.0.1", float(WRONG_LIMIT))
    assert not wrong.too_many("10.0.0.2", float(WRONG_LIMIT))
    assert not wrong.too_many("10.0.0.1", WRONG_SECONDS + 1)  # the first two are older than a minute
    wrong.add("10.0.0.2", 10 * WRONG_SECONDS)
    assert list(wrong._times) == ["10.0.0.2"]  # addresses do not pile up


@pytest.mark.parametrize(
    ("address", "url", "local_url", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:5555", "http://127.0.0.1:5555", True),
        ("::1", "http://[::1]:5555", "http://[::1]:5555", True),
        ("10.0.0.7", "http://10.0.0.7:5555", "http://10.0.0.7:5555", False),
        ("0.0.0.0", "http://studio.local:5555", "http://127.0.0.1:5555", False),
        ("", "http://studio.local:5555", "http://127.0.0.1:5555", False),
    ],
)
def test_the_address_for_this_machine_and_for_others(
    monkeypatch: pytest.MonkeyPatch, address: str, url: str, local_url: str, loopback: bool
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: HERE)
    found = flower_address(address, 5555)
    assert found == FlowerAddress(url=url, local_url=local_url, host=HERE, loopback=loopback)


def flower(host: str, *, loopback: bool) -> FlowerAddress:
    local = "http://127.0.0.1:5555"
    return FlowerAddress(
        url=local if loopback else f"http://{host}:5555", local_url=local, host=host, loopback=loopback
    )


def test_this_machines_flower_is_chosen_first() -> None:
    found = [flower(THERE, loopback=False), flower(HERE, loopback=True)]
    assert reachable(found, HERE) == "http://127.0.0.1:5555"
    assert reachable(found, "another") == "http://gpu:5555"


def test_a_flower_on_another_machines_loopback_needs_a_tunnel() -> None:
    with pytest.raises(UsageError, match=r"ssh -L 5555:127.0.0.1:5555 gpu.*--url http://127.0.0.1:5555"):
        reachable([flower(THERE, loopback=True)], HERE)


@pytest.mark.parametrize("address", ["file:///etc/passwd#", "javascript:alert(1)//", "ftp://gpu", "//gpu", ""])
def test_an_announced_address_that_is_not_of_the_web_is_not_opened(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without is_web in producer/commands/open.py: the browser opens it."""
    monkeypatch.setattr(open_command, "FIND_SECONDS", 0.0)
    for changed in ({"url": address}, {"local_url": address}):
        planted = flower(HERE, loopback=False).model_copy(update=changed)
        ledger = SimpleNamespace(logins=SimpleNamespace(flowers=lambda planted=planted: [planted]))
        with pytest.raises(UsageError, match="no Flower is running"):
            running(ledger)  # type: ignore[arg-type]
