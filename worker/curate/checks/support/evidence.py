"""What the results of a trajectory hold: names, paths, numbers, lines."""

import builtins
import keyword
import re
import sys
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from config.records import Trajectory
from worker.curate.checks.support.answer import PATH, stands_whole
from worker.curate.checks.support.results import Result, paths_shown, plain_path, results_of

DIGITS = re.compile(r"(?<![\d.])\d[\d_,]*(?:\.\d+)?(?!\d)")
LANGUAGE = frozenset(
    name.lower()
    for name in (*dir(builtins), *keyword.kwlist, *keyword.softkwlist, "self", "cls", "args", "kwargs", "__main__")
)
STANDARD = frozenset(
    name
    for module in ("typing", "collections", "functools", "contextlib", "dataclasses", "enum", "abc", "pathlib")
    if module in sys.modules
    for name in dir(sys.modules[module])
) | frozenset(typing.__all__)
UNIT_FACTORS = (60, 3600, 86400, 24, 7, 1000, 1024, 1024 * 1024, 100)  # seconds, days, bytes and percentages


@dataclass(frozen=True)
class Evidence:
    """The results of a trajectory. Its question, system prompt and call arguments are not evidence."""

    trajectory: Trajectory

    @cached_property
    def results(self) -> tuple[Result, ...]:
        """The tool messages with their calls."""
        return results_of(self.trajectory)

    @cached_property
    def found(self) -> tuple[Result, ...]:
        """The results that found something."""
        return tuple(result for result in self.results if result.found)

    @cached_property
    def is_barren(self) -> bool:
        """Every result is empty or failed, and none suggests another path."""
        return not self.found and not any(result.hint for result in self.results)

    @cached_property
    def is_weak(self) -> bool:
        """Some result is empty, failed or capped. Teachers tend to invent what such a result lacks."""
        return any(not result.found or result.capped for result in self.results)

    @cached_property
    def text(self) -> str:
        """The results that found something and the paths that they are about, in lower case."""
        contents = [result.text if result.found else result.hint for result in self.results]
        return "\n".join([*contents, *self.paths]).lower()

    @cached_property
    def spelt(self) -> str:
        """The same with the capitals of the results."""
        return "\n".join([*(result.text if result.found else result.hint for result in self.results), *self.paths])

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path that a result shows or that a successful call looked at."""
        hinted = (path for result in self.results for path in re.split(r",\s*", result.hint))
        return frozenset(filter(None, (*paths_shown(self.results), *map(plain_path, hinted))))

    @cached_property
    def question(self) -> str:
        """The question in lower case. Its words are neither evidence nor claims."""
        return self.trajectory.prompt.lower()

    @cached_property
    def arguments(self) -> str:
        """The arguments of all calls, in lower case."""
        return "\n".join(
            f"{call.name} {' '.join(map(str, call.arguments.values()))}"
            if isinstance(call.arguments, dict)
            else call.arguments
            for call in self.trajectory.tool_calls
        ).lower()

    def holds(self, name: str) -> bool:
        """Whether a result contains the name as a whole word."""
        return stands_whole(name.lower(), self.text)

    def asked(self, name: str) -> bool:
        """Whether the question contains the name as a whole word."""
        return stands_whole(name.lower(), self.question)

    def holds_path(self, path: str) -> bool:
        """Whether a result shows the path, alone or at the end of a longer one, or the end of it."""
        plain = plain_path(path)
        for shown in self.paths:
            if shown == plain or shown.endswith(f"/{plain}"):
                return True
            if plain.endswith(f"/{shown}") and self._leads_to_workspace(plain.removesuffix(f"/{shown}")):
                return True
        return self.holds(path)

    def _leads_to_workspace(self, directory: str) -> bool:
        """Whether paths of the workspace may be written with this directory in front: where it lies, or is imported."""
        pin = self.trajectory.provenance.workspace if self.trajectory.provenance else None
        if pin is None or not pin.origin:
            return True
        return all(
            part in pin.origin.split("/") or self.holds(part) or self.asked(part) for part in directory.split("/")
        )

    def holds_directory(self, directory: str) -> bool:
        """Whether a result shows the directory or anything in it."""
        plain = plain_path(directory)
        parents = {f"/{shown.rpartition('/')[0]}" for shown in self.paths if "/" in shown}
        in_front = any(f"/{plain}".endswith(parent) for parent in parents)  # paths relative to a directory of it
        return in_front or any(f"/{plain}/" in f"/{shown}/" for shown in self.paths) or self.holds(plain)

    def knows(self, name: str) -> bool:
        """Whether the name is in a result or the question, or belongs to Python or to the offered tools."""
        bare = name.strip(".")
        if bare.lower() in LANGUAGE or self.holds(bare) or self.asked(bare) or bare in self.tools:
            return True
        first, _, last = bare.rpartition(".")
        if not first:
            return False
        if first.partition(".")[0] in sys.stdlib_module_names or self.holds(last) or self.asked(last):
            return True
        return self.holds_path(bare.replace(".", "/") + ".py") or self.holds(bare.replace(".", "/"))

    @cached_property
    def tools(self) -> frozenset[str]:
        """Names of the tools that were called."""
        return frozenset(call.name for call in self.trajectory.tool_calls)

    @cached_property
    def literals(self) -> frozenset[float]:
        """Numbers in the texts of the lines. Line numbers and the "81" of "no matches in 81 files" are not included."""
        texts = (line.text for result in self.found for line in result.lines)
        notes = (str(result.left_out) for result in self.found)
        return frozenset(
            float(found.group().replace("_", "").replace(",", ""))
            for text in (*texts, *notes)
            for found in DIGITS.finditer(text)
        )

    @cached_property
    def sizes(self) -> frozenset[float]:
        """Counts of the things that one result lists: lines, paths, classes, functions, lines per path."""
        return frozenset(float(size) for result in self.found for size in _sizes(result))

    def counts(self, number: float) -> bool:
        """Whether a result states the number or lists that many things."""
        return number in (0, 1) or number in self.literals or number in self.sizes

    def measures(self, number: float) -> bool:
        """Whether the number is one of a result in another unit."""
        return any(number * factor in self.literals or number / factor in self.literals for factor in UNIT_FACTORS)

    @cached_property
    def line_numbers(self) -> dict[int, list[tuple[str, str]]]:
        """Path and text of the lines that results show with a number."""
        shown: dict[int, list[tuple[str, str]]] = {}
        for result in self.found:
            for line in result.lines:
                if line.number:
                    shown.setdefault(line.number, []).append((line.path, line.text))
        return shown

    @cached_property
    def longest(self) -> int:
        """The number of lines of the longest result without line numbers, in which a reader can count."""
        return max((len(r.lines) for r in self.found if r.lines and not r.listed and not r.lines[0].number), default=0)


def _sizes(result: Result) -> Iterator[int]:
    """How many things of one kind the result lists."""
    lines = [line.text for line in result.lines]
    per_path: dict[str, int] = {}
    for line in result.lines:
        path = line.path or (found.group() if (found := PATH.search(line.text)) else "")
        per_path[path] = per_path.get(path, 0) + 1
    per_path.pop("", None)
    yield from (len(lines), len(lines) + result.left_out, len(per_path), *per_path.values())
    last = result.lines[-1].number if result.lines else 0
    yield last  # a file's number of lines, if it is shown to its end
    for pattern in (r"\b(?:class|def)\s+\w", r"\bclass\s+\w", r"\bdef\s+\w", r"^\s*@", r"^\s*(?:from|import)\b"):
        yield sum(bool(re.search(pattern, line)) for line in lines)
    yield sum(line.rstrip().endswith("/") for line in lines)
    yield sum(not line.rstrip().endswith("/") for line in lines)
    yield sum(line.rstrip().endswith(".py") for line in lines)
