"""Extracts the assertions of an answer and the evidence for them in its trajectory."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from config.records import Message, Trajectory

EXTENSIONS = (
    r"pyi?|md|rst|txt|toml|ya?ml|json|cfg|ini|js|ts|tsx|jsx|go|rs|c|h|cc|cpp|hpp|java|kt|swift|rb|php|sh|sql|html|css"
    r"|proto|lock|ipynb|csv|xml|gradle|m|mm"
)
PATH = re.compile(rf"(?<![\w/.-])(?:[\w.-]+/)*[\w.-]*\w\.(?:{EXTENSIONS})(?![\w/-]|\.\w)")
QUOTED = re.compile(r"`([^`\n]{2,80})`")
NAME = re.compile(r"[A-Za-z_][\w.]*\w")
CAMEL = re.compile(r"(?<![\w.`])(?:[A-Z][a-z0-9]+){2,}[A-Za-z0-9]*(?!\w)|(?<![\w.`])[a-z]\w*_\w+(?!\w)")
COUNTED = re.compile(
    r"(?i)(?<![\w.,:/-])(\d{1,7}|zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
    r"(?:\s+(?!of\b|to\b|and\b|or\b)[\w.`*_-]+){0,3}?\s+"
    r"(?:files?|matches|matche?s?|lines?|class(?:es)?|subclasses|functions?|methods?|modules?|occurrences?|times"
    r"|results?|tests?|imports?|importers|parameters?|arguments?|decorators?|directories|director(?:y|ies)|entries)\b"
)
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
EMPTY = re.compile(
    r"(?i)^\W*(?:no (?:match|result|file|output|such|line|entr)\w*\b|0 (?:match|file|result|line)\w*|nothing found"
    r"|not found|none found|the directory is empty|\(?no output\)?|exit code:? [1-9]|\[\]|\{\})"
)
CAPPED = re.compile(r"(?i)\[[^\]\n]*\bnot (?:shown|searched)[^\]\n]*\]|\[?(?:output )?truncated\b|\.\.\. ?\[?\d+ more")


@dataclass(frozen=True)
class Evidence:
    """The results and texts of a trajectory that can support its answer."""

    trajectory: Trajectory

    @cached_property
    def results(self) -> tuple[Message, ...]:
        """The tool messages."""
        return tuple(message for message in self.trajectory.messages if message.role == "tool")

    @cached_property
    def text(self) -> str:
        """Tool results, question and system prompt, in lower case. Call arguments are not evidence."""
        contents = [message.content or "" for message in self.results]
        return "\n".join([*contents, self.trajectory.prompt, self.trajectory.system_prompt]).lower()

    @cached_property
    def lines(self) -> frozenset[str]:
        """Every line of the results, in lower case."""
        return frozenset(
            line.strip().rstrip("/").lower() for m in self.results for line in (m.content or "").splitlines()
        )

    def holds(self, name: str) -> bool:
        """Whether a result or the question contains the name as a whole word."""
        return stands_whole(name.lower(), self.text)

    def holds_path(self, path: str) -> bool:
        """Whether a result contains the path, alone or at the end of a longer one, or lists its last part."""
        folder, _, last = path.lower().rpartition("/")
        return self.holds(path) or (last in self.lines and (not folder or folder in f"{self.arguments}\n{self.text}"))

    @cached_property
    def arguments(self) -> str:
        """The arguments of all calls, in lower case."""
        return "\n".join(str(call.arguments) for call in self.trajectory.tool_calls).lower()

    @cached_property
    def has_weak_result(self) -> bool:
        """Some result is empty, failed or capped. Teachers tend to invent what such a result lacks."""
        return any(
            message.is_error
            or not (message.content or "").strip()
            or EMPTY.match(message.content or "")
            or CAPPED.search(message.content or "")
            for message in self.results
        )

    @cached_property
    def numbers(self) -> frozenset[int]:
        """Numbers in the results or the question, and counts of the items that the results list."""
        found = {int(digits) for digits in re.findall(r"(?<!\d)\d{1,9}(?!\d)", self.text)}
        sizes: list[int] = []
        for message in self.results:
            sizes.extend(_countable(message.content or ""))
        sums = {sum(sizes)} | {a + b for a in sizes for b in sizes}
        items = len(re.findall(r"(?m)^\s*(?:[-*\u2022]|\d+[.)])\s", self.trajectory.answer))
        named = len(set(QUOTED.findall(self.trajectory.answer)))
        return frozenset(found | set(sizes) | sums | {items, named, len(set(paths(self.trajectory.answer))), 0, 1})


def stands_whole(name: str, text: str) -> bool:
    r"""Whether `(?<!\w)name(?!\w)` matches in the text. Compiling a pattern per name takes ten times as long."""
    start = text.find(name)
    while start >= 0:
        end = start + len(name)
        if not (start and _is_word(text[start - 1])) and not (end < len(text) and _is_word(text[end])):
            return True
        start = text.find(name, start + 1)
    return False


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


def paths(text: str) -> Iterator[str]:
    """File names and paths in a text."""
    return (found.group().removeprefix("./") for found in PATH.finditer(text))


def names(text: str) -> Iterator[str]:
    """Symbols in a text: names in backticks, CamelCase and snake_case, but not paths."""
    for quoted in QUOTED.findall(text):
        bare = re.sub(r"\(.*\)?$", "", quoted).strip()
        if NAME.fullmatch(bare) and not PATH.fullmatch(bare):
            yield bare
    yield from (found.group() for found in CAMEL.finditer(PATH.sub(" ", QUOTED.sub(" ", text))))


def listed(text: str) -> list[str]:
    """The items of an answer that only lists names; [] for any other answer."""
    body = re.sub(r"^[^:\n]{0,40}:\s", "", text.strip()).rstrip(".")
    items = [re.sub(r"^[-*\s]+", "", item).strip(" `") for item in re.split(r",\s*|\n", body)]
    filled = [item for item in items if item]
    only_names = all(NAME.fullmatch(item) and not PATH.fullmatch(item) for item in filled)
    return filled if len(filled) > 1 and only_names else []


def counts(text: str) -> Iterator[int]:
    """Counts that a text states, such as "12 files" or "three classes"."""
    for found in COUNTED.finditer(text):
        digits = found[1].lower()
        yield WORDS.index(digits) if digits in WORDS else int(digits)


def _countable(text: str) -> Iterator[int]:
    """Numbers of lines, distinct paths and names that a result lists."""
    lines = [line for line in text.splitlines() if line.strip() and not CAPPED.search(line)]
    yield len(lines)
    yield len({found.group() for line in lines if (found := PATH.search(line))})
    yield sum(bool(re.search(r"\b(?:class|def)\s+\w", line)) for line in lines)
    yield sum(bool(re.search(r"\bclass\s+\w", line)) for line in lines)
    yield sum(line.rstrip().endswith("/") for line in lines)
    yield sum(not line.rstrip().endswith("/") for line in lines)
    yield sum(line.rstrip().endswith(".py") for line in lines)
