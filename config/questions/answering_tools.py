"""Which tools answer which mined questions. A run without them gets no answer that curation could keep."""

from collections.abc import Collection, Mapping
from typing import Final

from config.questions.wording import CODE_CATEGORIES, MISSING

# category -> sets of tools, each of which suffices for every question that the miner asks in it; the scripted teacher
# uses the first. grep shows single lines: what stands above or below a definition takes read_file as well.
SUFFICIENT: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    category: tuple(map(frozenset, sets))
    for category, sets in {
        "subclasses": [{"grep"}],
        "importers": [{"grep"}],
        "parameters": [{"grep", "read_file"}],
        "count_files": [{"count"}, {"find_files"}],
        "count_matches": [{"count"}, {"grep"}],
        "decorators": [{"grep", "read_file"}],
        "where_defined": [{"grep"}],
        "contents": [{"grep"}, {"read_file"}],
        "docstring": [{"grep", "read_file"}],
        "both_defined": [{"grep"}],
        "folder_files": [{"list_dir"}, {"find_files"}],
        "find_file": [{"find_files"}],
        "constant": [{"grep"}],
        MISSING: [{"grep"}],
    }.items()
}


def can_answer(category: str, tools: Collection[str]) -> bool:
    """Whether the tools suffice for a category of mined questions; True for every other category."""
    return any(sufficient <= set(tools) for sufficient in SUFFICIENT.get(category, (frozenset(),)))


def answerable(tools: Collection[str]) -> list[str]:
    """The categories of questions about code that the tools can answer."""
    return [category for category in CODE_CATEGORIES if can_answer(category, tools)]


def needed(category: str) -> str:
    """The tools that a category needs, for a message: "grep and read_file", "count or find_files"."""
    return " or ".join(" and ".join(sorted(tools)) for tools in SUFFICIENT[category])
