"""mlx_lm's real server code keeps the text of a call that max_tokens cut, and drops other calls as before."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
from mlx_lm import server
from mlx_lm.tool_parsers import json_tools, qwen3_coder
from worker.endpoint.cut_calls import keep_cut_calls
from worker.student import fenced_json

if "--stock" not in sys.argv:
    keep_cut_calls(server)

def respond(parser, parts):
    handler = object.__new__(server.APIHandler)
    handler.request_id = handler.system_fingerprint = handler.requested_model = "x"
    handler.created, handler.stream, handler.object_type = 1, True, "chat.completion.chunk"
    formatter = server.ToolCallFormatter(parser, None, True)
    sent = [handler.generate_response(text, end, tool_calls=formatter(calls)) for text, calls, end in parts]
    deltas = [one["choices"][0]["delta"] for one in sent]
    return ["".join(d.get("content", "") for d in deltas), sum(len(d.get("tool_calls", [])) for d in deltas)]

CUT, BAD = '\\n{"name": "grep", "arguments": {"pattern": "cla', '\\n{"name": oops}\\n'
WHOLE = '\\n{"name": "grep", "arguments": {"pattern": "x"}}\\n'
print(json.dumps({
    "cut": respond(json_tools.parse_tool_call, [("", [CUT], "length")]),
    "cut behind a whole one": respond(json_tools.parse_tool_call, [("", [WHOLE], None), ("", [CUT], "length")]),
    "cut, fenced": respond(fenced_json.parse_tool_call, [("I look.", [CUT], "length")]),
    "malformed": respond(json_tools.parse_tool_call, [("", [BAD], "tool_calls")]),
    "malformed, then a cut text": respond(json_tools.parse_tool_call, [("", [BAD], None), ("I am", [], "length")]),
    "whole": respond(json_tools.parse_tool_call, [("", [WHOLE], "tool_calls")]),
}))
"""
CUT = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "cla'
DROPPED = {"malformed": ["", 0], "malformed, then a cut text": ["I am", 0], "whole": ["", 1]}


def respond(*arguments: str) -> dict[str, list[object]]:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, *arguments]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    answers: dict[str, list[object]] = json.loads(ended.stdout.splitlines()[-1])
    return answers


def test_text_of_a_cut_call_is_sent_and_other_lost_calls_are_not() -> None:
    assert respond() == DROPPED | {
        "cut": [CUT, 0],
        "cut behind a whole one": [CUT, 1],
        "cut, fenced": ["I look.```json\n\n" + CUT.removeprefix("<tool_call>\n"), 0],
    }


def test_stock_server_drops_it() -> None:
    answers = respond("--stock")
    assert (answers["cut"], answers["cut behind a whole one"]) == (["", 0], ["", 1])
