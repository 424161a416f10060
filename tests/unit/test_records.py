from config.errors import FailureKind
from config.records import Failure, Prompt, Spec, Trajectory

PROMPT = Prompt(
    prompt="where?", category="c", requires_tools=False, workspace="code@main", expect={"contains": ["x"]}, split="test"
)


def test_a_failed_trajectory_keeps_every_field_of_its_prompt() -> None:
    failure = Failure(kind=FailureKind.WORKER_LOST, message="two workers died on it")
    spec = Spec(run_id="r", system_prompt="look")
    made = Trajectory.failed(spec, PROMPT, failure, run_id="r", job_id="000001-aa", attempt=2)
    assert made.model_dump(include=set(Prompt.model_fields) - {"job_id"}) == PROMPT.model_dump(exclude={"workspace"})
    assert made.model_extra == {}  # a prompt field that Trajectory does not declare would appear here
    assert (made.run_id, made.job_id, made.attempt, made.system_prompt) == ("r", "000001-aa", 2, "look")
    assert (made.outcome, made.failure, made.messages) == ("failed", failure, ())


def test_an_unused_new_field_of_a_spec_is_not_stored() -> None:
    """Workers of the version before refuse a spec with a field that they do not know."""
    unused = Spec(run_id="r").model_dump_json()
    for name, value in (("keep_wrong", True), ("evaluate_samples", 3), ("evaluate_concurrency", 8)):
        assert name not in unused
        used = Spec.model_validate({"run_id": "r", name: value})
        assert f'"{name}":' in used.model_dump_json()
        assert Spec.model_validate_json(used.model_dump_json()) == used
