"""Grading of raw tool results, which are not answers, and of honest answers that quote a result."""

import json
import time

import pytest

from config.questions.expected_facts import grade
from config.records import JsonObject

WHERE: JsonObject = {"paths": ["app/base.py"], "about": ["Task"]}
LINE = "app/base.py:12: class Task(Base):"
OTHER = "app/base.py:40: Task = registered(Task)"
GREP = f"{LINE}\n{OTHER}"
READ = '12: class Task(Base):\n13:     """A unit of work."""\n14:     name = None'
MATCH = {"path": "app/base.py", "line": 12, "text": "class Task(Base):"}
CODE = 'class Task(Base):\n    """A unit of work in app/base.py."""\n\n    name = None'


def each(text: str, form: str) -> str:
    """Every line of a result in this form."""
    return "\n".join(form.format(line=line, number=number) for number, line in enumerate(text.split("\n"), 1))


DUMPS = {
    # as the tools print
    "one line of grep": LINE,
    "lines of grep": GREP,
    "lines of grep with blank lines": f"\n{LINE}\n\n{OTHER}\n",
    "grep with the note of its cut": f"{GREP}\n[18 more matches not shown; narrow the pattern]",
    "grep with its column": "app/base.py:12:1: class Task(Base):",
    "grep without a blank after the number": "app/base.py:12:class Task(Base):",
    "context lines of grep": "app/base.py-11-\napp/base.py:12:class Task(Base):\napp/base.py-13-    name = None",
    "ripgrep's heading": "app/base.py\n12:class Task(Base):\n40:Task = registered(Task)",
    "lines of read_file": READ,
    "lines of read_file with its note": f"{READ}\n[lines 15-80 not shown; use start=15]",
    "numbered with bars": "12 | class Task(Base):  # app/base.py\n13 |     name = None",
    "numbered with tabs": "    12\tclass Task(Base):  # app/base.py\n    13\t    name = None",
    # marked up
    "fenced": f"```\n{GREP}\n```",
    "fenced with a language": f"```text\n{GREP}\n```",
    "fenced with tildes": f"~~~\n{GREP}\n~~~",
    "bullets": each(GREP, "- {line}"),
    "stars": each(GREP, "* {line}"),
    "round bullets": each(GREP, "\u2022 {line}"),
    "numbered": each(GREP, "{number}. {line}"),
    "numbered with brackets": each(GREP, "{number}) {line}"),
    "numbered in brackets": each(GREP, "[{number}] {line}"),
    "quoted": each(GREP, "> {line}"),
    "quoted twice": each(GREP, ">> {line}"),
    "in quotation marks": each(GREP, '"{line}"'),
    "in code marks": each(GREP, "`{line}`"),
    "bullets in code marks": each(GREP, "- `{line}`"),
    "table": f"| match |\n|---|\n{each(GREP, '| {line} |')}",
    "indented": each(GREP, "    {line}"),
    "diff": each(GREP, "+ {line}"),
    # structured
    "JSON text": json.dumps(GREP),
    "JSON list of lines": json.dumps(GREP.split("\n")),
    "JSON list of lines, indented": json.dumps(GREP.split("\n"), indent=2),
    "JSON result": json.dumps({"result": GREP}),
    "JSON results": json.dumps({"results": GREP.split("\n")}, indent=2),
    "JSON matches": json.dumps([MATCH, {**MATCH, "line": 40}]),
    "JSON matches in an object": json.dumps({"matches": [MATCH], "count": 1}, indent=2),
    "JSON of a tool message": json.dumps({"role": "tool", "tool_call_id": "c1", "content": GREP}),
    "fenced JSON": f"```json\n{json.dumps({'result': GREP}, indent=2)}\n```",
    "JSON lines": "\n".join(json.dumps({**MATCH, "line": line}) for line in (12, 40)),
    "Python repr": repr([MATCH]),
    "ripgrep's JSON": json.dumps(
        {"type": "match", "data": {"path": {"text": "app/base.py"}, "line_number": 12, "lines": {"text": "class Task"}}}
    ),
    "tool_response": f"<tool_response>\n{GREP}\n</tool_response>",
    "result tags": f"<result>\n{GREP}\n</result>",
    "tool_response with JSON": f"<tool_response>{json.dumps({'result': GREP})}</tool_response>",
    "code of read_file without numbers": CODE,
    "fenced code": f"```python\n{CODE}\n```",
    # with a label or prose around
    "label": f"Tool result: {LINE}",
    "label above": f"Result:\n{GREP}",
    "label of the tool": f"grep: {LINE}",
    "bold label": f"**Output:**\n\n{GREP}",
    "prose before": f"Here is what I found:\n\n{GREP}",
    "prose before a fence": f"The search returned the following lines:\n\n```\n{GREP}\n```",
    "prose before bullets": f"These are the matches:\n\n{each(GREP, '- `{line}`')}",
    "prose before quotes": f"The tool says:\n\n{each(GREP, '> {line}')}",
    "prose before JSON": f"The tool returned:\n\n{json.dumps([MATCH], indent=2)}",
    "prose before JSON in the same line": f"The result is {json.dumps({'result': GREP})}",
    "prose after": f"{GREP}\n\nLet me know if you need more.",
    "prose before and after": f"I searched the code.\n\n{GREP}\n\nThat is all.",
    "prose before and after a table": f"Matches:\n\n| match |\n|---|\n{each(GREP, '| {line} |')}\n\nDone.",
}


@pytest.mark.parametrize("dump", DUMPS.values(), ids=DUMPS)
def test_dump_of_raw_results_is_not_right(dump: str) -> None:
    graded = grade(WHERE, dump, question="Where is the class Task defined?", calls=1)
    assert graded.correct is False, graded


@pytest.mark.parametrize("dump", [GREP, f"- `{LINE}`", json.dumps([MATCH]), f"Here is what I found:\n\n{GREP}"])
@pytest.mark.parametrize("expect", [{"contains": ["app/base.py"]}, {"any": ["app/base.py", "base.py"]}])
def test_phrase_inside_a_dump_is_not_stated(dump: str, expect: JsonObject) -> None:
    assert grade(expect, dump).correct is False


def test_phrase_that_is_a_raw_line_itself_can_be_asked_for() -> None:
    assert grade({"contains": [LINE]}, GREP).correct is True


def test_forbidden_phrase_is_also_found_inside_raw_results() -> None:
    assert grade({"absent": ["Base"]}, f"It is in app/base.py.\n{LINE}").correct is False


@pytest.mark.parametrize(
    ("expect", "dump"),
    [
        ({"number": 10, "about": ["LIMIT"]}, "app/base.py:3: LIMIT = 10"),
        ({"number": 10, "about": ["LIMIT"]}, "> app/base.py:3: LIMIT = 10"),
        ({"number": 10, "about": ["LIMIT"]}, json.dumps({"file": "app/base.py", "line": 3, "text": "LIMIT = 10"})),
        ({"value": "prefork", "about": ["POOL"]}, "Output: `app/base.py:3: POOL = 'prefork'`"),
        (
            {"names": ["A", "B"], "kind": "subclass", "about": ["Base"]},
            "1. a.py:1: class A(Base):\n2. a.py:5: class B(Base):",
        ),
        ({"parameters": ["name"], "about": ["f"]}, "a.py:1: def f(name):"),
        ({"sentence": "Release lock.", "about": ["f"]}, 'def f():\n    """Release lock."""\n    lock.release()'),
        ({"sentence": "Release lock.", "about": ["f"]}, '1: def f():\n2:     """Release lock."""'),
    ],
)
def test_dump_states_no_fact_of_any_kind(expect: JsonObject, dump: str) -> None:
    assert grade(expect, dump, calls=1).correct is False


@pytest.mark.parametrize(
    ("expect", "answer"),
    [
        (WHERE, "app/base.py"),
        (WHERE, "Result: app/base.py"),
        (WHERE, "The result is app/base.py."),
        (WHERE, "app/base.py:12"),
        (WHERE, "`app/base.py:12`: class Task(Base):"),
        (WHERE, "Task is defined in app/base.py, line 12: class Task(Base)."),
        (WHERE, f"Task is defined in app/base.py:\n\n```\n{LINE}\n```"),
        (WHERE, f"> {LINE}\n\nSo Task is defined in app/base.py."),
        (WHERE, f"The class Task is defined in app/base.py: {json.dumps([MATCH])}"),
        (WHERE, '["app/base.py"]'),
        ({"pairs": {"Task": "app/base.py", "App": "app/app.py"}}, "Task: app/base.py\nApp: app/app.py"),
        ({"number": 3, "counts": "lines"}, "3 matching lines in 1 of 1 file"),
        ({"number": 3, "counts": "lines"}, "| what | count |\n|---|---|\n| lines | 3 |"),
        ({"number": 3}, "| 3 | lines |"),
        ({"number": 10, "about": ["LIMIT"]}, "LIMIT = 10"),
        ({"parameters": ["name"], "about": ["f"]}, "def f(name: str) -> None:"),
        ({"parameters": ["name"], "about": ["f"]}, "```python\ndef f(\n    name: str,\n) -> None: ...\n```"),
        ({"sentence": "Release lock.", "about": ["f"]}, "It says: Release lock."),
        ({"contains": ["app/base.py"]}, f"Task is in app/base.py:\n{GREP}"),
    ],
)
def test_answer_that_quotes_a_result_is_still_right(expect: JsonObject, answer: str) -> None:
    graded = grade(expect, answer, calls=1)
    assert graded.correct is True, graded


@pytest.mark.parametrize(
    "text",
    ["grep " * 8000, "result:  " * 4000, "[" * 40_000, '{"a":' * 8000, "- > " * 10_000, "a-1-" * 10_000, "\n12" * 9000],
)
def test_endless_answers_are_graded_in_time(text: str) -> None:
    began = time.process_time()
    grade(WHERE, text)
    assert time.process_time() - began < 2
