"""Values in Redis that lead out of a folder or would take all memory: who may write to Redis has no worker's disk."""

import base64
import hashlib
import json
import tracemalloc
import zlib
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config.errors import StoreError
from config.ledger import Ledger, encoding
from config.ledger.encoding import unpack
from config.ledger.files import CHUNK
from config.ledger.store import ledger_client
from config.records import Prompt, Spec
from config.settings import Settings
from config.topology import ACTIVE, QUEUE_CURATE, Stage, run_key
from producer.enqueue import enqueue_stage
from tests.integration.conftest import StartWorker
from tests.support.fleet import QUICK, RUN, until


@pytest.mark.parametrize("relative", [False, True])
def test_a_run_id_that_is_a_path_leads_nowhere(
    ledger: Ledger, redis_url: SecretStr, start_worker: StartWorker, tmp_path: Path, relative: bool
) -> None:
    """Fails without RUN_ID in broker_channel.py and the comparison in Ledger.run: a stage replaces the folder."""
    client = ledger_client(redis_url.get_secret_value())
    (tmp_path / "home" / "unseen").mkdir(parents=True)
    (tmp_path / "home" / "unseen" / "precious").write_text("mine")
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "evil.sh").write_text("#!/bin/sh\n")
    ledger.create(Spec(run_id=RUN, dataset_format="seed-text", train=False), [Prompt(prompt="q")])
    ledger.files.put(RUN, "unseen", tmp_path / "planted")
    wrong = "../../home" if relative else str(tmp_path / "home")
    copy_run(client, RUN, wrong)
    client.hset(run_key(wrong, "stage:curate"), "state", "ready")
    client.sadd(ACTIVE, wrong)
    enqueue_stage(Settings(redis_url=redis_url), wrong, Stage.CURATE)
    start_worker(QUEUE_CURATE, "w1", env=QUICK, wait=False)
    until(lambda: {letter.place for letter in ledger.dead_letters.newest()} >= {QUEUE_CURATE, f"run {wrong}"}, "both")
    with pytest.raises(ValueError, match="in its spec"):
        ledger.run(wrong)
    assert [path.name for path in (tmp_path / "home" / "unseen").iterdir()] == ["precious"]
    assert client.hget(run_key(wrong, "stage:curate"), "state") == b"ready"


def copy_run(client: redis.Redis, run_id: str, to: str) -> None:
    """Copy the keys of a run to another id, which no record has checked."""
    for key in list(client.scan_iter(match=run_key(run_id, "*"))):
        name = key.decode().removeprefix(run_key(run_id, ""))
        client.restore(run_key(to, name), 0, client.dump(key), replace=True)


def test_a_compressed_bomb_takes_no_memory(
    ledger: Ledger, redis_url: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without the limits of `decompress`: 1 MB in Redis becomes 1 GB in whatever reads the run."""
    monkeypatch.setattr(encoding, "MOST_BYTES", 2 * CHUNK)
    bomb = zlib.compress(bytes(32 * CHUNK))
    files = {"train.jsonl": {"chunks": 1, "sha256": hashlib.sha256(b"").hexdigest()}}
    client = ledger_client(redis_url.get_secret_value())
    client.hset(run_key(RUN, "files:dataset"), mapping={"manifest": json.dumps(files), "train.jsonl\n1": bomb})
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match=r"part 1 of 'train\.jsonl' in the ledger cannot be read"):
            ledger.files.get(RUN, "dataset", tmp_path / "dataset")
        assert tracemalloc.get_traced_memory()[1] < 4 * CHUNK
        with pytest.raises(zlib.error, match="more than"):
            unpack(bomb)
        assert tracemalloc.get_traced_memory()[1] < 8 * CHUNK
    finally:
        tracemalloc.stop()


def test_content_that_is_cut_off_is_no_content() -> None:
    with pytest.raises(zlib.error, match="cut off"):
        unpack(zlib.compress(base64.b64encode(bytes(1000)))[:-8])
