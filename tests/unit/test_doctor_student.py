"""Doctor checks of a student: each fault is planted once in a tiny model. test_doctor_parser runs mlx_lm itself."""

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
ONE_CALL = QWEN25.replace(  # as in the templates of some model families
    "{%- for tool_call in message.tool_calls %}",
    "{%- for tool_call in message.tool_calls %}{%- if loop.index > 1 %}{{ raise_exception('one call') }}{% endif %}",
)
GENERATION = '{{- "\\n<|im_start|>assistant\\n" -}}'
QWEN25_GENERATION = "'<|im_start|>assistant\\n' }}\n{%- endif %}\n"
BOTH = QWEN25_GENERATION.replace("}}", "+ ('Both. ' if messages[-2].role == 'tool' else '') }}")
PARSER = "student: tool parser"
Plant = Callable[[Path], object]


def diagnose(directory: Path) -> DoctorReport:
    """Run every check except the one that starts mlx_lm."""
    return run_checks([check for check in StudentDoctor(directory).checks() if check.name != PARSER])


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def with_tokens(directory: Path, *tokens: str) -> None:
    """Add each of these texts as a token."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in tokens])
    tokenizer.save(str(directory / "tokenizer.json"))


def with_embeddings(directory: Path, *rows: float) -> None:
    """Append embedding rows: the same random row each time, plus this much noise."""
    weights = load_file(directory / "model.safetensors")
    table, random = weights["model.embed_tokens.weight"], np.random.default_rng(1)
    common = random.standard_normal(table.shape[1])
    added = [common + noise * random.standard_normal(table.shape[1]) for noise in rows]
    weights["model.embed_tokens.weight"] = np.vstack([table, *added]).astype(np.float32)
    save_file(weights, directory / "model.safetensors")


def with_template(source: str) -> Plant:
    return lambda directory: (directory / "chat_template.jinja").write_text(source, encoding="utf-8")


def with_eos(directory: Path, token: str) -> None:
    """Set the tokenizer's stop token."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        edit(directory / name, eos_token=token)


def eos_of_text(directory: Path) -> None:
    """Set the end-of-text token as stop token instead of the end-of-turn token, as many base models do."""
    end = Tokenizer.from_file(str(directory / "tokenizer.json")).token_to_id("<|endoftext|>")
    edit(directory / "config.json", eos_token_id=end)
    with_eos(directory, "<|endoftext|>")


def qwen25_coder(directory: Path) -> None:
    """Name the model family in the config, and add a token for each tag."""
    with_tokens(directory, "<tool_call>", "</tool_call>")
    edit(directory / "config.json", _name_or_path="Qwen/Qwen2.5-Coder-0.5B")


def untrained(directory: Path) -> None:
    """Add two tokens whose embeddings differ only by noise."""
    with_tokens(directory, "<tool_call>", "</tool_call>")
    with_embeddings(directory, 0.001, 0.001)


def adds_a_token(directory: Path) -> None:
    """Make the tokenizer prepend a token that the template does not expect."""
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    start = "<|endoftext|>"
    tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A", special_tokens=[(start, tokenizer.token_to_id(start))]
    )
    tokenizer.save(str(directory / "tokenizer.json"))


PLANTED: dict[str, tuple[Plant, set[str]]] = {
    "a template without tools": (with_template(NO_TOOLS), {"student_template"}),
    "a truncated tokenizer file": (lambda d: (d / "tokenizer.json").write_text('{"a"'), {"student_template"}),
    "a marker missing in the tokenizer": (
        with_template(CHATML.replace("<|im_start|>", "<|turn_start|>")),
        {"marker_split"},
    ),
    "an end of turn missing in the tokenizer": (
        with_template(QWEN25.replace("<|im_end|>", "<|turn_end|>")),
        {"marker_split", "end_of_turn_is_no_eos", "loss", "text_row_end"},
    ),
    "another family's marker": (
        with_template(QWEN25.replace("<|im_start|>", "<start_of_turn>")),
        {"marker_split"},
    ),
    "one tag of a pair is a token": (lambda d: with_tokens(d, "<tool_call>"), {"marker_pair"}),
    "the server stops at another token": (eos_of_text, {"end_of_turn_is_no_eos", "loss", "text_row_end"}),
    "a stop token missing in the tokenizer": (
        lambda d: edit(d / "config.json", eos_token_id=[2, 99_999]),
        {"stop_token_unknown"},
    ),
    "a second stop token after text rows": (
        lambda d: with_eos(d, "<|endoftext|>"),
        {"second_eos"},
    ),
    "an inference prompt unlike training": (
        with_template(CHATML.replace(GENERATION, GENERATION.replace("assistant\\n", "assistant\\n<think>\\n"))),
        {"loss"},
    ),
    "an inference prompt unlike training, after two results only": (
        with_template(QWEN25.replace(QWEN25_GENERATION, BOTH)),
        {"loss"},
    ),
    "a tokenizer that adds a token to text rows": (adds_a_token, {"text_loss"}),
    "a template for one call per turn": (with_template(ONE_CALL), {"template_refuses"}),
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
    "untrained tags": (untrained, {"untrained_tags"}),
}


@pytest.mark.parametrize(("plant", "found"), PLANTED.values(), ids=PLANTED)
def test_exactly_the_planted_fault_is_found(tmp_path: Path, plant: Plant, found: set[str]) -> None:
    plant(make_tiny_student(tmp_path / "student"))
    report = diagnose(tmp_path / "student")
    assert {finding.name for finding in report.findings} == found
    assert all(finding.message and finding.remedy for finding in report.findings)


MESSAGES = [
    # planted fault, finding, part of its message
    ("a template without tools", "student_template", "leaves out the tools"),
    ("an end of turn missing in the tokenizer", "marker_split", "the template's marker '<|turn_end|>' is"),
    ("no end of turn, in Qwen's template", "loss", "19 assistant turns have no stop token in the loss"),
    ("an inference prompt unlike training", "loss", "of every conversation, 19 trained prefixes differ"),
    (
        "an inference prompt unlike training, after two results only",
        "loss",
        "of some conversations (two calls in one turn), 1 trained prefixes differ",
    ),
    ("a tokenizer that adds a token to text rows", "text_loss", "19 trained prefixes differ from the served prompt"),
    ("a template for one call per turn", "template_refuses", "1 of 10 conversations (two calls in one turn)"),
]


@pytest.mark.parametrize(("planted", "name", "message"), MESSAGES)
def test_the_finding_describes_the_planted_fault(tmp_path: Path, planted: str, name: str, message: str) -> None:
    PLANTED[planted][0](make_tiny_student(tmp_path / "student"))
    messages = [finding.message for finding in diagnose(tmp_path / "student").findings if finding.name == name]
    assert message in " ".join(messages)


def test_the_loss_check_is_skipped_if_the_template_refuses_every_conversation(tmp_path: Path) -> None:
    picky = QWEN25 + "{% if tools[0].function.name == 'look_up' %}{{ raise_exception('not this tool') }}{% endif %}"
    report = diagnose(student_with(picky, tmp_path / "student"))
    assert [finding.name for finding in report.findings] == ["template_refuses"]
    assert {"student: loss", "student: text rows"} <= {skipped.check for skipped in report.not_checked}


def test_without_a_usable_template_the_other_checks_are_skipped(tmp_path: Path) -> None:
    report = diagnose(student_with(NO_TOOLS, tmp_path / "student"))
    assert "student: loss" in [skipped.check for skipped in report.not_checked]
    assert "student: loss" not in report.checked


@pytest.mark.parametrize("source", [CHATML, FENCED, QWEN25, template("qwen3_coder")])
def test_a_healthy_student_has_no_finding(tmp_path: Path, source: str) -> None:
    report = diagnose(student_with(source, tmp_path / "student"))
    assert report.findings == ()
    assert report.not_checked == ()


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("Qwen2.5-Coder-1.5B-Instruct", {"qwen25_coder_calls"}),
        ("qwen25-coder", {"qwen25_coder_calls"}),
        ("models--Qwen--Qwen2.5-Coder-0.5B/snapshots/0a1b2c", {"qwen25_coder_calls"}),  # as the hub cache has it
        ("qwen2.5-coder-notes/Qwen3-4B", set()),  # a parent directory does not name the model
    ],
)
def test_the_model_family_is_read_from_the_directory_name(tmp_path: Path, folder: str, found: set[str]) -> None:
    directory = make_tiny_student(tmp_path / folder)
    with_tokens(directory, "<tool_call>", "</tool_call>")
    with_embeddings(directory, 1.0, 1.0)
    assert {finding.name for finding in diagnose(directory).findings} == found


def test_trained_tags_have_no_finding(tmp_path: Path) -> None:
    directory = make_tiny_student(tmp_path / "student")
    with_tokens(directory, "<tool_call>", "</tool_call>")
    with_embeddings(directory, 1.0, 1.0)
    assert diagnose(directory).findings == ()


@pytest.mark.parametrize(
    ("row", "other", "expected"),
    [([1, 0], [0, 1], 0.0), ([1, 2], [2, 4], 1.0), ([1, 2], [-1, -2], -1.0), ([0, 0], [1, 1], 1.0)],
)  # a row of zeros is untrained too
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_cosine_of_two_rows(tmp_path: Path, row: list[int], other: list[int], expected: float, kind: str) -> None:
    rows = np.array([[9, 9], row, other], np.float32)
    write_table(tmp_path, rows, kind)
    assert cosine(tmp_path, 1, 2) == pytest.approx(expected, abs=1e-3)


def test_quantised_embeddings_are_not_compared(tmp_path: Path) -> None:
    write_table(tmp_path, np.zeros((3, 2), np.float32), "U32")
    with pytest.raises(CannotCheckError, match="quantised"):
        cosine(tmp_path, 0, 1)


def write_table(folder: Path, rows: "np.ndarray[tuple[int, int], np.dtype[np.float32]]", kind: str) -> None:
    """Write a safetensors file by hand, because numpy has no bfloat16."""
    bits = {"F32": rows, "F16": rows.astype("<f2"), "U32": rows.astype("<u4")}
    data = bits[kind].tobytes() if kind in bits else (rows.view(np.uint32) >> 16).astype("<u2").tobytes()
    entry = {"dtype": kind, "shape": list(rows.shape), "data_offsets": [0, len(data)]}
    header = json.dumps({"model.embed_tokens.weight": entry}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_check_names_are_unique(tmp_path: Path) -> None:
    checks: list[Check] = StudentDoctor(tmp_path).checks()
    assert len({check.name for check in checks}) == len(checks)
