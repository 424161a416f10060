from config.errors import FailureKind
from config.ledger.jobs import Claim
from config.records import Failure, Prompt, Spec
from worker.never_rolled import never_rolled

PROMPT = Prompt(
    prompt="where?", category="c", requires_tools=False, workspace="code@main", expect={"contains": ["x"]}, split="test"
)


def test_a_job_that_never_rolled_keeps_what_its_prompt_says() -> None:
    claim = Claim("r", "000001-aa", attempt=2, token="t", deliveries=3, exhausted=True, history=())
    failure = Failure.of(FailureKind.WORKER_LOST, "two workers died on it")
    made = never_rolled(Spec(run_id="r", system_prompt="look"), PROMPT, claim, failure)
    assert made.model_dump(include=set(Prompt.model_fields)) == PROMPT.model_dump(exclude={"workspace"})
    assert made.model_extra == {}  # a field of prompts that trajectories do not know would stand here
    assert (made.run_id, made.job_id, made.attempt, made.system_prompt) == ("r", "000001-aa", 2, "look")
    assert (made.outcome, made.failure, made.messages) == ("failed", failure, ())
