"""Mine questions about a package that is not part of a run, so that its student is also asked about unseen code.

The package is one of applejack's own dependencies: every worker has it, in the version that the questions name.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from config import packages
from config.errors import UsageError, WorkspaceError
from config.questions.wording import TOOL_FORMS, parse
from config.records import Prompt, Spec
from producer.mining.mine import mine
from producer.mining.workspace_files import listed

PACKAGES: Final = ("kombu", "flower", "celery", "redis")  # Python code in pyproject.toml's base dependencies
DEFAULT: Final = 40  # questions; of as many held-out ones, 12 more right answers are a clear difference


def unseen_prompts(prompts: Sequence[Prompt], spec: Spec, *, count: int) -> list[Prompt]:
    """At most `count` questions of the run's own categories about a package that the run does not read.

    None if the run does not evaluate, if its prompts are not mined from code, or if every package is part of it. The
    same run and the same version of the package give the same questions.
    """
    categories = mined_categories(prompts)
    if not (count and spec.train and spec.evaluate and categories):
        return []
    workspaces = {name for prompt in prompts if (name := prompt.workspace or spec.workspace)}
    for name in PACKAGES:
        try:
            code, workspace = packages.folder(name), packages.reference(name)
        except WorkspaceError:
            continue
        if any(is_part(name, code, of=named) for named in workspaces):
            continue
        for number in (count, count // 2, count // 4):  # a small package may have fewer
            try:
                found = mine([code], count=number, seed=spec.seed, no_tools_share=0, categories=categories)
            except UsageError:
                continue
            return [prompt.model_copy(update={"workspace": workspace}) for prompt in found]
    return []


def mined_categories(prompts: Iterable[Prompt]) -> list[str]:
    """The categories of questions about code that the prompts ask in the miner's wording."""
    found: set[str] = set()
    for prompt in prompts:
        category = prompt.category
        if category in TOOL_FORMS and category not in found and prompt.requires_tools and parse(prompt.prompt):
            found.add(category)
    return [category for category in TOOL_FORMS if category in found]


def is_part(name: str, code: Path, *, of: str) -> bool:
    """Whether the package is the workspace `of`, inside it, or around it; by its name also as a clone elsewhere."""
    path = Path(of) if Path(of).exists() else Path(of.rpartition("@")[0] or of)
    if path.name.removesuffix(".git").lower() == name:
        return True
    if not path.is_dir():
        return False
    path, code = path.resolve(), code.resolve()
    if path.is_relative_to(code) or any((path / inner / name / "__init__.py").is_file() for inner in ("", "src")):
        return True
    return code.is_relative_to(path) and listed(code.relative_to(path).as_posix())
