"""Messages with hostile headers or signatures, and results that cannot be counted, take no slot of a worker."""

import base64
import json

import pytest
from pydantic import SecretStr

from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.records import JobState, StageState
from config.topology import CURATE, QUEUE_CURATE, QUEUE_GENERATE, Stage
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, RUN, all_terminal, answering, prompts, submit, until
from tests.support.scripted_endpoint import ScriptedEndpoint
from worker.fleet.broker_channel import UnreadableMessageError, parse

STAGE = {
    "task": CURATE,
    "args": ["r"],
    "kwargs": {},
    "options": {"queue": QUEUE_CURATE},
    "subtask_type": None,
    "immutable": True,
}
CHAIN = {
    "task": "celery.chain",
    "args": [],
    "kwargs": {"tasks": [STAGE]},
    "options": {"task_id": "1"},
    "subtask_type": "chain",
    "immutable": False,
}
CHORD = {"chord": STAGE}


def message(embed: object = None, *, number: int = 0, **headers: object) -> bytes:
    """A stage of a run that is not there, as Celery sends it."""
    body = base64.b64encode(json.dumps([["nope"], {}, embed or {}]).encode()).decode()
    properties = {
        "correlation_id": str(number),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE_CURATE},
        "body_encoding": "base64",
        "delivery_tag": f"tag-{number}",
    }
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"task": CURATE, "id": f"id-{number}", "root_id": "1", "retries": 0, **headers},
            "properties": properties,
        }
    ).encode()


REFUSED: dict[str, tuple[object, dict[str, object]]] = {
    "group index": (CHORD, {"group": "g", "group_index": "x"}),
    "chord is a number": ({"chord": 5}, {"group": "g2", "group_index": 0}),
    "chord without task": ({"chord": {"x": 1}}, {"group": "g3", "group_index": 0}),
    "chord with other options": ({"chord": {**STAGE, "options": {"queue": QUEUE_CURATE, "serializer": "pickle"}}}, {}),
    "chain of a text": ({"chord": {**CHAIN, "kwargs": {"tasks": ["x"]}}}, {}),
    "stage of another queue": ({"chain": [{**STAGE, "options": {"queue": "nowhere"}}]}, {}),
    "callback": ({"callbacks": [STAGE]}, {}),
    "callback is a text": ({"callbacks": ["x"]}, {}),
    "callbacks is a number": ({"callbacks": 7}, {}),
    "errbacks is a number": ({"errbacks": 5}, {}),
    "chain of a number": ({"chain": [5]}, {}),
    "attribute of the context": ({"id": 5, "args": "x"}, {}),
    "retries": ({}, {"retries": "many"}),
    "description": ({}, {"argsrepr": {"a": 1}, "kwargsrepr": [1]}),
}
DROPPED: dict[str, dict[str, object]] = {
    "stamps": {"stamped_headers": 5, "stamps": 7},
    "time limit": {"timelimit": [0.0001, 0.0001]},
    "context": {"args": "x", "kwargs": "y", "hostname": 5, "is_eager": True, "delivery_info": 7, "_children": 3},
    "log": {"loglevel": {}, "logfile": 5, "use_protocol": "x", "reply_to": 5, "correlation_id": {}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_message_of_another_shape_is_unreadable(case: str) -> None:
    embed, headers = REFUSED[case]
    with pytest.raises(UnreadableMessageError):
        parse(message(embed, **headers), QUEUE_CURATE)


@pytest.mark.parametrize("case", DROPPED)
def test_headers_that_no_message_of_applejack_needs_are_dropped(case: str) -> None:
    plain = parse(message(), QUEUE_CURATE)
    assert parse(message(**DROPPED[case]), QUEUE_CURATE) == plain


@pytest.mark.parametrize("embed", [CHORD, {"chord": CHAIN}, {"chain": [STAGE]}, {"chain": None, "callbacks": None}])
def test_signatures_of_stages_are_readable(embed: object) -> None:
    assert parse(message(embed, group="g", group_index=0), QUEUE_CURATE)


@pytest.mark.timeout(240)
def test_hostile_headers_take_no_slot(ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker) -> None:
    """Fails without Headers and Embed in broker_channel.parse, or without the guards of mark_as_done and
    mark_as_failure in config/result_backend.py: the run is not taken, for both threads have been lost.
    """
    client = ledger_client(redis_url.get_secret_value())
    client.set("celery-taskset-meta-wrong.j", "text")
    client.set("celery-taskset-meta-wrong.t", "text")
    client.rpush("celery-task-meta-id-900", "text")
    planted = [message(embed, number=number, **fields) for number, (embed, fields) in enumerate(REFUSED.values())]
    planted += [message(number=number, **fields) for number, fields in enumerate(DROPPED.values(), start=100)]
    planted += [message(CHORD, number=number, group="wrong", group_index=number) for number in range(200, 203)]
    planted += [message(number=900)] * 3
    with ScriptedEndpoint(answering()) as endpoint:
        env = {**QUICK, "APPLEJACK_ENDPOINT": endpoint.base_url}
        worker = start_worker(f"{QUEUE_GENERATE},{QUEUE_CURATE}", "w1", env=env, concurrency=2, wait=False)
        until(ledger.fleet.workers, "the worker", seconds=150)
        client.lpush(QUEUE_CURATE, *planted)
        until(lambda: client.llen(QUEUE_CURATE) == 0 and client.hlen("unacked") == 0, "all messages to be ended")
        assert ledger.dead_letters.count() == len(REFUSED)
        job_ids = submit(ledger, redis_url, prompts(4))
        assert all_terminal(ledger)[JobState.GENERATED] == len(job_ids)
        until(lambda: ledger.stages.view(RUN, Stage.CURATE).state in (StageState.DONE, StageState.FAILED), "curation")
        assert ledger.dead_letters.count() == len(REFUSED), ledger.dead_letters.newest()
        assert worker.child.exit_code is None, worker.child.log_tail(20)
