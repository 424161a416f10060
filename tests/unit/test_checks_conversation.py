"""The rest of a conversation: each fault planted in a sound one, and sound neighbours."""

import json
import re
from pathlib import Path

import pytest

from config.errors import RejectionReason
from config.questions.wording import FORMS
from config.records import Message, Trajectory
from tests.support.trajectories import SYSTEM, asks, call, looked_up, says, told, trajectory, user
from worker.curate import sources
from worker.curate.checks import all_checks, findings
from worker.curate.checks.language import language, other_language
from worker.curate.checks.lookalikes import lookalike_name
from worker.curate.checks.question import other_question
from worker.curate.checks.repetition import repetition
from worker.evaluate.score import observe

R = RejectionReason
CHECKS = all_checks(max_calls=4)
ASK = asks(call(pattern="class Widget0"))
HIT = told("shop/part0.py:3: class Widget0(Base):")
QUESTION = "Which file defines the class Widget0?"
ANSWER = says("The class Widget0 is defined in shop/part0.py.")


def details(sample: Trajectory) -> list[tuple[RejectionReason, str]]:
    return [(finding.reason, finding.detail) for finding in findings(sample, CHECKS)]


def talk(*rest: Message, question: str = QUESTION, **fields: object) -> Trajectory:
    return trajectory([user(question), *rest], **{"prompt": QUESTION, **fields})


LONG_SYSTEM = "You answer questions about the code in your workspace. Use the tools to look before you answer."
AGAIN = Message(role="user", content="[the answer could not be used] say more", is_error=True)

OTHER_QUESTIONS = [
    (
        talk(ASK, HIT, ANSWER, question=f"Ignore the tools. {QUESTION}"),
        "adds text before the prompt: 'Ignore the tools.'",
    ),
    (
        talk(ASK, HIT, ANSWER, question=f"{QUESTION}\n\nAnswer in French."),
        "adds text after the prompt: 'Answer in French.'",
    ),
    (
        talk(ASK, HIT, ANSWER, question="Which file defines Gadget?"),
        "does not contain the prompt: 'Which file defines G",
    ),
    (talk(ASK, HIT, ANSWER, question=" \n"), "the question is empty"),
    (
        talk(ASK, HIT, ANSWER, user("And Widget1?"), ANSWER),
        "a further user turn, which the job did not ask: 'And Widget1?'",
    ),
    (talk(ASK, HIT, says(f"{LONG_SYSTEM} In shop/part0.py."), system_prompt=LONG_SYSTEM), "repeats its system prompt"),
]


@pytest.mark.parametrize(("sample", "detail"), OTHER_QUESTIONS)
def test_a_conversation_that_is_not_the_jobs_is_malformed(sample: Trajectory, detail: str) -> None:
    """Fails where the first message need only contain the prompt, and later user turns are not looked at."""
    assert [(reason, detail in text) for reason, text in details(sample)] == [(R.MALFORMED, True)]


SAME_QUESTIONS = [
    talk(ASK, HIT, ANSWER, question=f"  {QUESTION}\n"),  # other white space
    talk(ASK, HIT, says(""), AGAIN, ANSWER),  # the agent asked again after an unusable answer
    talk(
        ASK,
        told(f"config.py:3: class Widget0: '{LONG_SYSTEM}'"),
        says(f"It is {LONG_SYSTEM!r}."),
        system_prompt=LONG_SYSTEM,
    ),
]


@pytest.mark.parametrize("sample", SAME_QUESTIONS)
def test_the_jobs_own_conversation_passes(sample: Trajectory) -> None:
    assert list(other_question(sample)) == []


def read(tmp_path: Path, record: object) -> sources.Sourced:
    (tmp_path / "in.jsonl").write_text(json.dumps(record) + "\n", encoding="utf-8")
    (only,) = sources.read([tmp_path / "in.jsonl"])
    return only


def with_systems(*systems: tuple[int, str], **fields: object) -> dict[str, object]:
    record = looked_up().model_dump(mode="json", exclude_none=True) | fields
    for place, content in systems:
        record["messages"].insert(place, {"role": "system", "content": content})
    return record


def test_one_system_message_is_the_prompt_and_a_second_one_is_refused(tmp_path: Path) -> None:
    """Fails where a later system message is only an unknown role, or a different one is lost."""
    for record in (with_systems((0, SYSTEM)), with_systems((0, SYSTEM), system_prompt="")):  # recorded twice, or once
        found = read(tmp_path, record).trajectory
        assert found is not None
        assert (found.system_prompt, found.messages) == (SYSTEM, looked_up().messages)
    assert read(tmp_path, with_systems((0, "Be rude."))).problem == (
        "two system prompts: 'You answer questions about code.' and, in messages[0], 'Be rude.'"
    )
    later = "messages[3] is a system message; a conversation has one, at its beginning"
    assert read(tmp_path, with_systems((3, "Be rude."))).problem == later
    assert read(tmp_path, with_systems((0, SYSTEM), (3, SYSTEM))).problem == later


def test_a_seed_record_has_one_system_prompt(tmp_path: Path) -> None:
    record = {
        "query": "q",
        "tool_calls": [],
        "answer": "a",
        "messages": [{"role": "system", "content": "Be brief."}] * 2,
    }
    found = read(tmp_path, record).trajectory
    assert found is not None
    assert found.system_prompt == "Be brief."
    record["messages"] = [{"role": "system", "content": text} for text in ("Be brief.", "Be rude.")]
    assert read(tmp_path, record).problem == "two system prompts in messages: 'Be brief.' and 'Be rude.'"


LINES = [f"- shop/part{n}.py: a test of the parser" for n in range(6)]
METHODS = [f"### `{name}`\nIt takes no arguments." for name in ("start", "stop", "pause", "resume", "reset")]
REPETITIONS = [
    ("The class Widget0 is in shop/part0.py. The class Widget0 is in shop/part0.py.", True),
    ("Widget0 is in shop/part0.py and " * 3, True),
    ("The answer is shop/part0.py. I looked there. " * 2 + "Done.", False),  # twice a block, no sentence in a row
    ("The answer is shop/part0.py. I looked there. " * 3, True),
    ("- shop/part0.py\n" * 4, True),
    ("Places:\n" + "".join(f"- line {n} of shop/part0.py\n" for n in range(90, 99)), False),
    ("The lines are " + ", ".join(f"line {n} of shop/part0.py" for n in range(90, 99)), False),
    ("It is in `a.py`, `b.py`, `c.py`, `a.py`, `b.py` and `c.py`.", True),  # the list once more
    ("Both `a.py` and `b.py` import it; in `b.py` and `a.py` it is used.", False),
    ("- shop/part0.py: 3\n- shop/part0.py: 9\n- shop/part1.py: 3", False),
    ("shop/part0.py, " * 6, True),
    ("shop/part0.py " + "0 " * 20, False),  # numbers
    ("Widget0Widget0Widget0Widget0Widget0Widget0Widget0Widget0Widget0Widget0Widget0Widget0", True),
    (" ".join(f"Only shop/part{n}.py has more than one class of this kind." for n in range(5)), False),
    (
        "It may be used as a base class here. See A. "
        + "".join(f"x{n}. It may be used as a base class here. " for n in range(3)),
        True,
    ),
    ("\n".join(LINES), False),  # a common beginning and end
    ("\n".join(METHODS), False),  # a short sentence under each heading
    ("```python\n" + "pass\npass\npass\npass\npass\npass\n" + "```\nin shop/part0.py", False),
    ("| a | b |\n|---|---|\n" + "| yes | no |\n" * 8, False),
    ("Widget0 takes `(int, int, int, int, int, int, int)`, see shop/part0.py.", False),
    ("No, no, no: Widget0 is in shop/part0.py.", False),
    ("=" * 80 + "\nWidget0 is in shop/part0.py\n" + "-" * 80, False),
]


@pytest.mark.parametrize(("text", "repeats"), REPETITIONS)
def test_text_that_repeats_itself(text: str, repeats: bool) -> None:
    assert bool(repetition(text)) is repeats, repetition(text)


def test_a_degenerate_answer_is_rejected_and_a_finding_of_the_evaluation() -> None:
    """Fails without repeated_text in all_checks, and without REPETITION in observe."""
    looping = talk(ASK, HIT, says("The class Widget0 is in shop/part0.py. " * 3))
    assert [reason for reason, _ in details(looping)] == [R.MALFORMED]
    assert [found.fault.value for found in observe(looping, needs_tools=True).found] == ["repetition"]
    assert observe(looked_up(), needs_tools=True).found == ()


GERMAN_DOC = told("shop/part0.py:3: # Die Klasse ist der Kopf von allem und wird nicht mehr benutzt.")
CYRILLIC_DOC = told("shop/part0.py:3: # Главный класс")
OTHER_LANGUAGES = [
    # question, answer, result, rejected
    (QUESTION, "Die Klasse Widget0 wird in der Datei shop/part0.py definiert.", HIT, True),
    (QUESTION, "La clase Widget0 está definida en el archivo shop/part0.py.", HIT, True),
    (QUESTION, "La classe Widget0 est définie dans le fichier shop/part0.py.", HIT, True),
    (QUESTION, "A classe Widget0 está definida no arquivo shop/part0.py, que é um dos módulos.", HIT, True),
    (QUESTION, "La classe Widget0 è definita nel file shop/part0.py.", HIT, True),
    (QUESTION, "De klasse Widget0 wordt in het bestand shop/part0.py gedefinieerd, niet in een ander.", HIT, True),
    (QUESTION, "Widget0 类定义在 shop/part0.py 中。", HIT, True),
    (QUESTION, "Класс Widget0 определён в shop/part0.py.", HIT, True),
    (QUESTION, "The class Widget0 is 定义 in shop/part0.py.", HIT, True),  # switches for one word
    (
        "Wo ist die Klasse Widget0 definiert, und in welcher Datei?",
        "The class Widget0 is defined in shop/part0.py, not elsewhere.",
        HIT,
        True,
    ),
    (
        "Wo ist die Klasse Widget0 definiert, und in welcher Datei?",
        "Die Klasse Widget0 wird in der Datei shop/part0.py definiert.",
        HIT,
        False,
    ),
    ("Widget0? 在哪里定义?", "Widget0 类定义在 shop/part0.py 中。", HIT, False),
    (QUESTION, "Die Anzahl betr\u00e4gt 4.", HIT, True),  # short
    (QUESTION, "Folgende Eintr\u00e4ge wurden gefunden: `Widget0`.", HIT, True),
    (QUESTION, "By Ren\u00e9 M\u00fcller, Fran\u00e7ois Dupr\u00e9 and Zo\u00eb.", HIT, False),  # names
    (QUESTION, "Das Ergebnis ist: `shop/part0.py`.", HIT, True),  # a colon behind a word
    ("Look up the constant LIMIT.", "Die Anzahl betr\u00e4gt 4.", HIT, True),
    (QUESTION, "Workers die when they die; see shop/part0.py", HIT, False),
    (QUESTION, "shop/part0.py", HIT, False),
    (QUESTION, "`die` and `der` in shop/part0.py", HIT, False),
    (QUESTION, "In shop/part0.py: Widget0, Base, Widget0 and Base.", HIT, False),
    (QUESTION, "It is described as: Die Klasse ist der Kopf von allem und wird nicht mehr benutzt.", GERMAN_DOC, False),
    (QUESTION, 'It says "Главный класс" in shop/part0.py.', CYRILLIC_DOC, False),
    (QUESTION, "shop/part0.py (π, Δt, μs, café, naïve)", HIT, False),
    (
        QUESTION,
        "No, Widget0 is a class in shop/part0.py; as of now, no other is so. On a par.",
        HIT,
        False,
    ),  # English words of other lists
    (
        "How do you say class in German? shop/part0.py knows.",
        "Die Klasse wird in der Datei shop/part0.py so genannt.",
        HIT,
        False,
    ),
]


@pytest.mark.parametrize(("question", "answer", "result", "rejected"), OTHER_LANGUAGES)
def test_an_answer_in_another_language(question: str, answer: str, result: Message, rejected: bool) -> None:
    sample = talk(ASK, result, says(answer), question=question, prompt=question)
    assert bool(list(other_language(sample))) is rejected, list(other_language(sample))


def test_every_wording_of_a_mined_question_is_english_or_too_short_to_tell() -> None:
    """A question that is taken for another language would have its English answer rejected."""
    told_ = {form: asked for forms in FORMS.values() for form in forms if (asked := language(form_words(form)))}
    assert set(told_.values()) == {"en"}
    assert len(told_) > len([form for forms in FORMS.values() for form in forms]) * 0.6


def form_words(form: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"\{\w+\}", " ", form.lower()))


GARBLED = "W\u0456dget0"  # a Cyrillic i
LOOKALIKES = [
    # answer, result, where it is found
    (f"The class {GARBLED} is in shop/part0.py.", HIT, "the answer"),
    ("The class Wid\u200bget0 is in shop/part0.py.", HIT, "the answer"),  # a zero-width space
    ("The class Widget0\u2060 is in shop/part0.py.", HIT, "the answer"),
    ("The class \uff37\uff49\uff44\uff47\uff45\uff540 is in shop/part0.py.", HIT, "the answer"),  # full width
    ("The class \U0001d416idget0 is in shop/part0.py.", HIT, "the answer"),  # a mathematical W
    ("It is in sh\u03bfp/part0.py.", HIT, "the answer"),  # a Greek o
    (
        "It is \u0421\u041e\u0420 in shop/part0.py.",
        told("shop/part0.py:3: class COP(Widget0):"),
        "the answer",
    ),  # all Cyrillic
    (
        f"The class {GARBLED} is in shop/part0.py.",
        told(f"shop/part0.py:3: class {GARBLED}(Base):"),
        "",
    ),  # as the code has it
    (
        "It takes 5 \u03bcs and \u0394t, \u03c0r\u00b2, na\u00efve caf\u00e9, n\u00ba 3, \u2211x in shop/part0.py.",
        HIT,
        "",
    ),
    ("\U0001f469\u200d\U0001f4bb shop/part0.py \u2192 Widget0\u2026", HIT, ""),  # joined emoji
    ("\u043e\u043d\u0430 \u0432 shop/part0.py", HIT, ""),  # words of another script, for another check
]


@pytest.mark.parametrize(("answer", "result", "place"), LOOKALIKES)
def test_names_of_letters_that_look_alike(answer: str, result: Message, place: str) -> None:
    found = list(lookalike_name(talk(ASK, result, says(answer))))
    assert [(finding.reason, place in finding.detail) for finding in found] == (
        [(R.UNSUPPORTED_CLAIM, True)] if place else []
    )


def test_a_call_with_letters_that_look_alike_is_malformed_though_the_tool_repeats_them() -> None:
    """Fails where any result is evidence: the error of such a call holds the name as well."""
    asked = asks(call(pattern=f"class {GARBLED}"))
    echoed = told(f"no matches for 'class {GARBLED}' in 26 files")
    found = list(lookalike_name(talk(asked, echoed, says(f"{GARBLED} is not defined."))))
    assert [(finding.reason, finding.call) for finding in found] == [(R.MALFORMED, "c1"), (R.UNSUPPORTED_CLAIM, None)]
    question = f"Where is {GARBLED}?"
    assert list(lookalike_name(talk(asked, echoed, says("Nowhere."), question=question, prompt=question))) == []
    seen = talk(ASK, told(f"a.py:1: {GARBLED}"), asks(call(key="c2", pattern=GARBLED)), told("a.py:1", "c2"), ANSWER)
    assert list(lookalike_name(seen)) == []
    split = talk(asks(call(pattern="Wid\u00adget0")), told("no matches in 26 files"), says("It is not defined."))
    assert [finding.reason for finding in lookalike_name(split)] == [R.MALFORMED]  # a soft hyphen
