"""What a rollout leaves behind is what was said: over the wire, call by call, thread by thread."""

import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from config.records import JsonObject, Limits, Message, Pin, Prompt, Sampling, Spec, Trajectory
from tests.support.scripted_endpoint import Call, Reply, Script, ScriptedEndpoint, call, calls, says
from worker.generate.agent import endpoint_teacher
from worker.generate.rollout import run_rollout
from worker.tools import toolset
from worker.tools.workspace import Workspace

PIN = Pin(origin="code", commit="0" * 40)
Roll = Callable[..., tuple[Trajectory, ScriptedEndpoint]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    for name in "abcdefgh":
        (tmp_path / f"{name}.py").write_text(f"class {name.upper() * 3}: ...\n")
    return Workspace(tmp_path, PIN)


@pytest.fixture
def roll(workspace: Workspace) -> Roll:
    """roll(script, **fields of Spec) -> the trajectory and the endpoint with its recorded requests."""

    def run(script: Script, *, prompt: str = "Which?", **fields: object) -> tuple[Trajectory, ScriptedEndpoint]:
        spec = Spec.model_validate({"run_id": "r", **fields})
        with ScriptedEndpoint(script) as endpoint:
            trajectory = run_rollout(
                Prompt(prompt=prompt, category="c", expect={"contains": ["a.py"]}, split="test"),
                spec=spec,
                job_id="000000-aaaaaaaa",
                attempt=3,
                workspace=workspace,
                teacher=endpoint_teacher(
                    endpoint.base_url, model=spec.model, sampling=spec.sampling, request_seconds=10
                ),
                worker="mac-7",
            )
        return trajectory, endpoint

    return run


def wire_messages(trajectory: Trajectory) -> list[JsonObject]:
    """The messages as the chat completions API writes them."""
    return [{"role": "system", "content": trajectory.system_prompt}, *map(_wire, trajectory.messages)]


def _wire(message: Message) -> JsonObject:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": message.content}
    wire: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {
                "id": one.id,
                "type": "function",
                "function": {"name": one.name, "arguments": json.dumps(one.arguments, separators=(",", ":"))},
            }
            for one in message.tool_calls
        ]
    return wire


def results_by_call(trajectory: Trajectory) -> dict[str, str | None]:
    """Each call's pattern and the content of the tool message that answers its id."""
    answers = {message.tool_call_id: message.content for message in trajectory.messages if message.role == "tool"}
    assert len(answers) == len(trajectory.tool_calls)
    return {str(one.arguments["pattern"]): answers[one.id] for one in trajectory.tool_calls}  # type: ignore[index]


def assert_own_results(trajectory: Trajectory) -> None:
    for pattern, content in results_by_call(trajectory).items():
        assert content == f"{pattern[0].lower()}.py:1: class {pattern}: ..."


def paired_by_name(trajectory: Trajectory) -> Trajectory:
    """The planted fault: results are handed to the calls of their tool from the last to the first."""
    ids = {name: [one.id for one in trajectory.tool_calls if one.name == name] for name in ("grep",)}
    messages = tuple(
        message.model_copy(update={"tool_call_id": ids[message.name or ""].pop()})
        if message.role == "tool"
        else message
        for message in trajectory.messages
    )
    return trajectory.model_copy(update={"messages": messages})


def test_parallel_calls_to_one_tool_keep_their_own_results(roll: Roll) -> None:
    trajectory, _ = roll([calls(call("grep", pattern="BBB"), call("grep", pattern="AAA")), says("Both.")])
    assert trajectory.outcome == "completed", trajectory.failure
    assert_own_results(trajectory)
    with pytest.raises(AssertionError):
        assert_own_results(paired_by_name(trajectory))


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (["", ""], "no ids"),
        ([None, ""], "one without"),
        (["call-2", ""], "an id that looks like one we give"),
        (["x", "x"], "the same id twice"),
        (["call", "call"], "the same word twice"),
        (["x", "x-2"], "an id that looks like a mended one"),
    ],
)
def test_calls_without_own_ids_keep_their_own_results(roll: Roll, ids: Sequence[str | None], why: str) -> None:
    def turn(*patterns: str) -> Reply:
        asked = zip(patterns, ids, strict=True)
        return calls(*(Call("grep", json.dumps({"pattern": pattern}), id=one) for pattern, one in asked))

    trajectory, endpoint = roll([turn("BBB", "AAA"), turn("DDD", "CCC"), says("All.")])
    assert trajectory.outcome == "completed", trajectory.failure
    assert_own_results(trajectory)
    made = [one.id for one in trajectory.tool_calls]
    assert len(set(made)) == 4
    assert all(made)
    assert endpoint.requests[-1]["messages"] == wire_messages(trajectory)[:-1]


def test_trajectory_is_what_went_over_the_wire(roll: Roll) -> None:
    script = [
        calls(call("grep", pattern="AAA"), call("read_file", path="nope.py"), text="Let me look."),
        calls(call("bash", command="ls")),
        calls(call("list_dir")),
        says("In a.py.\n"),
    ]
    trajectory, endpoint = roll(script, tools=("read_file", "grep", "list_dir"), limits=Limits(max_tokens=77))
    assert trajectory.outcome == "completed", trajectory.failure
    last = endpoint.requests[-1]
    assert last["messages"] == wire_messages(trajectory)[:-1]
    assert trajectory.messages[1].content == "Let me look."
    assert [message.is_error for message in trajectory.messages] == [False, False, False, True, False, True] + [
        False
    ] * 3
    assert trajectory.messages[-1].content == "In a.py.\n"
    # byte for byte, in each request
    sent = json.dumps(list(trajectory.tools), separators=(",", ":"), ensure_ascii=False).encode()
    assert all(sent in raw for raw in endpoint.raw_requests)
    assert trajectory.tools == toolset.schemas(("read_file", "grep", "list_dir"))
    assert trajectory.finish_reasons == ("tool_calls", "tool_calls", "tool_calls", "stop")
    assert trajectory.usage.model_dump() == {"requests": 4, "tool_calls": 4, "input_tokens": 40, "output_tokens": 20}


def test_request_asks_for_what_the_run_says(roll: Roll) -> None:
    _, endpoint = roll([says("x")], limits=Limits(max_tokens=77), sampling=Sampling(temperature=0.5, top_p=0.9))
    request = endpoint.requests[0]
    asked = ("model", "max_tokens", "temperature", "top_p", "stream", "stream_options")
    assert {key: request[key] for key in asked} == {
        "model": "default_model",
        "max_tokens": 77,
        "temperature": 0.5,
        "top_p": 0.9,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    # a seeded request is served alone by mlx_lm; the rest it refuses or ignores
    assert not {"seed", "max_completion_tokens", "response_format", "parallel_tool_calls"} & request.keys()


def test_provenance_and_prompt_are_recorded(roll: Roll) -> None:
    trajectory, endpoint = roll([says("x")], model="the/teacher", system_prompt="Be brief.")
    assert (trajectory.run_id, trajectory.job_id, trajectory.attempt) == ("r", "000000-aaaaaaaa", 3)
    assert (trajectory.prompt, trajectory.category, trajectory.split) == ("Which?", "c", "test")
    assert trajectory.expect == {"contains": ["a.py"]}
    assert trajectory.system_prompt == "Be brief."
    assert endpoint.requests[0]["messages"] == wire_messages(trajectory)[:-1]
    made = trajectory.provenance
    assert made is not None
    assert (made.teacher, made.endpoint, made.worker) == ("the/teacher", endpoint.base_url, "mac-7")
    assert made.workspace == PIN
    assert made.sampling == Sampling()
    assert made.toolset_digest == toolset.digest(trajectory.tools)
    assert Trajectory.model_validate_json(trajectory.model_dump_json()) == trajectory


@pytest.mark.parametrize(
    ("choice", "answer"),
    [
        # fields left out or null, as small servers do
        ({"message": {"role": "assistant", "content": "Hi."}, "finish_reason": None}, "Hi."),
        # half a surrogate pair, where max_tokens cut an emoji
        ({"message": {"role": "assistant", "content": "Hi \ud83d"}, "finish_reason": "length"}, "Hi ?"),
        # content in parts
        (
            {"message": {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]}, "finish_reason": "stop"},
            "Hi.",
        ),
    ],
)
def test_sloppy_server_is_understood(roll: Roll, choice: JsonObject, answer: str) -> None:
    body = json.dumps({"id": "", "object": "chat.completion", "model": "", "choices": [{"index": 0, **choice}]})
    trajectory, _ = roll([Reply(body=body)], model="m")
    assert trajectory.failure is None
    assert trajectory.answer == answer
    assert Trajectory.model_validate_json(trajectory.model_dump_json()) == trajectory


@pytest.mark.parametrize(
    "arguments", ['{"pattern": "\\ud83d"}', '{"pattern": NaN}', '{"pattern": ' + "[" * 5000, '{"path": null}']
)
def test_arguments_that_no_record_could_carry_are_kept_as_text_or_refused(roll: Roll, arguments: str) -> None:
    trajectory, _ = roll([calls(Call("grep", arguments)), says("x")])
    assert trajectory.outcome == "completed", trajectory.failure
    assert trajectory.messages[2].is_error
    assert Trajectory.model_validate_json(trajectory.model_dump_json()) == trajectory


def test_run_command_is_offered_only_where_the_run_allows_it(roll: Roll) -> None:
    asked = [calls(call("run_command", command="cat a.py")), says("x")]
    refused, endpoint = roll(asked)
    assert "run_command" not in endpoint.raw_requests[0].decode()
    assert refused.messages[2].is_error
    allowed, _ = roll(asked, allow_commands=("cat",))
    assert allowed.messages[2].content == "exit code 0\nstdout:\nclass AAA: ...\nstderr is empty"


def test_without_a_workspace_no_tools_are_offered(workspace: Workspace) -> None:
    with ScriptedEndpoint([says("Paris.")]) as endpoint:
        trajectory = run_rollout(
            Prompt(prompt="Capital of France?", requires_tools=False),
            spec=Spec(run_id="r"),
            job_id="j",
            attempt=1,
            workspace=None,
            teacher=endpoint_teacher(endpoint.base_url, model="default_model", sampling=None, request_seconds=5),
            worker="w",
        )
        assert "tools" not in endpoint.requests[0]
    assert (trajectory.answer, trajectory.tools) == ("Paris.", ())


def test_key_is_sent_and_recorded_nowhere(workspace: Workspace) -> None:
    with ScriptedEndpoint([Reply(status=401, body='{"error": "who?"}')]) as endpoint:
        trajectory = run_rollout(
            Prompt(prompt="x"),
            spec=Spec(run_id="r"),
            job_id="j",
            attempt=1,
            workspace=workspace,
            teacher=endpoint_teacher(
                endpoint.base_url, model="m", api_key="planted-key", sampling=None, request_seconds=5
            ),
            worker="w",
        )
        assert endpoint.headers[0]["authorization"] == "Bearer planted-key"
    assert "planted-key" not in trajectory.model_dump_json()


def test_local_endpoint_is_not_asked_for_through_a_proxy(roll: Roll, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert roll([says("x")])[0].outcome == "completed"


def test_many_threads_roll_out_at_once_with_one_teacher_and_leave_nothing_open(workspace: Workspace) -> None:
    def answer(request: JsonObject) -> Reply:
        messages = request["messages"]
        assert isinstance(messages, list)
        if len(messages) == 2:  # system and user: ask for the letter the prompt names, and for another
            question = messages[1]
            assert isinstance(question, dict)
            return calls(call("grep", pattern=str(question["content"])), call("grep", pattern="HHH"))
        return says("Found.")

    threads, sockets = threading.active_count(), len(psutil.Process().net_connections())
    with ScriptedEndpoint(answer) as endpoint:
        teacher = endpoint_teacher(endpoint.base_url, model="default_model", sampling=None, request_seconds=10)

        def one(letter: str) -> Trajectory:
            return run_rollout(
                Prompt(prompt=letter * 3),
                spec=Spec(run_id="r"),
                job_id=letter,
                attempt=1,
                workspace=workspace,
                teacher=teacher,
                worker="w",
            )

        with ThreadPoolExecutor(6) as pool:
            made = list(pool.map(one, "ABCDEF" * 3))
    for trajectory in made:
        assert trajectory.outcome == "completed", trajectory.failure
        assert list(results_by_call(trajectory)) == [trajectory.job_id * 3, "HHH"]
        assert_own_results(trajectory)
    assert threading.active_count() == threads
    assert len(psutil.Process().net_connections()) <= sockets


SAID = "Let me see.\n\U0001f34e"
TWO = (Call("grep", '{"pattern": "AAA"}', "a"), Call("grep", '{"pattern": "BBB"}', "b"))


def event(delta: JsonObject, finish_reason: str | None = None) -> str:
    piece = {"id": "x", "model": "m", "choices": [{"delta": delta, "finish_reason": finish_reason}]}
    return f"data: {json.dumps(piece)}\r\n\r\n"


def wire(index: int | None, name: str | None, arguments: str | None, one: str | None) -> JsonObject:
    """A call's piece; what is None is left out."""
    function = {"name": name, "arguments": arguments}
    call = {"index": index, "id": one, "function": {key: value for key, value in function.items() if value is not None}}
    return {key: value for key, value in call.items() if value is not None}


@pytest.mark.parametrize(
    "told",
    [
        # one piece for each call, numbered, as mlx_lm does it; text after a call and between two is the one text
        [
            {"content": "Let me "},
            {"tool_calls": [wire(0, "grep", TWO[0].arguments, "a")]},
            {"content": "see.\n\U0001f34e"},
            {"tool_calls": [wire(1, "grep", TWO[1].arguments, "b")]},
        ],
        # both in one
        [{"content": SAID, "tool_calls": [wire(at, "grep", one.arguments, one.id) for at, one in enumerate(TWO)]}],
        # interleaved, the name and the id again with each piece
        [{"content": SAID}]
        + [{"tool_calls": [wire(at, "grep", one.arguments[:5], one.id)]} for at, one in enumerate(TWO)]
        + [{"tool_calls": [wire(at, "grep", one.arguments[5:], one.id)]} for at, one in enumerate(TWO)],
        # every call has the number 0: another id begins another call
        [{"content": SAID}, *({"tool_calls": [wire(0, "grep", one.arguments, one.id)]} for one in TWO)],
        # no numbers at all
        [{"content": SAID}, *({"tool_calls": [wire(None, "grep", one.arguments, one.id)]} for one in TWO)],
        # half of a surrogate pair in each of two pieces
        [{"content": "Let me see.\n\ud83c"}, {"content": "\udf4e"}]
        + [{"tool_calls": [wire(at, "grep", one.arguments, one.id)]} for at, one in enumerate(TWO)],
    ],
)
def test_pieces_make_the_answer_that_comes_whole(roll: Roll, told: list[JsonObject]) -> None:
    stream = "".join([": ping\r\n\r\n", *map(event, told), event({}, "tool_calls"), "data: [DONE]\r\n\r\n"])
    streamed, _ = roll([Reply(stream=stream), says("Both.")])
    whole, _ = roll([Reply(text=SAID, calls=TWO, plain=True), Reply(text="Both.", plain=True)])
    assert whole.messages[1].content == SAID
    assert_own_results(whole)
    assert streamed.outcome == "completed", streamed.failure
    assert (streamed.messages, streamed.finish_reasons) == (whole.messages, whole.finish_reasons)


def test_an_endpoint_that_does_not_stream_leaves_the_same_record(roll: Roll) -> None:
    script = [Reply(text=SAID, calls=TWO), calls(Call("list_dir", "")), says("<think>Hm.</think>Both.")]
    whole, _ = roll([replace(reply, plain=True) for reply in script])
    streamed, _ = roll(script)
    assert whole.outcome == "completed", whole.failure
    assert whole.answer == "Both."
    timed = {"seconds", "timing", "provenance"}
    assert streamed.model_dump(exclude=timed) == whole.model_dump(exclude=timed)
    assert streamed.timing is not None
    assert whole.timing is not None
    for shown, hidden in zip(streamed.timing.requests, whole.timing.requests, strict=True):
        assert shown.finish_reason == hidden.finish_reason
        assert shown.output_tokens == hidden.output_tokens == 5
        assert hidden.first_token is None
    assert [tool.name for tool in whole.timing.tools] == ["grep", "grep", "list_dir"]
    assert streamed.usage.output_tokens == 15
