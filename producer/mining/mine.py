"""Mine prompts from code: `mine([Path("src")], count=200, seed=0)`. The same code and seed give the same prompts."""

import gc
import random
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from config.errors import UsageError
from config.questions.general_knowledge import BUILTINS, EXCEPTIONS, KEYWORDS, TERMS, UNITS, expectation
from config.questions.wording import CATEGORIES, CODE_CATEGORIES, FORMS, GENERAL_FORMS, TOOL_FORMS, Question, render
from config.records import Prompt
from producer.mining.code_questions import candidates
from producer.mining.mined_question import MinedQuestion
from producer.mining.python_code import read

HIGHEST: Final = {"plus": 99, "minus": 99, "times": 12}  # operands suitable for mental arithmetic
MOST_UNITS: Final = 60
NO_TOOLS_SHARE: Final = 0.3  # of the prompts, so that a student learns to answer without tools as well

Group = Sequence[tuple[MinedQuestion, str | None]]  # candidates of one category, each with its workspace


def mine(
    workspaces: Sequence[Path],
    *,
    count: int,
    seed: int,
    no_tools_share: float = NO_TOOLS_SHARE,
    categories: Collection[str] | None = None,
) -> list[Prompt]:
    """Mine `count` distinct prompts in random order; `no_tools_share` of them are general questions.

    Each category gets the same number of prompts, as far as the code allows. Every target appears once before any
    target is repeated in other words. `categories` limits the questions of their kind, about code or general ones. With
    several workspaces, each prompt records its workspace.
    Raises UsageError if a category is unknown, or if a directory is missing, contains no Python, or yields fewer than
    `count` distinct prompts.
    """
    _check(workspaces, count, no_tools_share, categories)
    rng = random.Random(seed)  # noqa: S311 - not used for security
    general_count = round(count * no_tools_share)
    with _collector_paused():
        groups = _code_groups(workspaces, _chosen(categories, CODE_CATEGORIES))
    about_code = _draw(groups, count - general_count, rng, what="questions about code")
    general_groups = _general_groups(_chosen(categories, GENERAL_FORMS))
    general = _draw(general_groups, general_count, rng, what="questions that need no tools")
    prompts = [*about_code, *general]
    rng.shuffle(prompts)
    return prompts


def by_category(prompts: Iterable[Prompt]) -> dict[str, int]:
    """Number of prompts per category, sorted by category."""
    return dict(sorted(Counter(prompt.category for prompt in prompts).items()))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause garbage collection. Syntax trees are millions of objects without cycles; collection doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check(workspaces: Sequence[Path], count: int, share: float, categories: Collection[str] | None) -> None:
    if count < 1:
        raise UsageError(f"count is {count!r}; ask for at least 1 prompt")
    if not 0 <= share <= 1:
        raise UsageError(f"the share of questions without tools is {share!r}; it must be between 0 and 1")
    if not workspaces:
        raise UsageError("no workspace to mine; give at least one directory with Python code")
    for workspace in workspaces:
        if not workspace.is_dir():
            raise UsageError(f"workspace {str(workspace)!r} is not a directory")
    require_categories(categories or ())


def require_categories(categories: Iterable[str]) -> None:
    """Raise UsageError for a name that is not a category."""
    for category in categories:
        if category not in CATEGORIES:
            close = get_close_matches(category, CATEGORIES, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ";"
            raise UsageError(f"unknown category {category!r}{meant} choose from {', '.join(CATEGORIES)}")


def _chosen(categories: Collection[str] | None, kind: Collection[str]) -> list[str]:
    """The categories of one kind that are named, else all of that kind."""
    return [category for category in categories or () if category in kind] or list(kind)


def _code_groups(workspaces: Sequence[Path], categories: Iterable[str]) -> Mapping[str, Group]:
    groups: dict[str, list[tuple[MinedQuestion, str | None]]] = {category: [] for category in categories}
    for workspace in dict.fromkeys(path.resolve() for path in workspaces):
        code = read(workspace)
        if not code.sources:
            raise UsageError(f"workspace {str(workspace)!r} contains no readable Python file; give another directory")
        name = str(workspace) if len(workspaces) > 1 else None
        for category, group in groups.items():
            group += [(candidate, name) for candidate in candidates(code, category)]
    return groups


def _general_groups(categories: Iterable[str]) -> Mapping[str, Group]:
    groups: dict[str, list[tuple[MinedQuestion, str | None]]] = {category: [] for category in categories}
    for question in _general_questions():
        if question.category in groups:
            candidate = MinedQuestion(question, expectation(question.category, question.slots))
            groups[question.category].append((candidate, None))
    return groups


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
    """Draw `count` prompts, one from each category in turn; UsageError if there are too few."""
    sources = [_worded(groups[category], rng) for category in groups]
    drawn: dict[str, Prompt] = {}
    while sources and len(drawn) < count:
        remaining = []
        for source in sources:
            prompt = next((prompt for prompt in source if _folded(prompt) not in drawn), None)
            if prompt and len(drawn) < count:
                drawn[_folded(prompt)] = prompt
                remaining.append(source)
        sources = remaining
    if len(drawn) < count:
        raise UsageError(
            f"there are only {len(drawn)} distinct {what}, but {count} are needed; "
            "request fewer prompts, or give more code"
        )
    return list(drawn.values())


def _worded(group: Group, rng: random.Random) -> Iterator[Prompt]:
    """Every candidate in its first wording, then every candidate in the next, until the wordings are used up."""
    from config.questions.expected_facts import holds  # its patterns take 45 ms, which other commands need not spend

    order = list(group)
    rng.shuffle(order)
    starts = [rng.randrange(len(FORMS[candidate.question.category])) for candidate, _ in order]
    for round_ in range(max((len(FORMS[candidate.question.category]) for candidate, _ in order[:1]), default=0)):
        for (candidate, workspace), start in zip(order, starts, strict=True):
            prompt = _prompt(candidate, start + round_, workspace)
            # Where repeating the question would count as an answer, the question is not asked.
            if not holds(candidate.expect, prompt.prompt, question=prompt.prompt):
                yield prompt


def _prompt(candidate: MinedQuestion, form: int, workspace: str | None) -> Prompt:
    question = candidate.question
    return Prompt(
        prompt=render(question, form),
        category=candidate.category,
        requires_tools=question.category in TOOL_FORMS,
        workspace=workspace,
        expect=candidate.expect,
    )


def _folded(prompt: Prompt) -> str:
    """Normalise case and whitespace. The dataset split treats prompts with equal folded text as the same question."""
    return " ".join(prompt.prompt.lower().split())
