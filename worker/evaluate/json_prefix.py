"""Tells JSON that was cut from JSON that is wrong."""

import json

LITERALS = ("true", "false", "null", "-")
ESCAPE_CHARS = 6  # of \u0041


def is_json_prefix(text: str) -> bool:
    """Whether a text is the beginning of a JSON value, and not a whole one: what it lacks could follow its end."""
    try:
        json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        rest = text[error.pos :]
        if not rest.strip() or error.msg.startswith("Unterminated string"):
            return True
        if error.msg.startswith("Invalid \\"):
            return len(rest) < ESCAPE_CHARS
        return error.msg == "Expecting value" and any(literal.startswith(rest.strip()) for literal in LITERALS)
    except RecursionError:
        return False
    return False
