"""The doctor on a student: each trap planted once in a tiny one; what mlx_lm itself is asked is an integration test."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.processors import TemplateProcessing

from config.diagnostics import CannotCheckError, Check, DoctorReport, run_checks
from tests.support.students import NO_TOOLS, student_with, template
from tests.support.tiny_student import make_tiny_student
from worker.doctor.embeddings import cosine
from worker.doctor.student_checks import StudentDoctor
from worker.student import templates

CHATML = templates.path(templates.CHATML_TOOLS).read_text(encoding="utf-8")
FENCED = templates.path(templates.QWEN25_CODER_FENCED).read_text(encoding="utf-8")
QWEN25 = template("qwen25")
ONE_CALL = QWEN25.replace(  # as some families' templates say
    "{%- for tool_call in message.tool_calls %}",
    "{%- for tool_call in message.tool_calls %}{%- if loop.index > 1 %}{{ raise_exception('one call') }}{% endif %}",
)
GENERATION = '{{- "\\n<|im_start|>assistant\\n" -}}'
QWEN25_GENERATION = "'<|im_start|>assistant\\n' }}\n{%- endif %}\n"
BOTH = QWEN25_GENERATION.replace("}}", "+ ('Both. ' if messages[-2].role == 'tool' else '') }}")
PARSER = "student: tool parser"
Plant = Callable[[Path], object]


def looked(directory: Path) -> DoctorReport:
    """Every check but the one that starts mlx_lm."""
    return run_checks([check for check in StudentDoctor(directory).checks() if check.name != PARSER])


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def with_tokens(directory: Path, *tokens: str) -> None:
    """Make these texts one token each."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])
    tokenizer.save(str(directory / "tokenizer.json"))


def with_embeddings(directory: Path, *rows: float) -> None:
    """Append rows of embeddings, each the same random one plus so much noise."""
    weights = load_file(directory / "model.safetensors")
    table, random = weights["model.embed_tokens.weight"], np.random.default_rng(1)
    common = random.standard_normal(table.shape[1])
    added = [common + noise * random.standard_normal(table.shape[1]) for noise in rows]
    weights["model.embed_tokens.weight"] = np.vstack([table, *added]).astype(np.float32)
    save_file(weights, directory / "model.safetensors")


def with_template(source: str) -> Plant:
    return lambda directory: (directory / "chat_template.jinja").write_text(source, encoding="utf-8")


def with_eos(directory: Path, token: str) -> None:
    """The tokenizer's stop token."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        edit(directory / name, eos_token=token)


def eos_of_text(directory: Path) -> None:
    """The stop token of the text, not of the turn: what many base models come with."""
    end = Tokenizer.from_file(str(directory / "tokenizer.json")).token_to_id("<|endoftext|>")
    edit(directory / "config.json", eos_token_id=end)
    with_eos(directory, "<|endoftext|>")


def qwen25_coder(directory: Path) -> None:
    """As the family says of itself, with a token for each tag."""
    with_tokens(directory, "<tool_call>", "</tool_call>")
    edit(directory / "config.json", _name_or_path="Qwen/Qwen2.5-Coder-0.5B")


def untrained(directory: Path) -> None:
    """Two tokens whose embeddings only noise tells apart."""
    with_tokens(directory, "<tool_call>", "</tool_call>")
    with_embeddings(directory, 0.001, 0.001)


def adds_a_token(directory: Path) -> None:
    """The tokenizer puts a token in front of every text, and the template does not know."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    start = "<|endoftext|>"
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
    )
    tokenizer.save(str(directory / "tokenizer.json"))


PLANTED: dict[str, tuple[Plant, set[str]]] = {
    "a template without tools": (with_template(NO_TOOLS), {"student_template"}),
    "a tokenizer cut short": (lambda d: (d / "tokenizer.json").write_text('{"a"'), {"student_template"}),
    "a marker the tokenizer does not know": (
        with_template(CHATML.replace("<|im_start|>", "<|turn_start|>")),
        {"marker_split"},
    ),
    "an end of turn the tokenizer does not know": (
        with_template(QWEN25.replace("<|im_end|>", "<|turn_end|>")),
        {"marker_split", "end_of_turn_is_no_eos", "loss", "text_row_end"},
    ),
    "another family's marker": (
        with_template(QWEN25.replace("<|im_start|>", "<start_of_turn>")),
        {"marker_split"},
    ),
    "one tag of a pair is a token": (lambda d: with_tokens(d, "<tool_call>"), {"marker_pair"}),
    "the server stops at another token": (eos_of_text, {"end_of_turn_is_no_eos", "loss", "text_row_end"}),
    "a stop token that the tokenizer does not have": (
        lambda d: edit(d / "config.json", eos_token_id=[2, 99_999]),
        {"stop_token_unknown"},
    ),
    "a second stop token behind text rows": (
        lambda d: with_eos(d, "<|endoftext|>"),
        {"second_eos"},
    ),
    "a served prompt that training never saw": (
        with_template(CHATML.replace(GENERATION, GENERATION.replace("assistant\\n", "assistant\\n<think>\\n"))),
        {"loss"},
    ),
    "a served prompt that training never saw, after two results only": (
        with_template(QWEN25.replace(QWEN25_GENERATION, BOTH)),
        {"loss"},
    ),
    "a tokenizer that adds a token to text rows": (adds_a_token, {"text_loss"}),
    "a template that takes one call a turn": (with_template(ONE_CALL), {"template_refuses"}),
    "no end of turn, in Qwen's template": (
        with_template(QWEN25.replace("<|im_end|>", "")),
        {"no_end_of_turn", "loss", "text_row_end"},
    ),
    "no end of turn": (
        with_template(CHATML.replace('{{- "<|im_end|>" -}}\n{%- endfor -%}', "{%- endfor -%}")),
        {"no_end_of_turn", "loss", "text_row_end"},
    ),
    "a short context": (lambda d: edit(d / "config.json", max_position_embeddings=512), {"student_context"}),
    "Qwen2.5-Coder with its tags": (qwen25_coder, {"qwen25_coder_calls"}),
    "tags nobody trained": (untrained, {"untrained_tags"}),
}


@pytest.mark.parametrize(("plant", "found"), PLANTED.values(), ids=PLANTED)
def test_a_planted_trap_is_found_and_no_other(tmp_path: Path, plant: Plant, found: set[str]) -> None:
    plant(make_tiny_student(tmp_path / "student"))
    seen = looked(tmp_path / "student")
    assert {trap.name for trap in seen.findings} == found
    assert all(trap.message and trap.remedy for trap in seen.findings)


TOLD = [
    # what is planted, the finding, and what it says
    ("a template without tools", "student_template", "leaves out the tools"),
    ("an end of turn the tokenizer does not know", "marker_split", "the template's marker '<|turn_end|>' is"),
    ("no end of turn, in Qwen's template", "loss", "19 assistant turns have no stop token in the loss"),
    ("a served prompt that training never saw", "loss", "of every conversation, 19 trained prefixes differ"),
    (
        "a served prompt that training never saw, after two results only",
        "loss",
        "of some conversations (two calls in one turn), 1 trained prefixes differ",
    ),
    ("a tokenizer that adds a token to text rows", "text_loss", "19 trained prefixes differ from the served prompt"),
    ("a template that takes one call a turn", "template_refuses", "1 of 10 conversations (two calls in one turn)"),
]


@pytest.mark.parametrize(("planted", "trap", "said"), TOLD)
def test_what_is_told_of_it(tmp_path: Path, planted: str, trap: str, said: str) -> None:
    PLANTED[planted][0](make_tiny_student(tmp_path / "student"))
    message = [found.message for found in looked(tmp_path / "student").findings if found.name == trap]
    assert said in " ".join(message)


def test_a_template_that_refuses_every_conversation_leaves_the_loss_unchecked(tmp_path: Path) -> None:
    picky = QWEN25 + "{% if tools[0].function.name == 'look_up' %}{{ raise_exception('not this tool') }}{% endif %}"
    seen = looked(student_with(picky, tmp_path / "student"))
    assert [found.name for found in seen.findings] == ["template_refuses"]
    assert {"student: loss", "student: text rows"} <= {unseen.check for unseen in seen.not_checked}


def test_without_a_usable_template_the_rest_is_told_as_not_checked(tmp_path: Path) -> None:
    seen = looked(student_with(NO_TOOLS, tmp_path / "student"))
    assert "student: loss" in [unseen.check for unseen in seen.not_checked]
    assert "student: loss" not in seen.checked


@pytest.mark.parametrize("source", [CHATML, FENCED, QWEN25, template("qwen3_coder")])
def test_a_sound_student_has_no_finding(tmp_path: Path, source: str) -> None:
    seen = looked(student_with(source, tmp_path / "student"))
    assert seen.findings == ()
    assert seen.not_checked == ()


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("Qwen2.5-Coder-1.5B-Instruct", {"qwen25_coder_calls"}),
        ("qwen25-coder", {"qwen25_coder_calls"}),
        ("models--Qwen--Qwen2.5-Coder-0.5B/snapshots/0a1b2c", {"qwen25_coder_calls"}),  # as the hub cache has it
        ("qwen2.5-coder-notes/Qwen3-4B", set()),  # where a student lies is not what it is
    ],
)
def test_the_family_is_known_by_the_students_folder(tmp_path: Path, folder: str, found: set[str]) -> None:
    directory = make_tiny_student(tmp_path / folder)
    with_tokens(directory, "<tool_call>", "</tool_call>")
    with_embeddings(directory, 1.0, 1.0)
    assert {trap.name for trap in looked(directory).findings} == found


def test_trained_tags_are_sound(tmp_path: Path) -> None:
    directory = make_tiny_student(tmp_path / "student")
    with_tokens(directory, "<tool_call>", "</tool_call>")
    with_embeddings(directory, 1.0, 1.0)
    assert looked(directory).findings == ()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([1, 0], [0, 1], 0.0), ([1, 2], [2, 4], 1.0), ([1, 2], [-1, -2], -1.0), ([0, 0], [1, 1], 1.0)],
)  # a row of zeros was never trained either
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_the_cosine_of_two_rows(tmp_path: Path, one: list[int], other: list[int], expected: float, kind: str) -> None:
    rows = np.array([[9, 9], one, other], np.float32)
    write_table(tmp_path, rows, kind)
    assert cosine(tmp_path, 1, 2) == pytest.approx(expected, abs=1e-3)


def test_quantised_embeddings_are_not_looked_at(tmp_path: Path) -> None:
    write_table(tmp_path, np.zeros((3, 2), np.float32), "U32")
    with pytest.raises(CannotCheckError, match="quantised"):
        cosine(tmp_path, 0, 1)


def write_table(folder: Path, rows: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", kind: str) -> None:
    """A safetensors file, written by hand, for numpy has no bfloat16."""
    bits = {"F32": rows, "F16": rows.astype("<f2"), "U32": rows.astype("<u4")}
    data = bits[kind].tobytes() if kind in bits else (rows.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"dtype": kind, "shape": list(rows.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_every_check_has_a_name_of_its_own(tmp_path: Path) -> None:
    checks: list[Check] = StudentDoctor(tmp_path).checks()
    assert len({check.name for check in checks}) == len(checks)
