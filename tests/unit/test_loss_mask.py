"""The loss proof against mlx_lm itself: its rows, its offsets, its mask, its server's prompts and its parsers."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from config.records import JsonObject, ToolCall, Trajectory
from tests.support.students import NOTATIONS, student_of, student_with
from tests.support.trajectories import asks, call, from_memory, looked_up, says, told, trajectory, user
from worker.curate.loss_mask import Losses, losses, proof
from worker.curate.render import Rendered, render_text, render_turns
from worker.student.tokenizer import Student

PARALLEL = trajectory(
    [
        user("Where are Widget0 and run defined?"),
        asks(call(pattern="class Widget0"), call(key="c2", pattern="def run"), text="Let me look."),
        told("shop/part0.py:3: class Widget0(Base):"),
        told("shop/run.py:1: def run():", "c2"),
        says("Widget0 is in shop/part0.py, run in shop/run.py."),
    ]
)
MENDED = trajectory(
    [
        user("Which file defines Widget0?"),
        asks(call(pattern="(")),
        told("the pattern is not valid", error=True),
        asks(call(key="c2", pattern="Widget0")),
        told("shop/part0.py:3: class Widget0(Base):", "c2"),
        says("shop/part0.py defines it."),
    ]
)
SAMPLES = (looked_up(), from_memory(), PARALLEL, MENDED)


@pytest.fixture(scope="module", params=NOTATIONS)
def student(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Student:
    return student_of(request.param, tmp_path_factory.mktemp(request.param))


def as_sent(sample: Trajectory, upto: int) -> list[JsonObject]:
    """The messages as an OpenAI client sends them: arguments as text, null content beside calls."""
    sent: list[JsonObject] = [{"role": "system", "content": sample.system_prompt}]
    for message in sample.messages[:upto]:
        told: JsonObject = {"role": message.role, "content": message.content or None}
        if message.tool_calls:
            told["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.arguments)}}
                for c in message.tool_calls
            ]
        if message.role == "tool":
            told["tool_call_id"] = message.tool_call_id
        sent.append(told)
    return sent


@pytest.fixture(scope="module")
def real(student: Student) -> JsonObject:
    """What mlx_lm makes of all of it, in one process per student."""
    turned = [render_turns(sample, student) for sample in SAMPLES]
    asked = {
        "turns": [row for rendered in turned for row in rendered.rows],
        "text": [render_text(sample, student).rows[0] for sample in SAMPLES],
        "requests": [
            # the system prompt is the first chat message
            {"messages": as_sent(sample, span.turn.index - 1), "tools": list(sample.tools)}
            for sample, rendered in zip(SAMPLES, turned, strict=True)
            for span in rendered.spans
        ],
        "said": [
            student.decode(span.through_ids[len(span.prompt_ids) :]) for rendered in turned for span in rendered.spans
        ],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.mlx_rows", str(student.directory)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    answer: JsonObject = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_rows_offsets_and_loss_are_the_trainers_own(student: Student, real: JsonObject) -> None:
    turned = [render_turns(sample, student) for sample in SAMPLES]
    assert all("job_id" in row for rendered in turned for row in rendered.rows)  # mlx_lm ignores it
    spans = [span for rendered in turned for span in rendered.spans]
    assert [row["ids"] for row in real["turns"]] == [list(span.through_ids) for span in spans]
    assert [row["offset"] for row in real["turns"]] == [len(span.prompt_ids) for span in spans]
    counted = sum(losses(rendered, student, max_seq_length=4096).loss_tokens for rendered in turned)
    assert counted == sum(len(row["loss"]) for row in real["turns"])


def test_text_rows_and_their_loss_are_the_trainers_own(student: Student, real: JsonObject) -> None:
    texts = [render_text(sample, student) for sample in SAMPLES]
    assert all("job_id" in row for rendered in texts for row in rendered.rows)  # mlx_lm ignores it
    assert [row["ids"] for row in real["text"]] == [list(rendered.text_ids) for rendered in texts]
    counted = sum(losses(rendered, student, max_seq_length=4096).loss_tokens for rendered in texts)
    assert counted == sum(len(row["loss"]) for row in real["text"])


def test_the_trained_prefix_is_what_the_server_prefills(student: Student, real: JsonObject) -> None:
    spans = [span for sample in SAMPLES for span in render_turns(sample, student).spans]
    assert real["requests"] == [list(span.prompt_ids) for span in spans]


def test_the_servers_parser_reads_back_what_the_template_writes(student: Student, real: JsonObject) -> None:
    written = [
        [(c.name, c.arguments) for c in sample.messages[span.turn.index - 1].tool_calls]
        for sample in SAMPLES
        for span in render_turns(sample, student).spans
    ]
    read = [[(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls] for calls in real["calls"]]
    assert read == written
    assert sum(map(len, written)) == 4


def test_turns_has_no_loss_on_other_peoples_words_and_every_stop_token(student: Student) -> None:
    for sample in SAMPLES:
        counted = losses(render_turns(sample, student), student, max_seq_length=4096)
        assert proof(counted, foreign_allowed=False)["passed"] is True
        assert (counted.non_assistant_tokens, counted.stop_tokens) == (0, counted.turns)
        assert counted.assistant_tokens == counted.loss_tokens > 0


def test_text_counts_other_peoples_words(student: Student) -> None:
    rendered = render_text(looked_up(), student)
    counted = losses(rendered, student, max_seq_length=4096)
    told = proof(counted, foreign_allowed=True)
    assert told["passed"] is True
    assert counted.assistant_tokens + counted.non_assistant_tokens == counted.loss_tokens == len(rendered.text_ids) - 1
    assert 0.5 < told["foreign_share"] < 1


def test_a_failed_call_is_context_and_not_learnt(student: Student) -> None:
    rows = render_turns(MENDED, student).rows
    assert len(rows) == 2
    learnt = [row["messages"][-1].get("tool_calls", [{}])[0].get("id") for row in rows]
    assert learnt == ["c2", None]
    assert "the pattern is not valid" in json.dumps(rows[0])


CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m.tool_calls or '' }}"
GENERATE = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
BROKEN_TEMPLATES = [
    # a template, and the fault its proof names
    (CHATML + "{% endfor %}" + GENERATE, "no stop token"),  # turns are never closed
    (CHATML + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}", "differ"),
    (
        "{{ messages | length }}"
        + CHATML
        + "<|im_end|>\n{% endfor %}"
        + GENERATE,  # the prefix changes with what follows
        "differ",
    ),
]


@pytest.mark.parametrize(("source", "fault"), BROKEN_TEMPLATES)
def test_the_proof_fails_for_templates_that_train_something_else(source: str, fault: str, tmp_path: Path) -> None:
    student = Student(student_with(source, tmp_path))
    counted = losses(render_turns(looked_up(), student), student, max_seq_length=4096)
    told = proof(counted, foreign_allowed=False)
    assert told["passed"] is False
    assert any(fault in one for one in told["faults"])


def test_a_row_that_is_cut_fails_the_proof(student: Student) -> None:
    rendered = render_turns(looked_up(), student)
    counted = losses(rendered, student, max_seq_length=len(rendered.spans[-1].through_ids) - 1)
    assert counted.cut_rows == 1
    assert "1 rows are cut by max_seq_length" in proof(counted, foreign_allowed=False)["faults"]
    whole = losses(rendered, student, max_seq_length=len(rendered.spans[-1].through_ids))
    assert whole.cut_rows == 0


def test_an_offset_inside_the_users_words_is_a_fault(student: Student) -> None:
    rendered = render_turns(looked_up(), student)
    span = rendered.spans[0]
    shifted = replace(span, prompt_ids=(*span.prompt_ids[:-4], 1, 2, 3, 4))
    counted = losses(
        Rendered(rows=rendered.rows, lengths=rendered.lengths, spans=(shifted,)), student, max_seq_length=4096
    )
    assert counted.non_assistant_tokens > 0
    assert proof(counted, foreign_allowed=False)["passed"] is False


def test_an_empty_dataset_proves_nothing() -> None:
    assert proof(Losses(), foreign_allowed=True)["passed"] is False


def test_text_arguments_are_not_doubly_encoded(student: Student) -> None:
    sample = trajectory(
        [user("q"), asks(ToolCall(id="c1", name="grep", arguments={"pattern": 'a"b'})), told("x"), says("y")]
    )
    row = render_turns(sample, student).rows[0]
    assert row["messages"][-1]["tool_calls"][0]["function"]["arguments"] == {"pattern": 'a"b'}
