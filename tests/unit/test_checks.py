"""Each rejection reason: what it fires on, and sound neighbours that it must leave alone."""

import pytest

from config.errors import FailureKind, RejectionReason
from config.records import Failure, Finding, JsonObject, Message, Provenance, ToolCall, Trajectory
from tests.support.trajectories import asks, call, from_memory, looked_up, says, told, trajectory, user
from worker.curate.checks import all_checks, findings
from worker.curate.checks.call_detection import call_text
from worker.curate.checks.result_matches_call import result_matches_call
from worker.tools.toolset import digest, schemas

R = RejectionReason
CHECKS = all_checks(max_calls=4, special=frozenset({"<s>"}))
QUESTION = user("Which file defines the class Widget0?")
ASK = asks(call(pattern="class Widget0"))
HIT = told("shop/part0.py:3: class Widget0(Base):")
ANSWER = says("The class Widget0 is defined in shop/part0.py.")


def reasons(sample: Trajectory) -> set[RejectionReason]:
    return {finding.reason for finding in findings(sample, CHECKS)}


def talk(*rest: Message, **fields: object) -> Trajectory:
    return trajectory([QUESTION, *rest], **fields)


def answered(text: str) -> Trajectory:
    return talk(ASK, HIT, says(text))


SOUND = {
    "ends in a code fence": answered("It is in shop/part0.py:\n\n```python\nclass Widget0(Base):\n```"),
    "ends in a name": answered("Widget0 is defined in `shop/part0.py`"),
    "one call, one result": looked_up(),
    "no tool needed": from_memory(),
    "nothing found, and told so": talk(ASK, told("no matches in 214 files"), says("Widget0 is not defined here.")),
    "exit code 1 without output": talk(ASK, told("exit code 1"), says("There is no class Widget0.")),
    "a tool that printed nothing, told so": talk(ASK, told(""), says("I found no such class.")),
    "an error that the answer reports": talk(
        ASK, told("no such directory", error=True), says("There is no such place.")
    ),
    "a failed call, mended": talk(
        asks(call(pattern="(")),
        told("the pattern is not valid", error=True),
        asks(call(key="c2", pattern="class Widget0")),
        told("shop/part0.py:3: class Widget0(Base):", "c2"),
        ANSWER,
    ),
    "a failed call made once more": talk(
        ASK,
        told("timed out", error=True),
        asks(call(key="c2", pattern="class Widget0")),
        told(HIT.content, "c2"),
        ANSWER,
    ),
    "two calls in one turn, results in the other order": talk(
        asks(call(pattern="class Widget0"), call(key="c2", pattern="def run")),
        told("shop/run.py:1: def run():", "c2"),
        HIT,
        says("Widget0 is in shop/part0.py, run in shop/run.py."),
    ),
    "a tool without required arguments": trajectory(
        [
            user("How many files are there, and how many of them are Python files?"),
            asks(call("count", glob="*.py")),
            told("12 files", name="count"),
            asks(call("count", "c2")),
            told("31 files", "c2", name="count"),
            says("Of 31 files 12 are Python files."),
        ]
    ),
    "talk about a tool's name": answered("I used grep: shop/part0.py defines Widget0."),
    "a path put together from a listing": trajectory(
        [
            user("Where is the file part0.py?"),
            asks(call("list_dir", path="shop")),
            told("part0.py\nrun.py", name="list_dir"),
            says("It is `shop/part0.py`."),
        ],
        tools=(),
    ),
    "JSON that is no call": answered('It reads {"name": "Widget0", "size": 3} from shop/part0.py.'),
    "a count that adding gives": talk(
        ASK,
        told("shop/part0.py:3: class Widget0(Base):\nshop/part0.py:9: class Widget0B(Base):"),
        says("There are two classes like that in shop/part0.py."),
    ),
    "code in a fence, closed": answered("```python\nclass Widget0(Base):\n```\nin shop/part0.py"),
    "comparisons and shell pipes": answered("shop/part0.py has `a < b | c > d` near Widget0."),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_conversations_pass(name: str) -> None:
    assert findings(SOUND[name], CHECKS) == ()


FAULTY = [
    # results
    (R.NULL_RESULT, talk(ASK, ANSWER)),  # missing
    (R.NULL_RESULT, talk(ASK, told(None), ANSWER)),  # null
    (R.NULL_RESULT, talk(ASK, told("  "), ANSWER)),  # empty, and the answer knows better
    (R.UNPAIRED_RESULT, talk(ASK, HIT, told("more", "c9"), ANSWER)),  # answers no call
    (R.UNPAIRED_RESULT, talk(ASK, HIT, HIT, ANSWER)),  # answered twice
    (R.UNPAIRED_RESULT, talk(ASK, told(HIT.content, name="count"), ANSWER)),  # another tool's
    (R.UNPAIRED_RESULT, talk(HIT, ASK, ANSWER)),  # before its call
    (R.UNPAIRED_RESULT, talk(asks(call(pattern="a"), call(pattern="b")), HIT, ANSWER)),  # one id for two calls
    (R.PLACEHOLDER_RESULT, talk(ASK, told("[Tool execution completed]"), ANSWER)),
    (R.PLACEHOLDER_RESULT, talk(ASK, told("None"), ANSWER)),
    (R.PLACEHOLDER_RESULT, talk(ASK, told("null\n"), ANSWER)),
    (R.PLACEHOLDER_RESULT, talk(ASK, told("{{ result }}"), ANSWER)),
    (R.PLACEHOLDER_RESULT, talk(ASK, told("<tool output here>"), ANSWER)),
    (R.PLACEHOLDER_RESULT, talk(ASK, told("Tool call executed successfully."), ANSWER)),
    (R.RETRY_UNANSWERED, talk(ASK, told("the pattern is not valid", error=True), ANSWER)),
    (
        R.RETRY_UNANSWERED,
        talk(ASK, told("Fix the errors and try again.", error=True), says("I could not.")),
    ),  # was told to
    # calls
    (R.PHANTOM_CALL, talk(ASK, HIT, asks(call(key="c2")), ANSWER)),  # no result
    (R.PHANTOM_CALL, talk(ASK, HIT, asks(call(key="c2")), told(HIT.content, "c2"), ANSWER)),  # the same result again
    (
        R.PHANTOM_CALL,
        talk(ASK, HIT, asks(call(key="c2")), told("other", "c2"), ANSWER, tools=()),
    ),  # no schema allows it
    (R.TOOLS_REQUIRED_BUT_NONE, talk(ANSWER)),
    (
        R.LEAKED_SECRET,
        talk(ASK, told("shop/part0.py:3: class Widget0(Base):  # " + "AKIA" + "QYLPMN5HHHFPZAM2"), ANSWER),
    ),
    (R.REPEATED_CALL, talk(ASK, HIT, asks(call(key="c2", pattern="class Widget0")), told(HIT.content, "c2"), ANSWER)),
    (
        R.REPEATED_CALL,  # the same in another spelling
        talk(ASK, HIT, asks(call(key="c2", pattern="class Widget0", path="./")), told(HIT.content, "c2"), ANSWER),
    ),
    (
        R.REPEATED_CALL,  # A, B, A, B
        talk(
            *(
                message
                for key, pattern in enumerate(("Widget0", "Base", "Widget0", "Base"))
                for message in (asks(call(key=f"k{key}", pattern=pattern)), told(HIT.content, f"k{key}"))
            ),
            ANSWER,
        ),
    ),
    (
        R.REPEATED_CALL,  # three spellings of one search, one result
        talk(
            *(
                message
                for key, pattern in enumerate(("Widget0", "class Widget0", "Widget0.Base"))
                for message in (asks(call(key=f"k{key}", pattern=pattern)), told(f"{HIT.content}  # a part", f"k{key}"))
            ),
            ANSWER,
        ),
    ),
    (
        R.TOO_MANY_CALLS,
        talk(
            *(
                message
                for key in range(5)
                for message in (
                    asks(call(key=f"k{key}", pattern=f"word{key}")),
                    told("no matches in 3 files", f"k{key}"),
                )
            ),
            says("Nothing was found."),
        ),
    ),
    (R.MALFORMED, talk(asks(ToolCall(id="c1", name="grep", arguments="{oops")), HIT, ANSWER)),
    (R.MALFORMED, talk(asks(call("web", query="Widget0")), told(HIT.content, name="web"), ANSWER)),  # no such tool
    (R.MALFORMED, talk(asks(call(text="Widget0")), HIT, ANSWER)),  # no such argument
    (R.MALFORMED, talk(ASK, HIT, ANSWER, says("Anything else?"))),  # answers itself
    (R.MALFORMED, talk(ASK, HIT, ANSWER, prompt="Another question?")),
    # text
    (R.LEAKED_TOOL_CALL, answered('{"name": "grep", "arguments": {"pattern": "x"}}')),
    (R.LEAKED_TOOL_CALL, answered('Let me see.\n```json\n{"tool": "grep", "args": {}}\n```')),
    (R.LEAKED_TOOL_CALL, answered("<tool_call>\n")),  # unclosed
    (R.LEAKED_TOOL_CALL, answered("shop/part0.py </tool_call")),  # half a tag
    (R.LEAKED_TOOL_CALL, answered("<function=grep>\n<parameter=pattern>x</parameter>\n</function>")),
    (R.LEAKED_TOOL_CALL, answered('shop/part0.py\ngrep(pattern="x")')),
    (R.LEAKED_TOOL_CALL, answered("I'll use the grep tool.")),
    (
        R.LEAKED_TOOL_CALL,
        talk(asks(call(pattern="class Widget0"), text="<tool_call>"), HIT, ANSWER),
    ),  # beside a real one
    (R.CHAT_MARKUP, answered("shop/part0.py<|im_end|>")),
    (R.CHAT_MARKUP, answered("shop/part0.py <|im_start")),  # half a token
    (R.CHAT_MARKUP, answered("shop/part0.py\nUser: and now?\nAssistant: more")),  # an invented turn
    (R.CHAT_MARKUP, answered("Tool result: shop/part0.py:3")),  # an invented result
    (R.CHAT_MARKUP, talk(ASK, told(f"{HIT.content} <|endoftext|>"), ANSWER)),
    (R.CHAT_MARKUP, talk(ASK, told(f"{HIT.content}<|im_"), says("end|> shop/part0.py"))),  # split in two
    (R.CHAT_MARKUP, talk(asks(call(pattern="class Widget0<s>")), HIT, ANSWER)),  # the student's own token
    (R.CHAT_MARKUP, talk(ASK, HIT, ANSWER, system_prompt="<|im_start|>system")),
    # ends
    (R.TRUNCATED, talk(ASK, HIT, ANSWER, finish_reasons=("tool_calls", "length"))),
    (R.TRUNCATED, answered("```python\nclass Widget0:")),  # the fence is open
    (R.EMPTY_ANSWER, answered(" \n")),
    (R.EMPTY_ANSWER, answered("None")),
    (R.EMPTY_ANSWER, talk(ASK, HIT)),
    (R.EMPTY_ANSWER, talk(ASK, HIT, asks(call(key="c2", pattern="x")))),  # an open call
    (R.EMPTY_ANSWER, trajectory([])),
    (R.FAILED_GENERATION, talk(outcome="failed", failure=Failure(kind=FailureKind.TIMEOUT, message="180 s"))),
    # unsupported
    (R.UNSUPPORTED_CLAIM, answered("It is defined in shop/other_part.py.")),
    (R.UNSUPPORTED_CLAIM, answered("There are 40 classes like that in shop/part0.py.")),
    (
        R.UNSUPPORTED_CLAIM,
        talk(ASK, told("no matches in 214 files"), says("Widget0 extends `Gizmo`.")),
    ),  # after nothing
    (R.TRUNCATED, answered("The class Widget0 is defined in `shop/par")),
    (R.TRUNCATED, answered("It is in shop/part0.py. In addition, it is the")),
    (R.TRUNCATED, answered("It is in shop/part0.py. Note that the first of these")),
    (R.CHAT_MARKUP, answered("<think>It should be there.</think>It is defined in shop/part0.py.")),
    (R.CHAT_MARKUP, talk(asks(call(pattern="class Widget0"), text="<think>Let me look.</think>"), HIT, ANSWER)),
    (R.WRONG_ANSWER, talk(ASK, HIT, ANSWER, expect={"contains": ["shop/part1.py"]})),
    (R.UNSUPPORTED_CLAIM, answered("`Gizmo`, `Gadget`, `Widget0`.")),  # a list with strangers
    (
        R.UNSUPPORTED_CLAIM,
        talk(ASK, HIT, says("It says kettle."), expect={"contains": ["kettle"]}),
    ),  # right, but not seen
]


@pytest.mark.parametrize(("reason", "sample"), FAULTY)
def test_a_fault_is_found_under_its_reason(reason: RejectionReason, sample: Trajectory) -> None:
    assert reason in reasons(sample)


def test_every_reason_of_a_single_trajectory_has_an_example() -> None:
    of_the_set = {R.OVER_LENGTH, R.DUPLICATE, R.SAMPLED_OUT, R.REPLAY_MISMATCH}  # or of the student or the code
    assert {reason for reason, _ in FAULTY} == set(R) - of_the_set


def test_a_wrong_answer_is_kept_on_request() -> None:
    wrong = talk(ASK, HIT, ANSWER, expect={"contains": ["shop/part1.py"]})
    assert reasons(wrong) == {R.WRONG_ANSWER}
    assert findings(wrong, all_checks(max_calls=4, keep_wrong=True)) == ()


def test_evidence_names_message_and_call() -> None:
    found = [f for f in findings(talk(ASK, told(None), ANSWER), CHECKS) if f.reason is R.NULL_RESULT]
    assert [(f.message, f.call, f.detail) for f in found] == [(1, "c1", "the result of 'grep' is null")]


def test_missing_and_null_results_are_told_apart() -> None:
    details = {f.detail for f in findings(talk(ASK, ANSWER), CHECKS) if f.reason is R.NULL_RESULT}
    assert details == {"the result of 'grep' is missing"}


def test_every_reason_is_reported_and_not_the_first_alone() -> None:
    sample = talk(ASK, told(None), says("shop/part0.py<|im_end|>"), finish_reasons=("tool_calls", "length"))
    assert {R.NULL_RESULT, R.CHAT_MARKUP, R.TRUNCATED} <= reasons(sample)


def test_parallel_results_of_one_tool_that_are_swapped_are_found() -> None:
    both = asks(call(pattern="class Widget0"), call(key="c2", pattern="def run"))
    run = "shop/run.py:1: def run():"
    last = says("Widget0 is in shop/part0.py, run in shop/run.py.")
    assert reasons(talk(both, HIT, told(run, "c2"), last)) == set()
    assert reasons(talk(both, told(run), told(HIT.content, "c2"), last)) == {R.UNPAIRED_RESULT}


def test_the_limit_of_calls_is_the_callers() -> None:
    sample = talk(ASK, HIT, asks(call(key="c2", pattern="Base")), told("shop/b.py:1: class Base", "c2"), ANSWER)
    found = {limit: [f.reason for f in findings(sample, all_checks(max_calls=limit))] for limit in (1, 2)}
    assert found == {1: [R.TOO_MANY_CALLS], 2: []}


CALL_TEXTS = [
    ('{"name": "grep", "arguments": {"pattern": "x"}}', True),
    ("{'name': 'grep', 'arguments': {}}", True),  # Python's own spelling
    ('{"arguments": {"pattern": "x"}, "name": "grep"}', True),  # the other order
    ('{"tool_calls": [{"id": 1}]}', True),
    ('{\n  "name": "grep"', True),  # torn before its arguments
    ('```json\n{"grep": {"pattern": "x"}}\n```', True),
    ("Action: grep\nAction Input: {}", True),
    ("[TOOL_CALLS] grep", True),
    ("I will use the `grep` tool.", True),  # announced and never made
    ("I used grep and found it.", False),
    ("grep(pattern) is how it is called.", False),
    ('The file holds {"name": "x"}.', False),
    ("Its name and its arguments are the same.", False),
]


@pytest.mark.parametrize(("text", "leaked"), CALL_TEXTS)
def test_call_text_in_prose(text: str, leaked: bool) -> None:
    assert bool(call_text(text, frozenset({"grep"}))) is leaked


OURS = schemas(("grep", "read_file", "list_dir", "find_files", "count"))
RECORDED = Provenance(
    teacher="t", endpoint="e", worker="w", applejack_version="0", toolset_digest=digest(OURS), workspace=None
)
FOREIGN_RESULTS = [
    # tool, arguments, a result it gave, a result it cannot have given
    ("grep", {"pattern": "class A"}, "a.py:1: class A:", "a.py:1: class B:"),  # another pattern's
    ("grep", {"pattern": "^  def", "path": "src"}, "src/a.py:1: def f():", "lib/a.py:1: def f():"),  # another folder's
    ("grep", {"pattern": "x", "glob": "*.md"}, "no matches in 3 files", "a.py:1: x"),  # another glob's
    ("grep", {"pattern": "x"}, "a.py:1: x\nb.py:2: x", "a.py:1: x\nb.p"),  # torn
    ("grep", {"pattern": "x"}, "a.py:1: x", "1: x"),  # a file's lines
    ("grep", {"pattern": "x"}, "a.py:1: x", "a.py:1: x\n[3 more matches not shown; narrow the pattern]"),  # lines lost
    ("read_file", {"path": "a.py"}, "1: x\n2: y", "5: x\n6: y"),  # from another line on
    ("read_file", {"path": "a.py", "start": 5, "end": 6}, "5: x\n6: y", "5: x\n6: y\n7: z"),  # more than asked
    ("read_file", {"path": "a.py"}, "1: x\n2: y", "1: x\n3: y"),  # a line lost
    (
        "read_file",
        {"path": "a.py"},
        "1: x\n[lines 2-9 not shown; use start=2]",
        "1: x\n[lines 4-9 not shown; use start=4]",
    ),
    ("list_dir", {"path": "src"}, "a.py\nlib/", "src/a.py\nsrc/b.py"),  # find_files'
    ("list_dir", {"path": "src"}, "a.py\nlib/", "lib/\na.py"),  # out of order
    ("find_files", {"glob": "*.py"}, "src/a.py", "src/a.md"),  # another glob's
    ("find_files", {"glob": "*.py", "path": "src"}, "src/a.py", "lib/a.py"),
    *(  # names that real code bases have, and structure around a path
        ("grep", {"pattern": "x"}, f"{path}:1: x", f"{structure}:1: x")
        for path, structure in zip(
            (
                "my notes/read me (old).py",
                "größe/файл.py",
                "pages/[id]/{slug}.tsx",
                "it's.txt",
                "a, b.py",
                "{{cookiecutter.name}}/{% if cookiecutter.docker == 'y' %}Dockerfile{% endif %}",
            ),
            (
                '{"matches": [{"line": "log.py',
                "[{'path': 'log.py",
                "['log.py",
                '{"line":"log.py',
                "Found: log.py",
                '"log.py',
            ),
            strict=True,
        )
    ),
    ("list_dir", {"path": "src"}, "[id].tsx\nread me.md", '{"names": ["a.py", "b.py"]}'),
    ("find_files", {"glob": "*"}, "my notes/[id].tsx", '["a.py", "b.py"]'),
    ("count", {"glob": "*.py"}, "12 files", "3 matching lines in 2 of 12 files"),  # of a pattern
    ("count", {"pattern": "x"}, "3 matching lines in 2 of 12 files", "12 files"),
]


@pytest.mark.parametrize(("tool", "arguments", "own", "foreign"), FOREIGN_RESULTS)
def test_a_result_that_its_tool_cannot_have_given(tool: str, arguments: JsonObject, own: str, foreign: str) -> None:
    def found(result: str) -> list[Finding]:
        asked = asks(ToolCall(id="c1", name=tool, arguments=arguments))
        sample = talk(asked, told(result, name=tool), says("Done."), tools=OURS, provenance=RECORDED)
        return list(result_matches_call(sample))

    assert found(own) == []
    assert [finding.reason for finding in found(foreign)] == [R.UNPAIRED_RESULT]


def test_other_peoples_tools_of_the_same_name_are_not_judged_by_our_forms() -> None:
    sample = talk(ASK, told("part0.py matches"), says("It is in part0.py."))
    assert reasons(sample) == set()
