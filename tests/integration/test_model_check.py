"""`submit` asks the live workers for the run's models before it queues anything."""

import pytest

from config.errors import UsageError
from config.records import JsonObject
from producer.model_check import FleetModels, require_student, require_teacher


def fleet(part: str, queue: str, **answers: JsonObject | None) -> FleetModels:
    """Live workers of one queue with their answers; None: it did not answer in time."""
    given: dict[str, JsonObject] = {name: {part: answer} for name, answer in answers.items() if answer}
    return FleetModels({name: [queue] for name in answers}, given)


NO: JsonObject = {"serves": False, "models": ["x"]}


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        ({}, False),  # no worker is alive: the run waits
        ({"a": NO}, True),
        ({"a": NO, "b": {"serves": True}}, False),
        ({"a": NO, "b": {"serves": None}}, False),  # a cloud that does not list its models
        ({"a": NO, "b": None}, False),  # asleep, or of an older version
    ],
)
def test_a_teacher_is_refused_only_if_every_live_worker_says_no(
    answers: dict[str, JsonObject | None], refused: bool
) -> None:
    asked = fleet("teacher", "generate", **answers)
    if refused:
        with pytest.raises(UsageError, match="a serves 'x'"):
            require_teacher(asked, "m")
    else:
        require_teacher(asked, "m")


def test_a_student_is_asked_of_the_workers_that_need_it() -> None:
    missing: JsonObject = {"here": False, "why": "no model directory '/s'"}
    with pytest.raises(UsageError, match="no live curate worker has --student '/s': a: no model directory"):
        require_student(fleet("student", "curate", a=missing), "/s", train=False)
    require_student(fleet("student", "curate", a=missing, b={"here": True}), "/s", train=False)
    require_student(fleet("student", "train", a=missing), "/s", train=False)
    with pytest.raises(UsageError, match="no live train worker"):
        require_student(fleet("student", "train", a=missing), "/s", train=True)
