# ruff: noqa: E501, RUF001 - answers as models write them
import pytest

from config.questions.expected_facts import grade
from config.questions.typed_expectations import typed
from config.records import JsonObject

QUESTIONS = {
    "feet": "Convert 35 yards to feet.",
    "months": "What is 5 years in months?",
    "days": "What is 10 weeks in days?",
}
# As strong models write, with explanations and formatting, and as weak ones fail. None: cannot be decided.
ANSWERS: list[tuple[JsonObject, str, bool | None]] = [
    (
        {"names": ["Abort", "Exit"], "kind": "subclass", "about": ["RuntimeError"]},
        "`Abort` and `Exit` both inherit from `RuntimeError`. They are in `exceptions.py`.",
        True,
    ),
    ({"names": ["Abort", "Exit"], "kind": "subclass", "about": ["RuntimeError"]}, "Abort, Exit", True),
    ({"names": ["Abort", "Exit"], "kind": "subclass", "about": ["RuntimeError"]}, "Abort, Exit and Retry", False),
    (
        {"names": ["Abort", "Exit"], "kind": "subclass", "about": ["RuntimeError"]},
        "Two classes directly inherit from `RuntimeError`:\n\n1. **`Exit`** – raised to exit with a status code (`exceptions.py`, line 310)\n2. **`Abort`** – signals that click should abort (line 306)\n\nNeither is subclassed further.",
        True,
    ),
    (
        {"names": ["Abort", "Exit"], "kind": "subclass", "about": ["RuntimeError"]},
        "`Exit` (in `click/exceptions.py`) and `Abort` (in the same file). `ClickException` does not inherit from `RuntimeError`; it extends `Exception`.",
        True,
    ),
    (
        {"names": ["Abort", "Exit"], "kind": "subclass", "about": ["RuntimeError"]},
        "The classes Exit and Abort are subclasses of RuntimeError. UsageError is also a subclass of RuntimeError.",
        False,
    ),
    (
        {"parameters": ["name", "options"], "about": ["add_compat"]},
        "`add_compat` takes `name` and `options` (not counting `self`). It does not return a value.",
        True,
    ),
    (
        {"parameters": ["name", "options"], "about": ["add_compat"]},
        "The function `add_compat` is a method with the signature:\n\n```python\ndef add_compat(self, name, **options):\n```\n\nSo besides `self` it accepts:\n- `name`: a required positional argument\n- `**options`: arbitrary keyword arguments",
        True,
    ),
    (
        {"parameters": ["name", "options"], "about": ["add_compat"]},
        "add_compat takes a name, and returns nothing.",
        False,
    ),
    (
        {"parameters": ["temp_dir"], "about": ["isolated_filesystem"]},
        "`isolated_filesystem(self, temp_dir: str | os.PathLike[str] | None = None) -> Iterator[str]`",
        True,
    ),
    (
        {"parameters": ["temp_dir"], "about": ["isolated_filesystem"]},
        "It takes one optional parameter, `temp_dir`, which is the directory in which to create the temporary one; it defaults to `None`.",
        True,
    ),
    (
        {"paths": ["core.py"], "about": ["_hide_unset"], "root": "click"},
        "The function `_hide_unset` is defined in `src/click/core.py`.",
        True,
    ),
    (
        {"paths": ["src/click/core.py"], "about": ["_hide_unset"], "root": "repo"},
        "The function `_hide_unset` is defined in `click/core.py`.",
        True,
    ),
    (
        {"paths": ["src/click/core.py"], "about": ["_hide_unset"], "root": "repo"},
        "It is in the module `click.core`.",
        True,
    ),
    ({"paths": ["src/click/core.py"], "about": ["_hide_unset"], "root": "repo"}, "It is in `core.py`.", False),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "`Celery` is defined in `celery/app/base.py`. It is re-exported by `celery/__init__.py`.",
        True,
    ),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "The class `Celery` is defined in `app/base.py`, line 120, as `class Celery:`. The similar class `CeleryCommand` is defined in `bin/base.py`.",
        True,
    ),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "It is not defined in `app/task.py` but in `app/base.py`.",
        True,
    ),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "It is defined in app/base.py, not in b.py.",
        True,
    ),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "It is defined in app/base.py. It is not defined in app/base.py.",
        False,
    ),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "It could be in app/base.py or app/task.py.",
        False,
    ),
    (
        {"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"},
        "Celery is defined in app/base.py. Celery is defined in app/task.py.",
        False,
    ),
    ({"paths": ["app/base.py"], "about": ["Celery"], "root": "celery"}, "The app.base module defines it.", True),
    (
        {"paths": ["a.py", "b/c.py"], "kind": "importer", "about": ["functools"], "root": "x"},
        "`functools` is imported in two files: `a.py` (`from functools import wraps`) and `b/c.py` (`import functools`).",
        True,
    ),
    (
        {"paths": ["a.py", "b/c.py"], "kind": "importer", "about": ["functools"], "root": "x"},
        "a.py imports functools. b/c.py imports it as well. d.py does not.",
        True,
    ),
    (
        {"names": ["contextlib.contextmanager"], "kind": "decorator", "about": ["isolation"]},
        "`isolation` is decorated with `@contextlib.contextmanager`, which turns it into a context manager.",
        True,
    ),
    ({"names": ["contextlib.contextmanager"], "kind": "decorator", "about": ["isolation"]}, "@contextmanager", True),
    ({"names": ["property"], "kind": "decorator", "about": ["func_name"]}, "It has one decorator: `@property`.", True),
    (
        {"names": ["property"], "kind": "decorator", "about": ["func_name"]},
        "It has the decorator @cached_property.",
        False,
    ),
    (
        {"names": ["app.task"], "kind": "decorator", "about": ["add"]},
        "`add` is decorated with `@app.task(name='x', bind=True)`.",
        True,
    ),
    (
        {"value": "prefork", "about": ["DEFAULT_POOL"]},
        "`DEFAULT_POOL` is set to `'prefork'` in the `celery.app.defaults` module of `celery`.",
        True,
    ),
    ({"value": "prefork", "about": ["DEFAULT_POOL"]}, "DEFAULT_POOL is 'prefork' or 'solo'.", False),
    (
        {"value": "prefork", "about": ["DEFAULT_POOL"]},
        'The constant `DEFAULT_POOL` is set to `"prefork"`. It is used in `app/defaults.py`.',
        True,
    ),
    ({"value": "True", "about": ["X"]}, "X is True.", True),
    ({"value": "True", "about": ["X"]}, "X is False.", False),
    ({"number": 4.0, "about": ["PROC"]}, "It is `4.0` seconds.", True),
    (
        {"number": 0, "about": ["DEFAULT_DB"]},
        "The constant `DEFAULT_DB` is set to `0` in `kombu/transport/redis.py` (line 60).",
        True,
    ),
    (
        {"number": 28, "counts": "files", "about": ["transport"]},
        "There are **28** Python files under the `transport` directory (including 4 in `SQS/` and 2 in `virtual/`).",
        True,
    ),
    (
        {"number": 28, "counts": "files", "about": ["transport"]},
        "28 of the 31 files under transport are Python files.",
        True,
    ),
    ({"number": 28, "counts": "files", "about": ["transport"]}, "There are 28 Python files under transports.", False),
    (
        {"number": 3, "counts": "lines", "about": ["messaging.py", "_consume"]},
        "There are 3 lines of messaging.py that contain _consumes.",
        False,
    ),
    (
        {"number": 3, "counts": "lines", "about": ["messaging.py", "_consume"]},
        "`_consume` appears in 3 lines of `messaging.py`: lines 10, 20 and 30.",
        True,
    ),
    ({"number": 3, "counts": "lines", "about": ["messaging.py", "_consume"]}, "Three lines: 10, 20, and 30.", True),
    (
        {"number": 3, "counts": "lines", "about": ["messaging.py", "_consume"]},
        "3 lines of messaging.py contain _consume:\n- line 10: `def _consume(self):`\n- line 20: `x = 5`\n- 30: `_consume()`",
        True,
    ),
    ({"number": 105, "unit": "feet", "no_call": True}, "35 yards are 105 feet (1 yard = 3 feet).", True),
    ({"number": 105, "unit": "feet", "no_call": True}, "105 feet", True),
    (
        {"number": 105, "unit": "feet", "no_call": True},
        "There are 3 feet in a yard, so 35 yards equal 35 × 3 = 105 feet.",
        True,
    ),
    ({"number": 105, "unit": "feet", "no_call": True}, "35 yards are 105 yards.", False),
    ({"number": 60, "unit": "months", "no_call": True}, "5 years are 60 months.", True),
    ({"number": 70, "unit": "days", "no_call": True}, "10 weeks are 70 days, since each week has 7 days.", True),
    ({"number": 5, "no_call": True}, "3 plus 2 is **5**.", True),
    (
        {"sentence": "Ensure obj is a signature, or None", "about": ["maybe_signature"]},
        "It makes sure that the object is a signature or None, converting dicts where needed.",
        None,
    ),
    (
        {"sentence": "Removes any stale SNS topic subscriptions", "about": ["remove_stale"]},
        "It removes stale SNS topic subscriptions.",
        True,
    ),
    (
        {"sentence": "No longer used, but here for backwards compatibility", "about": ["add_chord_task"]},
        "add_chord_task is no longer used; it is kept for backwards compatibility.",
        True,
    ),
    (
        {"pairs": {"A1": "x/a.py", "B1": "b.py"}, "root": "k"},
        "`A1` is defined in `x/a.py` (line 12), and `B1` is defined in `b.py` (line 3), where it extends `A1`.",
        True,
    ),
    (
        {"pairs": {"A1": "x/a.py", "B1": "b.py"}, "root": "k"},
        "A1 is defined in k/x/a.py. B1 is defined in k/b.py.",
        True,
    ),
    (
        {"pairs": {"A1": "x/a.py", "B1": "b.py"}, "root": "k"},
        "| Name | File |\n|---|---|\n| A1 | x/a.py |\n| B1 | b.py |",
        True,
    ),
    (
        {"pairs": {"A1": "x/a.py", "B1": "b.py"}, "root": "k"},
        "The class `A1` can be found in `x/a.py`, and the function `B1()` in `b.py`.",
        True,
    ),
    ({"file": "utils/text.py", "root": "kombu"}, "The file text.py is found in utils.", True),
    ({"file": "utils/text.py", "root": "kombu"}, "The file `text.py` is located in the `kombu/utils` directory.", True),
    ({"file": "utils/text.py", "root": "kombu"}, "text.py is in utils or app.", False),
    ({"file": "utils/text.py", "root": "kombu"}, "The file text.py is found in utils/utils.", False),
    ({"contains": ["lock"]}, "It does not hold the lock.", False),
    ({"contains": ["lock"]}, "It does not continue until it holds the lock.", True),
]


@pytest.mark.parametrize(("expect", "answer", "correct"), ANSWERS)
def test_typed_facts_are_graded_as_people_do(expect: JsonObject, answer: str, correct: bool | None) -> None:
    question = QUESTIONS.get(str(expect.get("unit")), "What is 3 plus 2?" if expect.get("number") == 5 else "")
    found = grade(expect, answer, question=question)
    assert (found.correct, bool(found.faults)) == (correct, correct is False), found.faults


FAULTS: list[tuple[JsonObject, str, str]] = [
    ({"names": ["A1", "B1", "C1"], "about": ["Base"]}, "The classes are A1 and B1.", "names 2 of 3; missing C1"),
    ({"names": ["A1"], "about": ["Base"]}, "The classes are A1 and Zed.", "adds Zed"),
    ({"number": 120, "unit": "minutes"}, "It is 12 minutes.", "states 12, expected 120 minutes"),
    ({"number": 2, "counts": "files"}, "There are 2 lines.", "states '2 lines.', expected 2 files"),
    ({"pairs": {"A": "a.py", "B": "b.py"}}, "A is in b.py and B is in a.py.", "puts A in b.py, expected a.py"),
    ({"paths": ["a.py"], "about": ["f"]}, "It is not in a.py.", "denies a.py"),
    ({"paths": ["a.py"], "about": ["f"]}, "a.py:3: def f():", "is a dump of raw results"),
    ({"paths": ["a.py"], "about": ["f_x"]}, "The function g_x is defined in a.py.", "is about 'g_x', not about 'f_x'"),
    ({"contains": ["a", "b"]}, "a", "does not state 'b'"),
]


@pytest.mark.parametrize(("expect", "answer", "fault"), FAULTS)
def test_a_fault_names_what_is_missing_or_false(expect: JsonObject, answer: str, fault: str) -> None:
    assert grade(expect, answer).faults == (fault,)


def test_a_call_that_was_not_needed_is_a_fault() -> None:
    assert grade({"no_call": True}, "A queue is FIFO.", calls=1).faults == (
        "made 1 call, although the question needs none",
    )
    assert grade({"no_call": True}, "A queue is FIFO.", calls=1).correct is None  # nothing of the answer was graded
    assert grade({"no_call": True}, "A queue is FIFO.").correct is None
    assert grade({"number": 5, "no_call": True}, "It is 5.").correct is True


def test_a_quantity_of_the_question_is_not_its_answer() -> None:
    hours: JsonObject = {"number": 120, "unit": "minutes"}
    assert grade(hours, "The timeout is 2 h.").correct is True
    assert grade(hours, "It is 2 h.", question="Express 2 hours in minutes.").correct is False


OLD: list[tuple[str, JsonObject, JsonObject]] = [
    ("Convert 2 hours to minutes.", {"number": 120}, {"number": 120, "unit": "minutes", "no_call": True}),
    ("What is a queue?", {"any": ["first"]}, {"no_call": True}),
    ("Where is the class A defined?", {"contains": ["a.py"]}, {"paths": ["a.py"], "about": ["A"], "root": "code"}),
    ("What is the constant A set to?", {"contains": ["4.0"]}, {"number": 4.0, "about": ["A"]}),
    ("Count the Python files under a/b.", {"number": 3}, {"number": 3, "counts": "files", "about": ["a/b"]}),
    ("Is this ours?", {"contains": ["yes"]}, {"contains": ["yes"]}),  # a user's own question
    ("Convert 2 hours to minutes.", {"absent": ["2"]}, {"absent": ["2"]}),  # a user's own expectation
]


@pytest.mark.parametrize(("question", "old", "new"), OLD)
def test_an_older_expectation_becomes_a_typed_one(question: str, old: JsonObject, new: JsonObject) -> None:
    assert typed(question, old, root="code") == new
