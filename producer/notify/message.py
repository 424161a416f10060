"""The JSON of a notice, in the shape of Slack's incoming webhooks, which Mattermost and Discord (/slack) accept too."""

from config.records import JsonObject
from producer.notify.events import EventKind, Notice

MARKS = {
    EventKind.DONE: ":white_check_mark:",
    EventKind.FAILED: ":x:",
    EventKind.CANCELLED: ":no_entry_sign:",
    EventKind.STALLED: ":hourglass:",
    EventKind.RECOVERED: ":arrow_forward:",
    EventKind.FAILURES: ":warning:",
    EventKind.WORKER_SILENT: ":zzz:",
    EventKind.WORKER_PAUSED: ":double_vertical_bar:",
    EventKind.TEST: ":wave:",
}
MOST_FIELDS = 10  # of a section; Slack refuses more
MOST_TEXT = 2900  # characters of a section; Slack refuses more than 3000


def slack_json(notice: Notice) -> JsonObject:
    """`text` alone tells everything, for programs that ignore `blocks`."""
    sentence, command = escaped(notice.sentence)[:MOST_TEXT], f"`{escaped(notice.command)}`"
    said = f"{MARKS[notice.kind]} {sentence}"
    blocks: list[JsonObject] = [_section(said)]
    if figures := list(notice.figures.items())[:MOST_FIELDS]:
        fields = [_text(f"*{escaped(name)}*\n{escaped(value)[:200]}") for name, value in figures]
        blocks.append({"type": "section", "fields": [*fields]})
    blocks.append({"type": "context", "elements": [_text(f"Next: {command}")]})
    return {"text": f"{said}\nNext: {command}", "blocks": [*blocks]}


def command_json(notice: Notice) -> JsonObject:
    """What a command receives on stdin: the same, and the facts by name."""
    facts: JsonObject = {
        "event": notice.kind.value,
        "run_id": notice.run_id or None,
        "version": notice.version or None,
        "sentence": notice.sentence,
        "figures": dict(notice.figures),
        "next": notice.command,
    }
    return {**slack_json(notice), **facts}


def escaped(text: str) -> str:
    """Slack's three control characters as entities, so that a text cannot mention a channel or make a link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> JsonObject:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> JsonObject:
    return {"type": "mrkdwn", "text": text}
