"""Whether a model can be a student: python -m worker.curate.examine STUDENT [--json]

Looked at: the template expresses tools, its markers are single tokens, the stop token is in the loss of both formats,
the trained prefix is the served prompt, and the server's own parser reads back the calls that the template writes.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from config.errors import ApplejackError
from config.records import Message, ToolCall, Trajectory
from worker.curate.mask import losses, proof
from worker.curate.render import render_text, render_turns
from worker.curate.tokenizer import PROBE_TOOL, Student

MARKER = re.compile(r"<\|[a-z_]+\|>|<(?:start|end)_of_turn>")
ARGUMENTS: dict[str, str] = {"probe_key": 'two "quoted" words\\n'}
SAMPLE = Trajectory(
    run_id="examine",
    job_id="000000-examine0",
    prompt="What is there?",
    system_prompt="You look things up.",
    tools=(PROBE_TOOL,),
    messages=(
        Message(role="user", content="What is there?"),
        Message(
            role="assistant",
            content="",
            tool_calls=(ToolCall(id="probe00001", name="probe_tool", arguments={**ARGUMENTS}),),
        ),
        Message(role="tool", tool_call_id="probe00001", name="probe_tool", content="a result"),
        Message(role="assistant", content="There is a result."),
    ),
    outcome="completed",
)
LONG = 1 << 20  # tokens; nothing is cut here
CHILD_SECONDS = 120.0
CODER = re.compile(r"(?i)qwen2\.5-?coder")


def examine(directory: Path) -> tuple[str, ...]:
    """What is wrong with a student, one sentence each; nothing when it will do."""
    try:
        student = Student(directory)
        student.require_tools()
        return (*_markers(student), *_proofs(student), *_read_back(student))
    except ApplejackError as error:
        return (str(error),)


def _markers(student: Student) -> list[str]:
    found = []
    for marker in sorted({*MARKER.findall(student.template), *student.eos_texts}):
        if (count := len(student.ids([marker])[0])) != 1:
            found.append(f"the marker {marker!r} is {count} tokens, not one; the model never saw it as a marker")
    coder = CODER.search(str(student.directory)) and "<tool_call>" in student.template
    if coder and len(student.ids(["<tool_call>"])[0]) == 1:
        found.append(
            "Qwen2.5-Coder never learnt its <tool_call> token: give it the template qwen25_coder_fenced and "
            '"tool_parser_type": "fenced_json", or rename the token in its tokenizer so that the tag is spelt out'
        )
    return found


def _proofs(student: Student) -> list[str]:
    turned = proof(losses(render_turns(SAMPLE, student), student, max_seq_length=LONG), foreign_allowed=False)
    text = proof(losses(render_text(SAMPLE, student), student, max_seq_length=LONG), foreign_allowed=True)
    return [
        f"{name}: {fault}"
        for name, told in (("turns", turned), ("text", text))
        for fault in (told["faults"] if isinstance(told["faults"], list) else [])
    ]


def _read_back(student: Student) -> list[str]:
    spans = render_turns(SAMPLE, student).spans
    said = [student.decode(span.through_ids[len(span.prompt_ids) :]) for span in spans]
    done = subprocess.run(
        [sys.executable, "-m", "worker.student.read_calls", str(student.directory)],
        input=json.dumps(said),
        capture_output=True,
        text=True,
        timeout=CHILD_SECONDS,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return [f"mlx_lm cannot load its tokenizer: {last}"]
    told = json.loads(done.stdout.splitlines()[-1])
    if told["parser"] is None:
        return ["the server finds no tool parser for its template; set tool_parser_type in tokenizer_config.json"]
    if told["calls"] != [[{"name": "probe_tool", "arguments": ARGUMENTS}], []]:
        return [f"the server's parser {told['parser']!r} reads {told['calls'][0]!r} from the call its template writes"]
    return []


def main() -> None:
    """Print the findings; exit 1 when there are some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("student", type=Path)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = examine(asked.student)
    for finding in found:
        print(finding, file=sys.stderr)
    if asked.json:
        print(json.dumps({"findings": list(found)}))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
