"""Messages that are not applejack's: not JSON, not a task, or with fields that Celery does not expect."""

import base64
import json
import random

from config.topology import GENERATE, TRAIN


def message(task: object = GENERATE, body: object = None, **changes: object) -> dict[str, object]:
    """A message as Celery sends it, with changes at its top level."""
    encoded = base64.b64encode(json.dumps([["r", "j"], {}, {}] if body is None else body).encode()).decode()
    return {
        "body": encoded,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": task, "id": "1", "lang": "py", "retries": 0, "eta": None, "root_id": "1"},
        "properties": {
            "correlation_id": "1",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "generate", "routing_key": "generate"},
            "body_encoding": "base64",
            "delivery_tag": "tag-1",
        },
        **changes,
    }


WRONG = [
    b"not json",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    json.dumps(message(body="text")).encode(),
    json.dumps(message(body=[["r"], {}, {}])).encode(),
    json.dumps(message(body=[["r", {"deep": 1}], {}, {}])).encode(),
    json.dumps(message(body=[["r", "j" * 10_000], {}, {}])).encode(),
    json.dumps(message(body=[["r", "j"], {"extra": 1}, {}])).encode(),
    json.dumps(message(task="os.system")).encode(),
    json.dumps(message(task=7)).encode(),
    json.dumps(message(task=TRAIN, body=[["r"], {}, {}])).encode(),
    json.dumps(message(headers=None)).encode(),
    json.dumps(message(properties={})).encode(),
    json.dumps(message(**{"content-type": "application/x-python-serialize"})).encode(),
    json.dumps(message(**{"content-encoding": "zip"})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "eta": 5})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "eta": "never"})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "retries": "many", "timelimit": "x"})).encode(),
    json.dumps(message(headers={"task": GENERATE, "id": "1", "expires": "soon", "group_index": {}})).encode(),
]


def random_bytes(rng: random.Random) -> bytes:
    """A message that is cut, changed in one byte, or only noise."""
    whole = bytearray(json.dumps(message()).encode())
    match rng.randrange(3):
        case 0:
            return bytes(whole[: rng.randrange(len(whole))])
        case 1:
            whole[rng.randrange(len(whole))] = rng.randrange(256)
            return bytes(whole)
    return rng.randbytes(rng.randrange(1, 200))
