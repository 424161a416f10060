"""Many runs are read in few round trips, with what a list shows of them."""

import redis
from pydantic import SecretStr

from config.ledger import Ledger
from config.records import JobState, RunControl, StageState
from config.topology import Stage
from tests.support.shown_runs import claimed, created, curate, finish_jobs, start_jobs


def test_summaries_agree_with_the_runs(ledger: Ledger) -> None:
    going, held, trains = "going", "held", "trains"
    ids = created(ledger, going, 10)
    finish_jobs(ledger, going, ids[:9])
    start_jobs(ledger, going, ids[9:])
    created(ledger, held, 2)
    ledger.controls.pause(held)
    jobs = created(ledger, trains, 9)
    finish_jobs(ledger, trains, jobs)
    curate(ledger, trains, jobs)
    claimed(ledger, trains, Stage.TRAIN)
    found = ledger.summaries.read([trains, "removed", held, going], now=ledger.fleet.now())
    assert [one.run_id for one in found] == [trains, held, going]
    for one in found:
        run = ledger.run(one.run_id)
        assert one.counts == ledger.jobs.counts(one.run_id)
        assert (one.total, one.created, one.control, one.version) == (run.total, run.created, run.control, run.version)
        assert [head.state for head in one.stages] == [ledger.stages.view(one.run_id, stage).state for stage in Stage]
        assert sum(one.recent.values()) == sum(ledger.counters(one.run_id)[0].values())
    assert found[0].curated["kept"] == ledger.stages.view(trains, Stage.CURATE).result["kept"]
    assert found[0].workers == ("studio@desk",)  # it trains
    assert found[1].control is RunControl.PAUSED
    assert found[2].workers == ("studio@desk",)  # it has the job in flight
    assert found[2].counts[JobState.FAILED] == 1


def test_a_result_of_an_earlier_curation_is_not_shown(ledger: Ledger) -> None:
    ids = created(ledger, "night", 3)
    finish_jobs(ledger, "night", ids)
    curate(ledger, "night", ids)
    ledger.jobs.resubmit("night", ids[:1], train=False, evaluate=False)
    [found] = ledger.summaries.read(["night"], now=ledger.fleet.now())
    assert found.stages[0].state is StageState.WAITING
    assert found.curated == {}


def test_no_run_takes_no_command_for_runs(ledger: Ledger, redis_url: SecretStr) -> None:
    with redis.Redis.from_url(redis_url.get_secret_value()) as client:
        client.config_resetstat()
        assert ledger.summaries.read([], now=1.0) == []
        assert "cmdstat_hmget" not in client.info("commandstats")
