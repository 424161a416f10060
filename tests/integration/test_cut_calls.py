"""mlx_lm's real server code keeps the text of a call that max_tokens cut, and drops other calls as before."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json
from mlx_lm import server
from mlx_lm.tool_parsers import json_tools
from worker.endpoint.cut_calls import keep_cut_calls
from worker.student import fenced_json

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
JSON, FENCED = json_tools.parse_tool_call, fenced_json.parse_tool_call
CASES = {
    "cut": (JSON, [("", [CUT], "length")]),
    "cut behind a whole one": (JSON, [("", [WHOLE], None), ("", [CUT], "length")]),
    "cut, fenced": (FENCED, [("I look.", [CUT], "length")]),
    "malformed": (JSON, [("", [BAD], "tool_calls")]),
    "malformed, then a cut text": (JSON, [("", [BAD], None), ("I am", [], "length")]),
    "whole": (JSON, [("", [WHOLE], "tool_calls")]),
}
stock = {name: respond(*case) for name, case in CASES.items()}
keep_cut_calls(server)
print(json.dumps([stock, {name: respond(*case) for name, case in CASES.items()}]))
"""
CUT = '<tool_call>\n{"name": "grep", "arguments": {"pattern": "cla'
SAME = {"malformed": ["", 0], "malformed, then a cut text": ["I am", 0], "whole": ["", 1]}


def test_text_of_a_cut_call_is_sent_and_other_lost_calls_are_not() -> None:
    command = [sys.executable, "-c", SCRIPT]
    root = Path(__file__).parents[2]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=120)
    stock, kept = json.loads(ended.stdout.splitlines()[-1])
    assert stock == SAME | {"cut": ["", 0], "cut behind a whole one": ["", 1], "cut, fenced": ["I look.", 0]}
    assert kept == SAME | {
        "cut": [CUT, 0],
        "cut behind a whole one": [CUT, 1],
        "cut, fenced": ["I look.```json\n\n" + CUT.removeprefix("<tool_call>\n"), 0],
    }
