"""Files and verdicts that are stored part by part, by a worker that was suspended meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from config.errors import StoppedError, StoreError
from config.ledger import Ledger
from config.ledger.fleet import LeaseRef
from config.ledger.stages import StageClaim, stage_member
from config.ledger.store import ledger_client
from config.ledger.verdicts import BATCH
from config.records import Prompt, Spec, Trajectory, Verdict
from config.topology import Stage
from producer import control

PROMPTS = [Prompt(prompt=f"question {number}") for number in range(4)]
SPEC = Spec(run_id="r", workspace="/code")


def test_an_upload_that_goes_on_beside_its_heirs_mixes_no_files(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without Upload._own: "part 1 of 'a' is missing from the ledger"."""
    for name in ("suspended", "heir"):
        for file in ("a", "b"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / file).write_text(f"{file} of {name}")

    def suspended(path: Path) -> Iterator[bytes]:
        if path == tmp_path / "suspended" / "b":
            ledger.files.put("r", "dataset", tmp_path / "heir")
            assert ledger.files.read("r", "dataset", "a") == b"a of heir"
        yield path.read_bytes()

    ledger.create(SPEC, PROMPTS)
    monkeypatch.setattr("config.ledger.files.read_chunks", suspended)
    ledger.files.put("r", "dataset", tmp_path / "suspended")
    assert [ledger.files.read("r", "dataset", file) for file in ("a", "b")] == [b"a of suspended", b"b of suspended"]


def finished_job(ledger: Ledger) -> str:
    """The only job of a run, which is to be curated."""
    [job_id] = ledger.create(SPEC, PROMPTS[:1]).job_ids
    ledger.jobs.begin("r", job_id, worker="w", lease_seconds=9, delivery_limit=3)
    ledger.jobs.finish(Trajectory(run_id="r", job_id=job_id, attempt=1, prompt="q", outcome="completed"), worker="w")
    return job_id


def claimed(ledger: Ledger, worker: str) -> LeaseRef:
    """Its curation, leased for a millisecond."""
    claim = ledger.stages.begin("r", Stage.CURATE, worker=worker, lease_seconds=0.001)
    assert isinstance(claim, StageClaim)
    time.sleep(0.01)
    return LeaseRef("r", stage_member(Stage.CURATE), claim.token)


@pytest.mark.parametrize("taken", ["by another worker", "by a person"])
def test_a_worker_that_has_lost_its_lease_replaces_nothing(ledger: Ledger, tmp_path: Path, taken: str) -> None:
    """Fails without the comparison of the token in Upload.replace: the files of the woken worker replace its heir's."""
    job_id = finished_job(ledger)
    woken, heir = claimed(ledger, "woken"), None
    (tmp_path / "file").write_text("of the heir")
    if taken == "by another worker":
        heir = claimed(ledger, "heir")
    ledger.files.put("r", "dataset", tmp_path, lease=heir)
    ledger.set_verdicts("r", [Verdict(job_id=job_id)], lease=heir)
    if taken == "by a person":
        control.cancel(ledger, "r")
    (tmp_path / "file").write_text("of the woken worker")
    with pytest.raises(StoppedError, match="another worker has its work now, or its run was cancelled"):
        ledger.files.put("r", "dataset", tmp_path, lease=woken)
    with pytest.raises(StoppedError):
        ledger.set_verdicts("r", [], lease=woken)
    assert ledger.files.read("r", "dataset", "file") == b"of the heir"
    assert list(ledger.verdicts("r")) == [job_id]


def test_an_upload_whose_last_answer_is_lost_is_stored_once(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails without Upload._sent: the repetition finds no parts and says they have expired."""
    finished_job(ledger)
    lost = []
    parse = redis.Redis.parse_response

    def without_answer(client: redis.Redis, connection: redis.Connection, name: str, **options: object) -> object:
        answer = parse(client, connection, name, **options)
        if name == "_" and isinstance(answer, list) and b"OK" in answer and not lost:  # of a transaction's EXEC
            lost.append(answer)
            raise redis.ConnectionError("the answer was lost")
        return answer

    (tmp_path / "file").write_text("content")
    lease = claimed(ledger, "worker")
    monkeypatch.setattr(redis.Redis, "parse_response", without_answer)
    ledger.files.put("r", "dataset", tmp_path, lease=lease)
    assert lost
    assert ledger.files.read("r", "dataset", "file") == b"content"


def test_an_upload_whose_first_parts_have_expired_replaces_nothing(ledger: Ledger, redis_url: SecretStr) -> None:
    """Fails without the count in Upload.replace: the run has only the last verdict."""
    job_ids = ledger.create(SPEC, PROMPTS).job_ids
    ledger.set_verdicts("r", [Verdict(job_id=job_id) for job_id in job_ids])
    client = ledger_client(redis_url.get_secret_value())
    assert client.ttl("applejack:run:r:verdicts") == -1  # for ever

    def slow() -> Iterator[Verdict]:
        for number in range(BATCH + 1):
            yield Verdict(job_id=f"{number}")
        [own] = client.keys("applejack:run:r:verdicts:new:*")
        assert client.ttl(own) > 0  # of a killed worker, it would be deleted
        client.delete(own)

    with pytest.raises(StoreError, match="interrupted for more than 60 minutes"):
        ledger.set_verdicts("r", slow())
    assert sorted(ledger.verdicts("r")) == sorted(job_ids)
