"""Splits by group, deterministic, with nothing to be looked up on the other side."""

import random

import pytest

from config.records import Split
from tests.support.trajectories import from_memory, looked_up, says, trajectory, user
from worker.curate.split import SplitItem, assign, group_keys, groups, leaks, normalised, subjects


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
    assert set(group_keys(one, by_workspace=False)) & set(group_keys(two, by_workspace=False))
    assert not set(group_keys(looked_up(1), by_workspace=False)) & set(group_keys(looked_up(2), by_workspace=False))
    assert set(group_keys(looked_up(1), by_workspace=True)) == set(group_keys(from_memory(2), by_workspace=True))


def test_normalised_prompts_fold_case_space_and_punctuation() -> None:
    assert normalised("  Where IS\tapp/main.py?\n") == normalised("where is app/main.py")
    assert normalised("What is 1 plus 2?") != normalised("What is 12?")
