"""Targets of --notify and $APPLEJACK_NOTIFY; an error never quotes a webhook's path."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import UsageError
from config.settings import Settings
from producer.notify.targets import Command, Webhook, fingerprint, parse_targets

SECRET = "T00/B00/xyzzySECRET"
URL = f"https://hooks.slack.com/services/{SECRET}"


def test_webhooks_and_commands_are_told_apart() -> None:
    hook, command = parse_targets([URL, "sh -c 'cat > out'"], None)
    assert isinstance(hook, Webhook)
    assert hook.url.get_secret_value() == URL
    assert isinstance(command, Command)
    assert command.words[1:] == ("-c", "cat > out")
    assert Path(command.words[0]).is_absolute()


def test_the_variable_counts_without_the_option() -> None:
    variable = SecretStr(f" {URL} ; cat ;")
    assert [type(one) for one in parse_targets([], variable)] == [Webhook, Command]
    assert [type(one) for one in parse_targets(["cat"], variable)] == [Command]
    assert parse_targets([], None) == ()


def test_a_file_must_be_private(tmp_path: Path) -> None:
    file = tmp_path / "notify"
    file.write_text(f"# Slack\n{URL}\n\ncat -\n")
    file.chmod(0o600)
    assert [type(one) for one in parse_targets([f"@{file}"], None)] == [Webhook, Command]
    file.chmod(0o640)
    with pytest.raises(UsageError, match="chmod 600") as caught:
        parse_targets([f"@{file}"], None)
    assert SECRET not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        parse_targets([f"@{tmp_path / 'nowhere'}"], None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"ftp://hooks/{SECRET}", "not of the form https"),
        (f"https:///{SECRET}", "not of the form https"),
        (f"https://host/{SECRET} more", "not of the form https"),
        ("", "is empty"),
        (f"no-such-program {SECRET}", "'no-such-program', which is not a program"),
        (f"sh -c '{SECRET}", "cannot be split into words"),
    ],
)
def test_what_is_not_a_target_is_refused_without_its_secret(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_targets([text], None)
    assert SECRET not in str(caught.value)


def test_nothing_that_is_printed_holds_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = parse_targets([URL, f"cat {SECRET}"], None)
    monkeypatch.setenv("APPLEJACK_NOTIFY", URL)
    for shown in (repr(targets), *(one.shown for one in targets), *map(fingerprint, targets), repr(Settings())):
        assert SECRET not in shown
    assert targets[0].shown == "webhook at hooks.slack.com"
    assert len({fingerprint(one) for one in targets}) == 2
