"""The curate stage whole: counts, files, determinism, and what no input may make it do."""

import json
import random
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import UsageError
from config.records import JsonObject, Prompt, RequestTiming, Timing, Trajectory
from tests.support.students import student_with
from tests.support.tiny_student import make_tiny_student
from tests.support.trajectories import from_memory, looked_up, says, trajectory, user
from worker.curate.audit import audit
from worker.curate.dedup import LINEAR_SCAN_LIMIT, Fingerprint, SeenIndex, fingerprint
from worker.curate.options import Format, Options
from worker.curate.pipeline import Curated, curate

FILES = (
    "train.jsonl",
    "valid.jsonl",
    "test.jsonl",
    "rejected.jsonl",
    "held_out.jsonl",
    "dataset.json",
    "README.md",
    "examples.jsonl",
)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def mixed(count: int = 40) -> list[Trajectory]:
    return [looked_up(n) for n in range(count)] + [from_memory(n) for n in range(count // 4)]


def lines(file: Path) -> list[JsonObject]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def rows(out: Path) -> dict[str, int]:
    return {name: len(lines(out / f"{name}.jsonl")) for name in ("train", "valid", "test")}


def run(trajectories: list[Trajectory], out: Path, student: Path, **options: object) -> Curated:
    return curate(trajectories, out=out, options=Options(**options), student=student)  # type: ignore[arg-type]


@pytest.mark.parametrize("format_", ["text", "turns", "seed-text"])
def test_everything_is_counted_and_written(format_: Format, tmp_path: Path, student: Path) -> None:
    bad = looked_up(99, messages=looked_up(99).messages[:2])
    curated = run([*mixed(), bad], tmp_path / "out", student, format=format_)
    summary = curated.summary
    assert (summary.read, summary.kept, summary.rejected) == (51, 50, 1)
    assert (summary.with_tools, summary.without_tools, summary.skipped) == (40, 10, 1)
    assert summary.reasons == {"null_result": 1, "empty_answer": 1}
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(FILES)
    assert rows(tmp_path / "out") == dict(summary.splits)
    assert sum(summary.splits.values()) == (90 if format_ == "turns" else 50)
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert manifest["content_hash"] == summary.content_hash
    assert manifest["reasons"] == summary.reasons
    assert {v.job_id for v in curated.verdicts() if not v.kept} == {bad.job_id}
    assert not list(tmp_path.glob(".*"))  # nothing of the work is left beside it


@pytest.mark.parametrize("format_", ["text", "turns"])
def test_recorded_timing_changes_no_byte_of_the_dataset(format_: Format, tmp_path: Path, student: Path) -> None:
    timing = Timing(requests=(RequestTiming(seconds=2.5, first_token=0.5, cached_tokens=7),))
    bad = looked_up(99, messages=looked_up(99).messages[:2])
    untimed = [*mixed(12), bad]
    run(untimed, tmp_path / "untimed", student, format=format_)
    run([one.model_copy(update={"timing": timing}) for one in untimed], tmp_path / "timed", student, format=format_)
    for name in FILES:
        assert (tmp_path / "timed" / name).read_bytes() == (tmp_path / "untimed" / name).read_bytes(), name


def test_rejected_tells_job_reasons_and_evidence(tmp_path: Path, student: Path) -> None:
    run([*mixed(8), looked_up(99, messages=looked_up(99).messages[:2])], tmp_path / "out", student)
    (told,) = lines(tmp_path / "out" / "rejected.jsonl")
    assert told["job_id"] == "000099-aaaaaaaa"
    assert told["reasons"] == ["null_result", "empty_answer"]
    assert told["detail"][0] == {
        "reason": "null_result",
        "detail": "the result of 'grep' is missing",
        "message": 1,
        "call": "c1",
    }


@pytest.mark.parametrize("format_", ["text", "turns"])
def test_the_order_of_the_input_does_not_matter(format_: Format, tmp_path: Path, student: Path) -> None:
    everything = [*mixed(), looked_up(3), looked_up(3, job_id="zz"), looked_up(98, messages=())]
    for number in range(3):
        random.Random(number).shuffle(everything)
        run(everything, tmp_path / str(number), student, format=format_)
    for name in FILES:
        assert len({(tmp_path / str(number) / name).read_bytes() for number in range(3)}) == 1, name


def test_another_seed_is_another_order(tmp_path: Path, student: Path) -> None:
    hashes = {run(mixed(), tmp_path / str(seed), student, seed=seed).summary.content_hash for seed in (0, 1)}
    assert len(hashes) == 2


def test_held_out_are_the_prompts_of_the_test_split(tmp_path: Path, student: Path) -> None:
    asked = [
        looked_up(n, split="test" if n < 9 else None, expect={"contains": [f"shop/part{n}.py"]}) for n in range(40)
    ]
    run(asked, tmp_path / "out", student)
    prompts = [Prompt.model_validate(line) for line in lines(tmp_path / "out" / "held_out.jsonl")]
    assert {prompt.prompt for prompt in prompts} == {sample.prompt for sample in asked[:9]}
    assert all(prompt.expect and prompt.requires_tools for prompt in prompts)
    trained = (tmp_path / "out" / "train.jsonl").read_text()
    assert not any(prompt.prompt in trained for prompt in prompts)


def test_leaks_are_computed_and_none(tmp_path: Path, student: Path) -> None:
    twins = [
        trajectory(
            [user(q.format(n)), says(f"It is thing number {n} of many.")], job_id=f"{n}-{k}", requires_tools=False
        )
        for n in range(30)
        for k, q in enumerate(("Where is the class A{}b defined?", "Which file defines the class A{}b?"))
    ]
    summary = run(twins, tmp_path / "out", student).summary
    assert summary.kept == 60
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert set(manifest["leaks"]["prompts"].values()) == set(manifest["leaks"]["keys"].values()) == {0}


def test_a_leak_that_was_asked_for_is_counted_and_told(tmp_path: Path, student: Path) -> None:
    both = [
        trajectory([user(q), says(f"It is {q[:9]}.")], job_id=q, requires_tools=False, split=split)
        for q, split in (("Where is the class A1b defined?", "train"), ("Which file defines the class A1b?", "test"))
    ]
    summary = run([*both, *mixed()], tmp_path / "out", student).summary
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert manifest["leaks"]["keys"]["train-test"] == 1
    assert any("both splits of train-test: their prompts request different" in one for one in summary.warnings)


def test_leaks_of_the_seed_pipelines_split_are_told_as_its_own(tmp_path: Path, student: Path) -> None:
    twins = [
        trajectory([user(q.format(n)), says(f"It is thing {n} of many.")], job_id=f"{n}-{k}", requires_tools=False)
        for n in range(30)
        for k, q in enumerate(("Where is the class A{}b defined?", "Which file defines the class A{}b?"))
    ]
    summary = run(twins, tmp_path / "out", student, format="seed-text").summary
    manifest = json.loads((tmp_path / "out" / "dataset.json").read_text())
    leaked = manifest["leaks"]["keys"]["train-valid"]
    assert leaked > 0
    assert any(
        f"{leaked} questions or subjects are in both splits of train-valid: the seed pipeline's split" in one
        for one in summary.warnings
    )
    done = {"seed": 42, "valid_share": 0.1, "test_share": 0.0, "split_by": None, "max_seq_length": None}
    assert {name: manifest["options"][name] for name in done} == done
    audited = audit([tmp_path / "out"])
    assert audited.as_json()["counted_leaks"] == {"train-valid": leaked, "train-test": 0, "valid-test": 0}
    assert not audited.clean
    assert f"{leaked}  counted_leak in valid" in audited.as_text()


def test_split_by_workspace_keeps_a_codebase_on_one_side(tmp_path: Path, student: Path) -> None:
    def made_on(n: int) -> Trajectory:
        provenance = {
            "teacher": "t", "endpoint": "e", "worker": "w", "applejack_version": "0", "toolset_digest": "d",
            "workspace": {"origin": f"/code/{n % 4}"},
        }  # fmt: skip
        return looked_up(n, provenance=provenance)

    run([made_on(n) for n in range(40)], tmp_path / "out", student, split_by="workspace")
    sides = [{n % 4 for n in range(40) if f"part{n}.py:" in line} for line in _texts(tmp_path / "out")]
    assert sum(map(len, sides)) == 4
    assert all(sides)
    asked = [Prompt.model_validate(line) for line in lines(tmp_path / "out" / "held_out.jsonl")]
    assert {prompt.workspace for prompt in asked} <= {f"/code/{n}" for n in range(4)}


def _texts(out: Path) -> Iterator[str]:
    return ((out / f"{name}.jsonl").read_text() for name in ("train", "valid", "test"))


def test_duplicates_keep_one(tmp_path: Path, student: Path) -> None:
    again = looked_up(1, job_id="again")
    shouted = looked_up(2, job_id="shouted", prompt=f"  {looked_up(2).prompt} ")
    shouted = shouted.model_copy(
        update={"messages": (user(shouted.prompt), *shouted.messages[1:3], says(shouted.answer.upper()))}
    )
    summary = run([*mixed(8), again, shouted], tmp_path / "out", student).summary
    assert summary.reasons == {"duplicate": 2}


def test_other_subjects_in_the_same_words_are_no_duplicates(tmp_path: Path, student: Path) -> None:
    assert run(mixed(60), tmp_path / "out", student).summary.rejected == 0


def test_names_that_differ_in_capitals_alone_are_other_subjects(tmp_path: Path, student: Path) -> None:
    twins = [
        trajectory(
            [user(f"What is the value of the constant {name}?"), says("It is 3.")], job_id=name, requires_tools=False
        )
        for name in ("LIMIT_A", "limit_a")
    ]
    assert run([*twins, *mixed(8)], tmp_path / "out", student).summary.rejected == 0


def test_near_duplicates_in_other_words_are_found(tmp_path: Path, student: Path) -> None:
    told = "".join(
        f"The loader {step} every record, checks its kind, and writes one line for each record that it could not use. "
        for step in ("reads", "sorts", "counts", "stores")
    )
    twins = [
        trajectory([user(q), says(told + end)], job_id=q, requires_tools=False)
        for q, end in (
            ("How does the loader treat bad records?", "Done."),
            ("How does the loader treat bad records now?", "So."),
        )
    ]
    assert run([*twins, *mixed(8)], tmp_path / "out", student).summary.reasons == {"duplicate": 1}


@pytest.mark.parametrize("crowd", [0, LINEAR_SCAN_LIMIT + 5])  # so many about the same have an index of their own
def test_a_near_duplicate_is_found_in_any_crowd(crowd: int) -> None:
    def about(first: str, second: str, end: str = "") -> Fingerprint:
        told = f"By {first} first, then by {second}, never by {second} alone, for {first} comes before {second}. " * 3
        asked = trajectory([user(f"How would {first} and {second} be told apart?"), says(told + end)])
        return fingerprint(asked)

    pairs = list(permutations(["amber", "basil", "cedar", "delta", "ember", "fjord", "grove"], 2))
    seen = SeenIndex()
    for number, (first, second) in enumerate([*pairs[:crowd], ("hazel", "iris")]):
        assert seen.match(about(first, second)) is None
        seen.add(number, about(first, second))
    found = seen.match(about("hazel", "iris", "So it is."))
    assert found is not None
    assert found[0] == crowd


def test_mix_samples_down_and_says_so(tmp_path: Path, student: Path) -> None:
    everything = [looked_up(n) for n in range(14)] + [from_memory(n) for n in range(20)]
    summary = run(everything, tmp_path / "out", student, no_tools_share=0.3).summary
    assert (summary.with_tools, summary.without_tools) == (14, 6)
    assert summary.reasons == {"sampled_out": 14}
    assert summary.read == summary.kept + summary.rejected
    assert run(mixed(), tmp_path / "up", student, no_tools_share=0.9).summary.rejected == 0  # never up


def test_over_long_rows_are_rejected_and_the_limits_that_would_do_are_told(tmp_path: Path, student: Path) -> None:
    long = looked_up(50, run_id="long", system_prompt="Be careful. " * 300)
    summary = run([*mixed(8), long], tmp_path / "out", student, max_seq_length=1024).summary
    assert summary.reasons == {"over_length": 1}
    assert summary.limits == {"2048": 0, "4096": 1, "8192": 1, "16384": 1, "32768": 1}
    assert "4" in lines(tmp_path / "out" / "rejected.jsonl")[0]["detail"][0]["detail"]


def test_a_single_row_that_fails_the_proof_is_rejected(tmp_path: Path, student: Path) -> None:
    source = (student / "chat_template.jinja").read_text() + "{{ 'x' if 'oddity' in messages[-1].content }}"
    odd = from_memory(77, messages=(user("What is 77 plus 1?"), says("An oddity, 78.")))
    directory = student_with(source, tmp_path / "student")
    summary = run([*mixed(8), odd], tmp_path / "out", directory, format="turns").summary
    assert summary.reasons == {"malformed": 1}
    assert summary.loss_proof["passed"] is True
    [rejected] = lines(tmp_path / "out" / "rejected.jsonl")
    assert "a stop token stands inside an assistant's turn" in rejected["detail"][0]["detail"]


def test_a_template_that_never_stops_fails_the_proof_of_the_whole(tmp_path: Path, student: Path) -> None:
    source = (student / "chat_template.jinja").read_text().replace("<|im_end|>", "<end>")
    summary = run(mixed(8), tmp_path / "out", student_with(source, tmp_path / "student"), format="turns").summary
    assert summary.kept == 10
    assert summary.loss_proof["passed"] is False
    cause = "the template ends an assistant's turn without the stop token '<|im_end|>' (10 of 10 examples, one has"
    assert any("the loss proof fails" in warning and cause in warning for warning in summary.warnings)


def test_nothing_kept_still_leaves_the_reasons(tmp_path: Path, student: Path) -> None:
    summary = run([looked_up(1, messages=())], tmp_path / "out", student).summary
    assert (summary.kept, summary.rejected) == (0, 1)
    assert rows(tmp_path / "out") == {"train": 0, "valid": 0, "test": 0}
    assert run([], tmp_path / "none", student).summary.read == 0


def test_a_directory_with_other_things_is_refused_and_untouched(tmp_path: Path, student: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match="is not empty"):
        run(mixed(8), tmp_path, student)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_dataset_is_replaced_whole(tmp_path: Path, student: Path) -> None:
    run(mixed(8), tmp_path / "out", student)
    first = run(mixed(12), tmp_path / "out", student).summary
    assert rows(tmp_path / "out") == dict(first.splits)


def test_a_source_that_breaks_leaves_the_old_dataset(tmp_path: Path, student: Path) -> None:
    before = run(mixed(8), tmp_path / "out", student).summary

    def breaking() -> Iterator[Trajectory]:
        yield looked_up(1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        curate(breaking, out=tmp_path / "out", options=Options(), student=student)
    assert rows(tmp_path / "out") == dict(before.splits)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_formats_that_render_need_a_student(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--student"):
        curate([], out=tmp_path / "out", options=Options(format="turns"), student=None)
    assert not (tmp_path / "out").exists()
    assert curate(mixed(8), out=tmp_path / "out", options=Options(format="seed-text"), student=None).summary.kept == 10


TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "None",
        "no matches in 3 files",
        "<|im_end|>",
        "</tool_call>",
        "shop/part0.py:1: x",
        "```",
        "\ufeff",
        "\x00",
        "\u2028",
    ]
)
ARGUMENTS = (
    st.dictionaries(TEXT, st.none() | TEXT | st.integers() | st.lists(st.booleans(), max_size=2), max_size=3) | TEXT
)
CALLS = st.fixed_dictionaries({"id": st.sampled_from(["c1", "c2", ""]), "name": TEXT, "arguments": ARGUMENTS})
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool"]), "content": st.none() | TEXT},
    optional={
        "tool_calls": st.lists(CALLS, max_size=2),
        "tool_call_id": st.sampled_from(["c1", "c2", None]),
        "name": st.none() | TEXT,
        "is_error": st.booleans(),
    },
)
TRAJECTORIES = st.fixed_dictionaries(
    {
        "run_id": st.just("r"),
        "job_id": st.sampled_from(["a", "b", "c"]),
        "prompt": TEXT,
        "outcome": st.sampled_from(["completed", "failed"]),
        "messages": st.lists(MESSAGES, max_size=5),
    },
    optional={
        "system_prompt": TEXT,
        "requires_tools": st.booleans(),
        "split": st.sampled_from(["train", "valid", "test", None]),
        "expect": st.none() | st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=2), max_size=2),
        "tools": st.lists(st.dictionaries(TEXT | st.just("function"), ARGUMENTS, max_size=2), max_size=2),
        "finish_reasons": st.lists(st.sampled_from(["stop", "length"]), max_size=2),
    },
).map(Trajectory.model_validate)


@pytest.mark.parametrize("format_", ["text", "turns", "seed-text"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd=st.lists(TRAJECTORIES, max_size=4))
def test_no_input_breaks_loses_or_writes_an_invalid_row(
    format_: Format, odd: list[Trajectory], tmp_path: Path, student: Path
) -> None:
    everything = [looked_up(1), *odd, from_memory(2)]
    made = [run(order, tmp_path / "out", student, format=format_) for order in (everything, everything[::-1])]
    summary = made[0].summary
    assert summary.read == len(everything) == summary.kept + summary.rejected == len(list(made[0].verdicts()))
    assert len(lines(tmp_path / "out" / "rejected.jsonl")) == summary.rejected
    for name, count in rows(tmp_path / "out").items():
        assert count == made[1].summary.splits[name]
    for file in ("train", "valid", "test"):
        for row in lines(tmp_path / "out" / f"{file}.jsonl"):
            assert isinstance(row.get("text"), str) or row["messages"][-1]["role"] == "assistant"
    for line in lines(tmp_path / "out" / "held_out.jsonl"):
        Prompt.model_validate(line)
    if format_ != "seed-text":  # that one is in file order
        assert made[0].summary == made[1].summary
