"""benchmarks/corruptions plants what it claims to plant, in trajectories whose calls replay at the pinned commit."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.corruptions import kinds, measure
from benchmarks.corruptions.kinds import KINDS, Kind, evidence, says
from benchmarks.corruptions.measure import Planted, Sets, Table, make_sets, plant
from benchmarks.corruptions.phrases import facts_of, number_of
from benchmarks.corruptions.pinned_code import Code, make_code
from config.records import Trajectory

HERE = Path(__file__).parents[2]
EACH = 2


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Code:
    return make_code(HERE / "config", HERE / "producer" / "doctor", tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="module")
def sets(code: Code) -> Sets:
    return make_sets(code, 60, seed=3)


def replays(t: Trajectory, code: Code) -> bool:
    return kinds.called(t, code.pinned, {}).messages == t.messages


def test_sound_trajectories_replay_at_their_commit(code: Code, sets: Sets) -> None:
    for whole in sets.values():
        assert all(replays(t, code) for t in whole)
        assert {t.provenance.workspace for t in whole if t.provenance} == {code.pinned.workspace.pin}


def test_the_same_seed_gives_the_same_sets(code: Code, sets: Sets) -> None:
    assert make_sets(code, 60, seed=3) == sets


def one_item_less(p: Planted) -> bool:
    return sum(not says(p.broken.answer, item) for item in facts_of(p.sound.expect)) == 1


def off_by_one(p: Planted) -> bool:
    told = [int(number) for number in re.findall(r"(?<![\w./])\d+(?![\w/])", p.broken.answer)]
    expected = number_of(p.sound.expect)
    return expected is not None and expected not in told and {expected - 1, expected + 1} & set(told) != set()


def result_is_shorter(p: Planted) -> bool:
    return len(evidence(p.broken)) < len(evidence(p.sound)) and p.broken.answer == p.sound.answer


def after_nothing(p: Planted) -> bool:
    return evidence(p.broken).startswith("no matches in") and p.broken.answer != p.sound.answer


def all_facts_without_evidence(p: Planted) -> bool:
    return after_nothing(p) and all(says(p.broken.answer, fact) for fact in facts_of(p.sound.expect))


def paths_change_places(p: Planted) -> bool:
    first, second = sorted(facts_of(p.sound.expect), key=p.sound.answer.find)
    shown = evidence(p.sound).partition(":")[0]
    other = second if shown == first else first
    return p.broken.answer.find(other) < p.broken.answer.find(shown)


def not_ascii(p: Planted) -> bool:
    return p.sound.answer.isascii() and not p.broken.answer.isascii()


CLAIMS: dict[str, Callable[[Planted], bool]] = {
    "one item of a list dropped": one_item_less,
    "count off by one": off_by_one,
    "hit of the answer dropped from the result": result_is_shorter,
    "note on what is not shown removed": result_is_shorter,
    "false claim after an empty search": after_nothing,
    "true claim after an empty search": all_facts_without_evidence,
    "pairs swapped": paths_change_places,
    "look-alike letter in a name": not_ascii,
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_kind_changes_what_its_name_says(name: str, code: Code, sets: Sets) -> None:
    planted = plant(code, sets, EACH, seed=3, only=[name])
    assert planted
    assert all(CLAIMS[name](p) for p in planted)


def test_results_that_are_not_of_the_commit_do_not_replay(code: Code, sets: Sets) -> None:
    stale = [name for name in KINDS if name.startswith(("another commit", "line number shifted", "note on what"))]
    planted = plant(code, sets, EACH, seed=3, only=stale)
    assert {p.kind.name for p in planted} == set(stale)
    assert not any(replays(p.broken, code) for p in planted)


def test_every_second_one_loses_its_expect(code: Code, sets: Sets) -> None:
    planted = plant(code, sets, EACH, seed=3, only=["count off by one"])
    assert [p.with_expect for p in planted] == [True, False] * (EACH // 2)


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (lambda t, _, __: t, "changed nothing"),
        (lambda _, __, ___: None, "could be planted in none"),
    ],
)
def test_a_kind_that_plants_nothing_fails(
    faulty: kinds.Plant, message: str, code: Code, sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "idle", Kind("idle", frozenset({"malformed"}), faulty, ("plain",)))
    with pytest.raises(ValueError, match=message):
        plant(code, sets, EACH, seed=3, only=["idle"])


def test_the_sound_original_s_own_reasons_do_not_count(code: Code, sets: Sets, tmp_path: Path) -> None:
    """A sound trajectory that curation rejects for the same reason is no evidence that it sees the fault."""
    already = [t.model_copy(update={"finish_reasons": ("length",) * len(t.finish_reasons)}) for t in sets["plain"]]
    few: Sets = {**{name: [] for name in sets}, "plain": already[:20]}
    table = measure.measure(code, few, EACH, 3, tmp_path, only=["half a sentence"])
    assert table.planted
    assert not any("truncated" in p.found for p in table.planted)
    assert len(table.rejected["plain"][0]) == 20


def test_the_table_counts_both_columns() -> None:
    kind = Kind("a kind", frozenset({"truncated"}), lambda t, _, __: t, ())
    whole = Trajectory(run_id="r", job_id="j", prompt="p", outcome="completed", expect={"number": 1})
    without = whole.model_copy(update={"expect": None})
    planted = [
        Planted(kind, whole, whole, {"truncated": "named"}),
        Planted(kind, whole, without, {"malformed": "caught, but under another name"}),
        Planted(kind, whole, without),
    ]
    table = Table(planted, {"plain": ([], 10)})
    row = {"caught_with": 1, "with": 1, "caught_without": 1, "without": 2, "named": 1, "total": 3}
    assert table.rows() == {"a kind": row}
    assert table.as_json()["caught"] == 2
