from pathlib import Path

import celery
import pytest

from config.questions.answering_tools import SUFFICIENT
from config.questions.expected_facts import grade
from config.records import Prompt, Spec, Trajectory
from producer.mining.mine import mine
from worker.generate.rollout import run_rollout
from worker.generate.scripted_plans import Result
from worker.generate.scripted_teacher import next_step, scripted_teacher
from worker.tools.workspace import Workspace, open_workspace

SPEC = Spec(run_id="scripted", teacher="scripted")
CELERY = Path(celery.__file__).parent


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return open_workspace(str(CELERY), cache=tmp_path_factory.mktemp("cache"))


def _rolled(prompt: Prompt, workspace: Workspace | None, spec: Spec = SPEC) -> Trajectory:
    teacher = scripted_teacher()
    return run_rollout(prompt, spec=spec, job_id="1", attempt=1, workspace=workspace, teacher=teacher, worker="here")


def _right(prompt: Prompt, said: Trajectory) -> bool:
    found = grade(prompt.expect or {}, said.answer, question=prompt.prompt, calls=len(said.tool_calls))
    return found.correct is True or (found.correct is None and not prompt.requires_tools)


def test_mined_questions_are_answered_rightly_by_real_calls(workspace: Workspace) -> None:
    prompts = mine([CELERY], count=200, seed=7)
    rolled = [_rolled(prompt, workspace) for prompt in prompts]
    wrong = [
        (prompt.prompt, prompt.expect, said.answer)
        for prompt, said in zip(prompts, rolled, strict=True)
        if said.outcome != "completed" or not _right(prompt, said)
    ]
    assert wrong == []
    asked = [said for said in rolled if said.requires_tools]
    assert all(bool(said.tool_calls) == said.requires_tools for said in rolled)
    assert sum(len(said.tool_calls) > 1 for said in asked) >= 0.15 * len(asked)
    assert any(len(message.tool_calls) > 1 for said in asked for message in said.messages)  # parallel ones, too
    used: dict[str, set[str]] = {"parameters": {"read_file"}}  # where a header spans lines, which is rare
    for said in asked:
        used.setdefault(said.category, set()).update(call.name for call in said.tool_calls)
    assert used == {category: set(sets[0]) for category, sets in SUFFICIENT.items()}
    assert {call.name for said in asked for call in said.tool_calls} == set(SPEC.tools)


def test_the_expectation_is_never_read(workspace: Workspace) -> None:
    asked = Prompt(prompt="Where is the class Celery defined?", expect={"contains": ["app/base.py"]})
    lied = asked.model_copy(update={"expect": {"contains": ["nowhere.py"]}})
    assert _rolled(asked, workspace).answer == _rolled(lied, workspace).answer
    assert "app/base.py" in _rolled(asked, workspace).answer


def test_the_same_prompt_gives_the_same_messages_ids_included(workspace: Workspace) -> None:
    prompt = Prompt(prompt="Where are Celery and Signature defined?")
    first = _rolled(prompt, workspace)
    assert first.messages == _rolled(prompt, workspace).messages
    assert [call.id for call in first.tool_calls] == ["call_1", "call_2"]
    assert first.provenance is not None
    assert (first.provenance.teacher, first.provenance.endpoint) == ("scripted", "in-process")


HONEST = [
    ("Where is the class Nowhere_1 defined?", "I found no class Nowhere_1."),
    ("Which classes inherit from Nowhere_1?", "I found no class"),
    ("How many Python files are under the directory no/such/dir?", "I could not look that up: "),  # a tool's error
    ("Which classes and functions does nowhere.py define?", "I could not look that up: "),
    ("Find the file nowhere.py.", "I found no file nowhere.py."),
    ("Where are Celery and Nowhere_1 defined?", "I found no definition of Nowhere_1"),
    (
        "Please tell me about saferepr and such things",
        "I looked for saferepr and found it in app/amqp.py, app/trace.py, ",
    ),
    ("Please tell me about Nowhere_1", "I looked for Nowhere_1 and found nothing."),
    ("?!", "I do not know what to look for."),
]


@pytest.mark.parametrize(("prompt", "says"), HONEST)
def test_what_is_not_there_is_said_honestly(workspace: Workspace, prompt: str, says: str) -> None:
    said = _rolled(Prompt(prompt=prompt), workspace)
    assert said.outcome == "completed"
    assert says in said.answer


def test_without_tools_it_says_so() -> None:
    said = _rolled(Prompt(prompt="Where is the class Celery defined?"), None)
    assert said.answer == "I cannot look that up: there is no tool grep."
    assert _rolled(Prompt(prompt="What is 2 plus 3?"), None).answer == "2 plus 3 is 5."


READ = [
    # a header over two lines: grep shows the first, read_file the rest
    (
        ["a.py:7: def f(a,"],
        "7: def f(a,\n8:       b=(1, 2), *, c: int = 3):\n9:     pass",
        "f takes the parameters a, b and c.",
    ),
    (["a.py:7: def f(self):"], "", "f takes no parameters."),
    (["a.py:7: async def f(a, *b, **c): return 1"], "", "f takes the parameters a, b and c."),
    (["a.py:7: def f(a,"], "7: def f(a,", "The function f is in a.py, but I could not read its parameters."),
]


@pytest.mark.parametrize(("found", "read", "answer"), READ)
def test_parameters_are_read_from_what_the_tools_say(found: list[str], read: str, answer: str) -> None:
    prompt = "What parameters does the function f take?"
    results = [(Result("\n".join(found)),)]
    step = next_step(prompt, results)
    if not isinstance(step, str):
        assert step[0].arguments == {"path": "a.py", "start": 7, "end": 17}
        step = next_step(prompt, [*results, (Result(read),)])
    assert step == answer


def test_decorators_stop_at_the_first_other_line() -> None:
    read = "3: @not_mine\n4: x = 1\n5:     @app.task(bind=True)\n6:     @property\n7:     def f(self):"
    step = next_step("How is the function f decorated?", [(Result("a.py:7: def f(self):"),), (Result(read),)])
    assert step == "f has the decorators app.task and property."


def test_a_number_is_what_the_tool_counted() -> None:
    prompt = "How many Python files are under the directory pkg?"
    assert next_step(prompt, [(Result("1 file"),)]) == "There is 1 Python file under pkg."
    assert next_step(prompt, [(Result("23 files"),)]) == "There are 23 Python files under pkg."
