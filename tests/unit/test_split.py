"""Splits by group, deterministic, with nothing to be looked up on the other side."""

import random
from collections import Counter

import pytest

from config.records import Split
from tests.support.trajectories import looked_up, says, trajectory, user
from worker.curate.assign import HeldOut, assign, held_out_codebases, quotas
from worker.curate.split import SplitItem, group_keys, groups, leaks, normalised, subjects


def members(count: int) -> list[SplitItem]:
    return [SplitItem(prompt=f"p{n}", keys=(f"p{n}", f"s{n // 2}")) for n in range(count)]


def sides(found: list[SplitItem], **asked: float | int) -> list[Split]:
    return assign(found, **{"valid_share": 0.1, "test_share": 0.1, "seed": 0, **asked})


def test_a_group_is_whatever_is_connected() -> None:
    found = [
        SplitItem("a", ("p1", "s1")),
        SplitItem("b", ("p2", "s1")),
        SplitItem("c", ("p2", "s2")),
        SplitItem("d", ("p3", "s3")),
    ]
    assert groups(found) == ["p1", "p1", "p1", "p3"]


def test_groups_do_not_depend_on_the_order() -> None:
    found = [SplitItem(str(n), (f"p{n}", f"s{n % 7}", f"t{n % 11}")) for n in range(40)]
    shuffled = random.Random(3).sample(found, len(found))
    assert dict(zip(found, groups(found), strict=True)) == dict(zip(shuffled, groups(shuffled), strict=True))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_group_crosses_and_shares_are_met(seed: int) -> None:
    found = members(200)
    assigned = sides(found, seed=seed)
    by_group = {}
    for member, split in zip(found, assigned, strict=True):
        assert by_group.setdefault(member.keys[1], split) == split
    assert {split: assigned.count(split) for split in ("valid", "test")} == {"valid": 20, "test": 20}


def test_another_seed_is_another_split() -> None:
    assert sides(members(200), seed=0) != sides(members(200), seed=1)


def test_every_side_gets_something_while_there_are_groups() -> None:
    assert set(sides(members(6))) == {"train", "valid", "test"}  # three groups, a tenth of six is less than one
    assert set(sides(members(2))) == {"train"}  # one group cannot be split
    assert set(sides(members(40), test_share=0.0)) == {"train", "valid"}  # what is not asked for stays empty


def test_one_giant_group_is_left_to_train() -> None:
    found = [SplitItem(f"g{n}", (f"g{n}", "celery")) for n in range(80)] + members(20)
    assigned = sides(found)
    assert set(assigned[:80]) == {"train"}
    assert assigned.count("test") == 10


def test_a_split_that_was_given_counts() -> None:
    found = [SplitItem(f"p{n}", (f"p{n}",), asked="test" if n < 3 else None) for n in range(30)]
    assigned = sides(found)
    assert assigned[:3] == ["test"] * 3
    assert assigned.count("test") == 3


def test_one_prompt_with_two_given_splits_is_held_out() -> None:
    found = [SplitItem("p", ("p",), asked="train"), SplitItem("p", ("p",), asked="test"), *members(8)]
    assert sides(found)[:2] == ["test", "test"]


def test_an_example_without_a_split_follows_its_group() -> None:
    found = [SplitItem("a", ("a", "s"), asked="valid"), SplitItem("b", ("b", "s")), *members(8)]
    assert sides(found)[:2] == ["valid", "valid"]


def test_leaks_are_counted() -> None:
    assert leaks({"train": {"a", "b"}, "valid": {"b"}, "test": {"a", "b", "c"}}) == {
        "train-valid": 1,
        "train-test": 2,
        "valid-test": 1,
    }


SUBJECTS = [
    # prompt, what it is about
    ("Which file defines the class Widget?", ("Widget",)),  # a known wording: its slots, without the kind
    ("Find the definition of the class Widget.", ("Widget",)),  # a paraphrase is about the same
    ("Where are Foo and Bar defined?", ("Bar", "Foo")),  # two subjects
    ("How many lines of a/b.py contain Widget?", ("Widget\0a/b.py",)),
    ("Why is `do_it` slow in app/main.py?", ("app/main.py\0do_it",)),  # free wording: what looks like code
    ("Does MyClass use HTTP?", ("HTTP\0MyClass",)),
    ("How are you today?", ()),
]


@pytest.mark.parametrize(("prompt", "about"), SUBJECTS)
def test_subjects(prompt: str, about: tuple[str, ...]) -> None:
    assert subjects(trajectory([user(prompt), says("x")])) == about


def test_paraphrases_share_a_key_and_other_subjects_none() -> None:
    one, two = (
        trajectory([user(q), says("x")])
        for q in ("Where is the class A1b defined?", "Which file defines the class A1b?")
    )
    assert set(group_keys(one)) & set(group_keys(two))
    assert not set(group_keys(looked_up(1))) & set(group_keys(looked_up(2)))


def test_normalised_prompts_fold_case_space_and_punctuation() -> None:
    assert normalised("  Where IS\tapp/main.py?\n") == normalised("where is app/main.py")
    assert normalised("What is 1 plus 2?") != normalised("What is 12?")


def stratified(sizes: dict[str, int]) -> list[SplitItem]:
    return [
        SplitItem(f"{name}{n}", (f"{name}{n}",), stratum=name) for name, count in sizes.items() for n in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_each_stratum_gets_its_share_of_each_split(seed: int) -> None:
    sizes = {"often": 200, "sometimes": 50, "rarely": 20, "seldom": 5}
    found = stratified(sizes)
    assigned = sides(found, seed=seed, test_share=0.2)
    for split, share in (("test", 0.2), ("valid", 0.1)):
        counts = Counter(item.stratum for item, side in zip(found, assigned, strict=True) if side == split)
        assert counts.total() == round(share * 275)
        assert all(abs(counts[name] - share * size) < 1 for name, size in sizes.items()), counts


def test_quotas_are_whole_and_sum_to_the_share() -> None:
    sizes = {f"c{n}": 7 + n % 3 for n in range(13)}
    found = quotas(sizes, 0.15, seed=0)
    assert sum(found.values()) == round(0.15 * sum(sizes.values()))
    assert all(number in (int(0.15 * sizes[name]), int(0.15 * sizes[name]) + 1) for name, number in found.items())
    assert found == quotas(dict(reversed(sizes.items())), 0.15, seed=0)
    assert quotas({"all": 100}, 0.29, seed=0) == {"all": 29}  # 0.29 * 100 is less than 29


def test_groups_that_mix_strata_stay_whole_and_the_total_is_met() -> None:
    found = [SplitItem(f"p{n}", (f"p{n}", f"g{n // 4}"), stratum=str(n % 5)) for n in range(200)]
    assigned = sides(found, test_share=0.2)
    assert all(len(set(assigned[n : n + 4])) == 1 for n in range(0, 200, 4))
    assert (assigned.count("test"), assigned.count("valid")) == (40, 20)
    counts = Counter(item.stratum for item, side in zip(found, assigned, strict=True) if side == "test")
    assert all(6 <= counts[str(n)] <= 10 for n in range(5)), counts


def test_strata_do_not_depend_on_the_order() -> None:
    found = [SplitItem(f"p{n}", (f"p{n}", f"g{n // 3}"), stratum=str(n % 4)) for n in range(150)]
    shuffled = random.Random(3).sample(found, len(found))
    assert dict(zip(found, sides(found), strict=True)) == dict(zip(shuffled, sides(shuffled), strict=True))


def on_code(**sizes: int) -> list[SplitItem]:
    about = [
        SplitItem(f"{name}{n}", (f"{name}{n}",), stratum=str(n % 3), codebase=name)
        for name, count in sizes.items()
        for n in range(count)
    ]
    return [*about, *(SplitItem(f"general{n}", (f"general{n}",), stratum="general") for n in range(30))]


def test_a_small_codebase_is_held_out_whole() -> None:
    found = on_code(big=80, middle=60, small=15)
    held = held_out_codebases(found, test_share=0.1, seed=0)
    assert held.codebases == {"small"}
    items = [item.by_codebase() if item.codebase in held.codebases else item for item in found]
    assigned = assign(items, valid_share=0.1, test_share=0.1, seed=0, held_out=held.codebases)
    by_code = {name: Counter(s for i, s in zip(found, assigned, strict=True) if i.codebase == name) for name in
               ("small", "middle", "big", "")}  # fmt: skip
    assert by_code["small"] == {"test": 15}
    assert not by_code["middle"]["test"]
    assert not by_code["big"]["test"]
    assert by_code[""]["test"] == 3  # general questions are not about code: they get their share


def test_without_a_small_codebase_none_is_held_out_and_the_reason_is_given() -> None:
    held = held_out_codebases(on_code(one=50, two=50), test_share=0.1, seed=0)
    assert not held.codebases
    assert "the smallest of 2 has 50% of the questions about code" in held.why_none
    assert held_out_codebases(on_code(one=50), test_share=0.1, seed=0) == HeldOut()
    asked = [SplitItem("p", ("p",), asked="test", codebase="small"), *on_code(big=90, small=5)]
    assert "request their own splits" in held_out_codebases(asked, test_share=0.1, seed=0).why_none
