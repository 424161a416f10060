"""What the Job page makes of a trajectory: evidence, unseen characters, pairs of call and result, expected facts."""

import pytest

from config.errors import RejectionReason
from config.records import Finding, JsonObject
from producer.flower.jobs.conversation import conversation
from producer.flower.jobs.expected import facts
from producer.flower.jobs.shown import FOLD_LINES, MOST_CHARACTERS, marked, quoted, shown, visible
from tests.support.trajectories import asks, call, says, told, trajectory, user


@pytest.mark.parametrize(
    ("detail", "pieces"),
    [
        ("the answer 'is in app.py' does not state 'core.py'", ["is in app.py", "core.py"]),
        ('the result "it\'s" is short', ["it's"]),
        (r"tool call '<tool>\n{\'a\': 1}' in the text", ["<tool>\n{'a': 1}"]),
        ("the model's answer and the tool's result", ["s answer and the tool"]),  # found nowhere, so harmless
        ("'ab' is too short", []),
        (r"'\x' is not a literal", []),
    ],
)
def test_the_quotations_of_a_finding_are_read_as_it_wrote_them(detail: str, pieces: list[str]) -> None:
    assert quoted(detail) == pieces


def test_markup_stays_text_and_evidence_is_marked() -> None:
    html = marked("<b>Loud</b> & loud", ["loud"])
    assert html == "&lt;b&gt;<mark>Loud</mark>&lt;/b&gt; &amp; <mark>loud</mark>"
    assert marked("a<script>", ["<script>"]) == "a<mark>&lt;script&gt;</mark>"


def test_of_two_pieces_that_overlap_the_longer_is_marked() -> None:
    assert marked("core.py", ["core", "core.py", "py"]) == "<mark>core.py</mark>"


@pytest.mark.parametrize("character", ["\u202e", "\u200b", "\x1b", "\x00", "\r", "\ufeff", "\ud800", "\U000e0041"])
def test_characters_that_nobody_sees_are_written_as_their_code_points(character: str) -> None:
    code = f"U+{ord(character):04X}"
    assert visible(f"a{character}b") == f"a⟨{code}⟩b"
    assert f'<span class="job-unseen">{code}</span>' in marked(f"a{character}b")
    assert character not in marked(f"a{character}b", [f"a{character}b"])
    assert visible("a\tb\nc é 漢 🙂") == "a\tb\nc é 漢 🙂"


def test_long_texts_are_folded_and_endless_ones_are_cut() -> None:
    assert shown("short").start == ""
    long = shown("\n".join(map(str, range(FOLD_LINES + 1))))
    assert long.start.splitlines() == ["0", "1", "2", "3"]
    assert long.size == "17 lines"
    endless = shown("x" * (MOST_CHARACTERS + 5))
    assert endless.omitted == 5
    assert endless.html.count("x") == MOST_CHARACTERS


def test_each_call_stands_beside_its_result_also_where_ids_repeat() -> None:
    told_twice = trajectory(
        [
            user("Where?"),
            asks(call(key="a", pattern="one"), call(key="b", pattern="two")),
            told("second", "b"),
            told("first", "a"),
            asks(call(key="a", pattern="three")),
            told("third", "a"),
            told("nobody asked", "z"),
            asks(call(key="c")),
            says("Here."),
        ]
    )
    turns = conversation(told_twice)
    results = [
        [found.result and found.result.text and found.result.text.html for found in turn.calls] for turn in turns
    ]
    assert results == [[], ["first", "second"], ["third"], [], [None], []]
    assert [turn.title for turn in turns] == [
        "User", "Assistant", "Assistant", "A result without a call", "Assistant", "Assistant",
    ]  # fmt: skip


def test_findings_stand_at_their_call_result_or_message() -> None:
    reason = RejectionReason.UNSUPPORTED_CLAIM
    findings = [
        Finding(reason=reason, detail="call 'grep'", message=1, call="c1"),
        Finding(reason=reason, detail="holds 'base.py'", message=2, call="c1"),
        Finding(reason=reason, detail="says 'core.py'", message=3),
        Finding(reason=reason, detail="somewhere 'app'"),
    ]
    made = trajectory([user("Where?"), asks(call()), told("app/base.py: 1"), says("In app/core.py.")])
    _, asked, answer = conversation(made, findings)
    [called] = asked.calls
    assert called.findings == (findings[0],)
    assert called.result is not None
    assert called.result.findings == (findings[1],)
    assert called.result.text is not None
    assert called.result.text.html == "<mark>app</mark>/<mark>base.py</mark>: 1"
    assert answer.findings == (findings[2],)
    assert answer.text is not None
    assert answer.text.html == "In <mark>app</mark>/<mark>core.py</mark>."


EXPECT: JsonObject = {"paths": ["app/base.py"], "kind": "subclass", "absent": ["core.py"], "contains": ["Timer"]}


@pytest.mark.parametrize(
    ("expect", "answer", "met"),
    [
        ({"contains": ["Timer"], "absent": ["core"]}, "It is Timer.", {"contains": True, "absent": True}),
        ({"contains": ["Timer"], "absent": ["core"]}, "It is core.", {"contains": False, "absent": False}),
        ({"number": 2, "counts": "files"}, "There are 2 files.", {"number": True}),
        ({"number": 2, "counts": "files"}, "There are 3 files.", {"number": False}),
        ({"no_call": True}, "Hello.", {"no_call": True}),
        ({"sentence": "Release the lock of the pool"}, "It frees the pool.", {"sentence": None}),  # a paraphrase?
        ({"colour": "red"}, "Red.", {"expect": None}),  # from a file that submit has not read
    ],
)
def test_each_expected_fact_is_met_contradicted_or_undecided(
    expect: JsonObject, answer: str, met: dict[str, bool | None]
) -> None:
    from producer.flower.jobs.expected import TITLES

    views = facts(expect, trajectory([user("Which?"), says(answer)]))
    assert {view.name: view.met for view in views} == {TITLES.get(name, name): value for name, value in met.items()}
    assert all(view.fault for view in views if view.met is False)


def test_without_an_answer_no_fact_is_decided() -> None:
    assert [view.met for view in facts({"value": "x"}, None)] == [None]
    assert facts(None, None) == []


def test_a_call_that_was_not_wanted_contradicts_the_fact() -> None:
    made = trajectory([user("Hello?"), asks(call()), told("x"), says("Hello.")])
    assert [view.met for view in facts({"no_call": True}, made)] == [False]
