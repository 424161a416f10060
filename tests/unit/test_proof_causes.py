"""A row that the loss proof rejects names what the template does, one planted template for each cause."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from config.records import Trajectory
from tests.support.students import student_with
from tests.support.trajectories import asks, call, looked_up, says, told, trajectory, user
from worker.curate.loss_mask import losses
from worker.curate.proof_causes import causes
from worker.curate.render import Rendered, render_text, render_turns
from worker.student import templates
from worker.student.tokenizer import RenderError, Student

Render = Callable[[Trajectory, Student], Rendered]
SOUND = templates.path(templates.CHATML_TOOLS).read_text()
OPEN, CLOSE = '{{- "\\n<|im_start|>assistant\\n" -}}', '{{- "<|im_end|>" -}}\n{%- endfor -%}'
CONTENT = '(message.content or "")'
THINKING = trajectory(
    [
        user("Which file defines Widget0?"),
        asks(call(pattern="Widget0"), text="<think>I must look.</think>Let me look."),
        told("shop/part0.py:3: class Widget0(Base):"),
        says("shop/part0.py defines it."),
    ]
)
UNSPOKEN = '(("" if "<think>" in message.content and not loop.last else message.content) or "")'


def planted(*changes: tuple[str, str]) -> str:
    source = SOUND
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    return source


BOTH = (render_text, render_turns)
CAUSES = [
    # a change of the sound template, a conversation, the formats whose rows it spoils, and the cause
    (
        (OPEN, '{{- "\\n<|im_start|>assistant\\n<think>\\n" -}}'),
        looked_up(),
        BOTH,
        "generation prompt is not how it begins an assistant's turn: '\\n<|im_start|>assistant\\n<think>\\n', but",
    ),
    ((CLOSE, "{%- endfor -%}"), looked_up(), BOTH, "without the stop token '<|im_end|>'"),
    ((CLOSE, '{{- "<|im_end|>and more" -}}{%- endfor -%}'), looked_up(), (render_turns,), "a stop token stands inside"),
    ((CONTENT, UNSPOKEN), THINKING, (render_text,), "renders the reasoning of earlier turns differently"),
    (
        (CONTENT, f'("\\n\\n" + {CONTENT})'),
        looked_up(),
        BOTH,
        "merges into other tokens with the end",
    ),
    (
        ("{%- for message in turns -%}", "{{- messages | length -}}{%- for message in turns -%}"),
        looked_up(),
        BOTH,
        "renders a message of the role",
    ),
]


@pytest.mark.parametrize(("change", "sample", "formats", "cause"), CAUSES)
def test_the_cause_is_named(
    change: tuple[str, str], sample: Trajectory, formats: Sequence[Render], cause: str, tmp_path: Path
) -> None:
    student = Student(student_with(planted(change), tmp_path))
    for render in formats:
        rendered = render(sample, student)
        assert losses(rendered, student, max_seq_length=4096).faults(foreign_allowed=True), render
        found = causes(sample, rendered, student)
        assert any(cause in f"{name}: {evidence}" for name, evidence in found.items()), found


def test_a_template_that_writes_one_of_two_parallel_calls_is_named(tmp_path: Path) -> None:
    one = planted(("for call in message.tool_calls or [] -%}", "for call in (message.tool_calls or [])[:1] -%}"))
    student = Student(student_with(one, tmp_path))
    parallel = trajectory(
        [user("q"), asks(call(pattern="x"), call(key="c2", pattern="y")), told("a"), told("b", "c2"), says("x")]
    )
    for render in BOTH:
        with pytest.raises(RenderError, match="writes 1 of 2 calls of 'grep' in one turn"):
            render(parallel, student)


@pytest.mark.parametrize("sample", [looked_up(), THINKING])
def test_a_sound_template_has_no_cause(sample: Trajectory, tmp_path: Path) -> None:
    student = Student(student_with(SOUND, tmp_path))
    for render in BOTH:
        rendered = render(sample, student)
        assert losses(rendered, student, max_seq_length=4096).faults(foreign_allowed=True) == ()
        assert causes(sample, rendered, student) == {}
