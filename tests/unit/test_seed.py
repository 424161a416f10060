import pytest

from config.records import JsonObject, Message, ToolCall, Trajectory, Verdict
from worker.curate.checks import all_checks, findings
from worker.curate.seed import SeedError, looks_like_seed, to_trajectory


def read(**fields: object) -> Trajectory:
    record = {"query": "Where is main?", "reasoning": "look", "tool_calls": [], "answer": "In cli.py."} | fields
    return to_trajectory(record, run_id="seed", number=7)  # type: ignore[arg-type]


def calls_of(*calls: object) -> tuple[Message, ...]:
    return read(tool_calls=list(calls)).messages[1:-1]


def test_a_record_becomes_a_conversation_in_its_order() -> None:
    trajectory = read(
        tool_calls=[
            {"tool": "grep", "args": {"pattern": "def main"}, "result": "cli.py:3"},
            {"name": "read_file", "args": '{"path": "cli.py"}', "result": "def main(): ..."},
        ]
    )
    assert [(m.role, m.content) for m in trajectory.messages] == [
        ("user", "Where is main?"),
        ("assistant", ""),
        ("tool", "cli.py:3"),
        ("assistant", ""),
        ("tool", "def main(): ..."),
        ("assistant", "In cli.py."),
    ]
    assert trajectory.tool_calls == (
        ToolCall(id="call_1", name="grep", arguments={"pattern": "def main"}),
        ToolCall(id="call_2", name="read_file", arguments={"path": "cli.py"}),
    )
    assert [m.tool_call_id for m in trajectory.messages if m.role == "tool"] == ["call_1", "call_2"]


@pytest.mark.parametrize(
    ("call", "contents"),
    [
        ({"tool": "grep", "args": {}}, []),  # missing: no tool message
        ({"tool": "grep", "args": {}, "result": None}, [None]),  # null: a message without content
        ({"tool": "grep", "args": {}, "result": ""}, [""]),  # empty text is text
        ({"tool": "grep", "args": {}, "result": {"hits": 0}}, ['{"hits": 0}']),  # structured results as JSON
        ({"tool": "count", "args": {}, "result": 0}, ["0"]),  # falsy, and real
    ],
)
def test_missing_null_and_empty_results_are_told_apart(call: JsonObject, contents: list[str | None]) -> None:
    assert [m.content for m in calls_of(call) if m.role == "tool"] == contents


@pytest.mark.parametrize(
    ("args", "arguments"),
    [
        ({"path": "a"}, {"path": "a"}),  # an object
        ('{"path": "a"}', {"path": "a"}),  # a JSON string
        ('{"path": "a"', '{"path": "a"'),  # cut JSON stays text
        ('["a"]', '["a"]'),  # JSON, but no object
        ("ls -la", "ls -la"),  # no JSON at all
        ("", {}),  # nothing, as a string
        (None, {}),  # nothing
        (["a"], '["a"]'),  # no object
        ("[" * 100_000, "[" * 100_000),  # nested beyond what a parser takes
    ],
)
def test_arguments_become_an_object_or_stay_text(args: object, arguments: object) -> None:
    assert calls_of({"tool": "t", "args": args})[0].tool_calls[0].arguments == arguments


def test_a_phantom_call_stays_a_call() -> None:
    messages = calls_of({"tool": "grep", "args": {"pattern": "x"}}, {"tool": "grep", "args": {}})
    assert [m.tool_calls[0].arguments for m in messages] == [{"pattern": "x"}, {}]


@pytest.mark.parametrize(
    ("metadata", "needed"),
    [
        (None, True),  # no metadata: as a prompt that does not say
        ({}, True),  # silent
        ({"requires_tools": None}, True),  # silent, in writing
        ({"requires_tools": True}, True),
        ({"requires_tools": False}, False),
        ({"requires_tools": "false"}, False),  # written by a careless exporter
        ({"requires_tools": "yes"}, True),
        ("note", True),  # metadata of another kind
        ({"category": "negative"}, False),  # the generator's questions that need no tool
        ({"category": "negative", "requires_tools": None}, False),
        ({"category": "negative", "requires_tools": True}, True),
    ],
)
def test_requires_tools_is_true_unless_the_metadata_says_otherwise(metadata: object, needed: bool) -> None:
    assert read(metadata=metadata).requires_tools is needed


@pytest.mark.parametrize(
    ("calls", "metadata", "reasons"),
    [
        ([{"tool": "grep", "args": {"p": "x"}}], {}, ["null_result"]),  # missing
        ([{"tool": "grep", "args": {"p": "x"}, "result": None}], {}, ["null_result"]),  # null
        ([{"tool": "grep", "args": {"p": "x"}}, {"tool": "grep", "args": {}}], {}, ["null_result", "phantom_call"]),
        ([{"tool": "grep", "args": {"p": "x"}, "result": "None"}], {}, ["placeholder_result"]),
        ([{"tool": "grep", "args": "{", "result": "a.py:1: x"}], {}, ["malformed"]),  # arguments cut off
        ([], {}, ["tools_required_but_none"]),  # nothing says that the question needs no tools
        ([], {"requires_tools": False}, []),
        ([], {"category": "negative"}, []),
        ([{"tool": "grep", "args": {"p": "x"}, "result": "a.py:1: x"}], {}, []),  # sound
    ],
)
def test_records_are_rejected_for_what_is_wrong_with_them(calls: object, metadata: object, reasons: list[str]) -> None:
    trajectory = read(tool_calls=calls, metadata=metadata, answer="It is there.")
    found = findings(trajectory, all_checks(max_calls=16))
    assert [reason.value for reason in Verdict(job_id="1", findings=found).reasons] == reasons


def test_unknown_fields_are_kept() -> None:
    messages = [{"role": "system", "content": "Be brief."}]
    trajectory = read(
        messages=messages,
        model="teacher",
        seconds=3,
        metadata={"category": "find", "n": 1},
        tool_calls=[{"tool": "grep", "args": {}, "result": "x", "ms": 12}],
    )
    assert trajectory.model_extra == {
        "reasoning": "look",
        "seed_messages": messages,
        "model": "teacher",
        "seed_seconds": 3,
        "metadata": {"category": "find", "n": 1},
        "seed_call_fields": [{"ms": 12}],
    }
    assert (trajectory.system_prompt, trajectory.category, trajectory.seconds) == ("Be brief.", "find", 0.0)
    assert Trajectory.model_validate_json(trajectory.model_dump_json()) == trajectory


def test_job_id_is_the_line_and_the_content() -> None:
    first, again, other = read(), read(), read(answer="In app.py.")
    assert first.job_id == again.job_id != other.job_id
    assert first.job_id.startswith("000007-")


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"query": None}, "query is None"),
        ({"query": "  "}, "query is '  '"),
        ({"tool_calls": "grep"}, "tool_calls is 'grep', not a list"),
        ({"tool_calls": ["grep"]}, r"tool_calls\[0\] is 'grep'"),
        ({"tool_calls": [{"args": {}}]}, "set 'tool' or 'name'"),
    ],
)
def test_what_is_no_record_is_refused_with_its_value(fields: JsonObject, complaint: str) -> None:
    with pytest.raises(SeedError, match=complaint):
        read(**fields)


def test_an_answer_that_is_missing_leaves_no_last_message() -> None:
    assert read(answer=None).messages[-1].role == "user"
    assert read(answer="").messages[-1] == Message(role="assistant", content="")


@pytest.mark.parametrize(
    ("record", "is_seed"),
    [
        ({"query": "q", "answer": "a"}, True),
        ({"query": "q", "outcome": "fine"}, True),  # an unknown field of the seed's
        ({"query": "q", "job_id": "1", "outcome": "completed"}, False),  # a trajectory with an extra field
        ({"prompt": "q"}, False),
    ],
)
def test_seed_records_are_told_from_trajectories(record: JsonObject, is_seed: bool) -> None:
    assert looks_like_seed(record) is is_seed
