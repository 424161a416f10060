"""Prompts mined from code: `mine([Path("src")], count=200, seed=0)`; the same code and seed give the same prompts."""

import gc
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from config.errors import UsageError
from config.questions.expected_facts import holds
from config.questions.general_knowledge import BUILTINS, EXCEPTIONS, KEYWORDS, TERMS, UNITS, expectation
from config.questions.wording import FORMS, GENERAL_FORMS, TOOL_FORMS, Question, render
from config.records import Prompt
from producer.mining.code_questions import candidates
from producer.mining.mined_question import MinedQuestion
from producer.mining.python_code import read

HIGHEST: Final = {"plus": 99, "minus": 99, "times": 12}  # operands that people work out in their head
MOST_UNITS: Final = 60

Group = Sequence[tuple[MinedQuestion, str | None]]  # the candidates of one category, each with its workspace


def mine(
    workspaces: Sequence[Path],
    *,
    count: int,
    seed: int,
    no_tools_share: float = 0.3,
    categories: Collection[str] | None = None,
) -> list[Prompt]:
    """`count` distinct prompts in random order, `no_tools_share` of them about nothing in particular.

    Categories get the same number of prompts as far as the code allows, and every target is asked once before one is
    asked again in other words. `categories` limits the questions about code. With several workspaces each prompt names
    its own.
    UsageError when there is no such directory, no Python in it, or fewer distinct prompts than `count`.
    """
    _check(workspaces, count, no_tools_share, categories)
    rng = random.Random(seed)  # noqa: S311 - chooses questions, guards nothing
    general = round(count * no_tools_share)
    with _collector_paused():
        groups = _code_groups(workspaces, categories or TOOL_FORMS)
    about_code = _draw(groups, count - general, rng, what="questions about code")
    about_nothing = _draw(_general_groups(), general, rng, what="questions that need no tools")
    prompts = [*about_code, *about_nothing]
    rng.shuffle(prompts)
    return prompts


def by_category(prompts: Iterable[Prompt]) -> dict[str, int]:
    """How many prompts each category has, in the order of their names."""
    return dict(sorted(Counter(prompt.category for prompt in prompts).items()))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Syntax trees hold millions of objects and no cycles: looking for some takes half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _check(workspaces: Sequence[Path], count: int, share: float, categories: Collection[str] | None) -> None:
    if count < 1:
        raise UsageError(f"count is {count!r}; ask for at least 1 prompt")
    if not 0 <= share <= 1:
        raise UsageError(f"the share of questions without tools is {share!r}; it must be between 0 and 1")
    if not workspaces:
        raise UsageError("no workspace to mine; name at least one directory with Python code")
    for workspace in workspaces:
        if not workspace.is_dir():
            raise UsageError(f"workspace {str(workspace)!r} is not a directory")
    for category in categories or ():
        if category not in TOOL_FORMS:
            raise UsageError(f"unknown category {category!r}; known are {', '.join(TOOL_FORMS)}")


def _code_groups(workspaces: Sequence[Path], categories: Iterable[str]) -> Mapping[str, Group]:
    groups: dict[str, list[tuple[MinedQuestion, str | None]]] = {category: [] for category in categories}
    for workspace in dict.fromkeys(path.resolve() for path in workspaces):
        code = read(workspace)
        if not code.sources:
            raise UsageError(f"workspace {str(workspace)!r} holds no Python file that can be read")
        name = str(workspace) if len(workspaces) > 1 else None
        for category, group in groups.items():
            group += [(candidate, name) for candidate in candidates(code, category)]
    return groups


def _general_groups() -> Mapping[str, Group]:
    asked: dict[str, list[tuple[MinedQuestion, str | None]]] = {category: [] for category in GENERAL_FORMS}
    for question in _general_questions():
        candidate = MinedQuestion(question, expectation(question.category, question.slots))
        asked[question.category].append((candidate, None))
    return asked


def _general_questions() -> Iterator[Question]:
    for operator, highest in HIGHEST.items():
        for a in range(2, highest + 1):
            for b in range(2, (a if operator == "minus" else highest) + 1):
                yield Question("arithmetic", {"a": str(a), "operator": operator, "b": str(b)})
    for unit in UNITS:
        for amount in range(2, MOST_UNITS + 1):
            yield Question("units", {"small": unit.small, "amount": str(amount), "large": unit.large})
    tables = {"definition": ("term", TERMS), "builtin": ("builtin", BUILTINS)}
    tables |= {"keyword": ("keyword", KEYWORDS), "exception": ("exception", EXCEPTIONS)}
    for category, (slot, table) in tables.items():
        for entry in table:
            yield Question(category, {slot: entry})


def _draw(groups: Mapping[str, Group], count: int, rng: random.Random, *, what: str) -> list[Prompt]:
    """`count` prompts, one category after the other in turns; UsageError when there are fewer."""
    turns = [_worded(groups[category], rng) for category in groups]
    drawn: dict[str, Prompt] = {}
    while turns and len(drawn) < count:
        left = []
        for turn in turns:
            prompt = next((prompt for prompt in turn if _folded(prompt) not in drawn), None)
            if prompt and len(drawn) < count:
                drawn[_folded(prompt)] = prompt
                left.append(turn)
        turns = left
    if len(drawn) < count:
        raise UsageError(
            f"only {len(drawn)} distinct {what} can be asked, {count} are needed; "
            "ask for fewer prompts, or name more code"
        )
    return list(drawn.values())


def _worded(group: Group, rng: random.Random) -> Iterator[Prompt]:
    """Every candidate in one wording each, then every candidate in the next, until there are no more wordings."""
    order = list(group)
    rng.shuffle(order)
    starts = [rng.randrange(len(FORMS[candidate.question.category])) for candidate, _ in order]
    for round_ in range(max((len(FORMS[candidate.question.category]) for candidate, _ in order[:1]), default=0)):
        for (candidate, workspace), start in zip(order, starts, strict=True):
            prompt = _prompt(candidate, start + round_, workspace)
            if not holds(candidate.expect, prompt.prompt):  # else repeating the question would count as an answer
                yield prompt


def _prompt(candidate: MinedQuestion, form: int, workspace: str | None) -> Prompt:
    question = candidate.question
    return Prompt(
        prompt=render(question, form),
        category=question.category,
        requires_tools=question.category in TOOL_FORMS,
        workspace=workspace,
        expect=candidate.expect,
    )


def _folded(prompt: Prompt) -> str:
    """Two prompts that fold alike would count as one question when the dataset is split."""
    return " ".join(prompt.prompt.lower().split())
