"""Files and verdicts that are stored part by part, by a worker that was suspended meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.errors import StoreError
from config.ledger import Ledger
from config.ledger.store import ledger_client
from config.ledger.verdicts import BATCH
from config.records import Prompt, Spec, Verdict

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
