import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import UsageError
from config.questions.answering_tools import answerable, can_answer, needed
from config.questions.expected_facts import holds, parse_expected
from config.questions.wording import CODE_CATEGORIES, GENERAL_FORMS, Question, parse
from config.records import TOOL_NAMES
from producer.mining import workspace_files
from producer.mining.code_questions import candidates
from producer.mining.mine import by_category, mine
from producer.mining.python_code import read
from worker.tools import names

ROOT = Path(__file__).parents[2]
FILES = {
    "top.py": (
        "import json\nfrom pkg import shapes\n\nLIMIT = 12\nNAME = 'red'\nTWICE = 1\n"
        "WRAPPED = (\n    'green'\n)\nPAREN = ('blue')\n"
    ),
    "pkg/__init__.py": "TWICE = 2\n",
    "pkg/shapes.py": (
        '"""Shapes.\n\nclass Ghost(Shape): in a text\n"""\nimport json\n\n\nclass Shape:\n    pass\n\n\n'
        "class Round(Shape):\n    def area(self, scale):\n        pass\n\n\n"
        "class Square(Shape):\n    @property\n    def side(self):\n        return 1\n\n"
        "    def area(self):\n        pass\n"
    ),
    "pkg/work.py": (
        "import os\nimport re, sys\n\n\n"
        "@first\n@second.third(1)\ndef spread(one,\n           two=2, *rest, **others):\n    pass\n\n\n"
        'def describe(what):\n    """Say what it is."""\n    return helper(what)\n\n\n'
        "def helper(what):\n    return what\n"
    ),
    "pkg/deep/broken.py": "def broken(:\n",
    "pkg/deep/latin.py": "# -*- coding: latin-1 -*-\nNAMED = '\xe9'\n",
    ".venv/lib.py": "class Hidden(Shape): pass\n",
}


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "code" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    (tmp_path / "code" / "pkg" / "linked.py").symlink_to(tmp_path / "code" / "top.py")
    return tmp_path / "code"


def _importers(module: str, *paths: str) -> dict[str, object]:
    return {"paths": [*paths], "kind": "importer", "about": [module], "root": "code"}


EXPECTED = [
    ("importers", {"module": "json"}, _importers("json", "pkg/shapes.py", "top.py")),
    ("importers", {"module": "os"}, _importers("os", "pkg/work.py")),
    ("importers", {"module": "sys"}, None),  # a search for "import sys" misses "import re, sys"
    ("parameters", {"name": "spread"}, {"parameters": ["one", "two", "rest", "others"], "about": ["spread"]}),
    ("parameters", {"name": "area"}, None),  # defined twice
    ("parameters", {"name": "side"}, None),  # no parameters but self
    ("decorators", {"name": "spread"}, {"names": ["first", "second.third"], "kind": "decorator", "about": ["spread"]}),
    ("decorators", {"name": "side"}, {"names": ["property"], "kind": "decorator", "about": ["side"]}),
    ("decorators", {"name": "helper"}, None),
    ("docstring", {"name": "describe"}, {"sentence": "Say what it is", "about": ["describe"]}),
    ("docstring", {"name": "helper"}, None),
    (
        "where_defined",
        {"kind": "class", "name": "Round"},
        {"paths": ["pkg/shapes.py"], "about": ["Round"], "root": "code"},
    ),
    ("where_defined", {"kind": "class", "name": "Hidden"}, None),  # in a directory that the tools skip
    (
        "contents",
        {"path": "pkg/work.py"},
        {"names": ["spread", "describe", "helper"], "kind": "definition", "about": ["pkg/work.py"]},
    ),
    ("contents", {"path": "pkg/shapes.py"}, None),  # a text search matches Ghost, which is not a class
    ("subclasses", {"name": "Shape"}, None),  # Ghost again
    # broken.py counts, the symlink does not
    ("count_files", {"folder": "pkg"}, {"number": 5, "counts": "files", "about": ["pkg"]}),
    (
        "count_matches",
        {"path": "pkg/work.py", "name": "helper"},
        {"number": 2, "counts": "lines", "about": ["pkg/work.py", "helper"]},
    ),
    (
        "folder_files",
        {"folder": "pkg/deep"},
        {"paths": ["pkg/deep/broken.py", "pkg/deep/latin.py"], "folder": "pkg/deep", "root": "code"},
    ),
    ("find_file", {"file": "latin.py"}, {"file": "pkg/deep/latin.py", "root": "code"}),
    ("constant", {"name": "LIMIT"}, {"number": 12, "about": ["LIMIT"]}),
    ("constant", {"name": "NAME"}, {"value": "red", "about": ["NAME"]}),
    ("constant", {"name": "TWICE"}, None),  # two values
    ("constant", {"name": "WRAPPED"}, None),  # the matching line ends in "("
    ("constant", {"name": "PAREN"}, {"value": "blue", "about": ["PAREN"]}),
]


@pytest.mark.parametrize(("category", "slots", "expect"), EXPECTED)
def test_candidates_carry_the_facts_of_the_code(
    code: Path, category: str, slots: dict[str, str], expect: dict[str, object] | None
) -> None:
    expects = [candidate.expect for candidate in candidates(read(code), category) if candidate.question.slots == slots]
    assert expects == ([] if expect is None else [expect])


def test_subclasses_are_mined_when_no_string_looks_like_a_class(code: Path) -> None:
    (code / "pkg/shapes.py").write_text(FILES["pkg/shapes.py"].replace("class Ghost(Shape): in a text", ""))
    expects = {candidate.question.slots["name"]: candidate.expect for candidate in candidates(read(code), "subclasses")}
    assert expects == {"Shape": {"names": ["Round", "Square"], "kind": "subclass", "about": ["Shape"]}}


def test_prompts_depend_on_the_seed_only(code: Path) -> None:
    first = mine([code], count=40, seed=1)
    assert first == mine([code], count=40, seed=1)
    assert first != mine([code], count=40, seed=2)


def test_prompts_do_not_depend_on_set_order(code: Path, tmp_path: Path) -> None:
    (code / "more.py").write_text("".join(f"import module_{number}.inner\n" for number in range(40)))
    written = []
    for hash_seed in ("1", "2"):
        out = tmp_path / f"{hash_seed}.jsonl"
        command = ["-c", "from producer.cli import main; main()", "prompts", str(code)]
        arguments = [*command, "--count", "60", "--seed", "7", "--out", str(out)]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
        written.append(out.read_bytes())
    assert written[0] == written[1]


def test_prompts_are_distinct_balanced_and_parseable(code: Path) -> None:
    prompts = mine([code], count=50, seed=0)
    assert len({prompt.prompt.lower() for prompt in prompts}) == 50
    assert sum(not prompt.requires_tools for prompt in prompts) == 15
    assert sum(by_category(prompts).values()) == 50
    for prompt in prompts:
        question = parse(prompt.prompt)
        assert question is not None
        assert question.category == prompt.category
        assert prompt.expect is not None
        parse_expected(prompt.expect)
        repeated = prompt.prompt  # is not an answer
        assert not holds(prompt.expect, repeated, question=prompt.prompt)


def test_every_target_is_used_once_before_any_is_repeated(code: Path) -> None:
    questions = [
        parse(prompt.prompt) for prompt in mine([code], count=3, seed=0, no_tools_share=0, categories=["docstring"])
    ]
    assert questions == [Question("docstring", {"name": "describe"})] * 3
    prompts = mine([code], count=2, seed=0, no_tools_share=0, categories=["find_file"])
    assert len({str(parse(prompt.prompt)) for prompt in prompts}) == 2


def test_error_for_too_many_prompts_names_the_possible_number(code: Path) -> None:
    with pytest.raises(UsageError, match=r"only 4 distinct questions about code, but 5 are needed"):
        mine([code], count=5, seed=0, no_tools_share=0, categories=["docstring"])


def test_5000_distinct_general_questions_can_be_mined(code: Path) -> None:
    prompts = mine([code], count=5000, seed=0, no_tools_share=1)
    assert len({prompt.prompt for prompt in prompts}) == 5000


def test_with_several_workspaces_each_prompt_names_its_own(code: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "only.py").write_text("def lonely(word):\n    pass\n")
    prompts = mine([code, other], count=60, seed=0)
    for prompt in prompts:
        about_other = "lonely" in prompt.prompt or "only.py" in prompt.prompt
        assert prompt.workspace == (str(other if about_other else code) if prompt.requires_tools else None)
    assert any("lonely" in prompt.prompt for prompt in prompts)
    assert {prompt.workspace for prompt in mine([code], count=20, seed=0)} == {None}


def test_a_git_workspace_is_mined_at_its_commit(code: Path) -> None:
    git = ["git", "-C", str(code), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "top.py", "pkg/work.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    (code / "top.py").write_text("LIMIT = 13\n")
    committed = read(code)
    assert [source.path for source in committed.sources] == ["pkg/work.py", "top.py"]
    assert [c.expect for c in candidates(committed, "constant") if c.question.slots["name"] == "LIMIT"] == [
        {"number": 12, "about": ["LIMIT"]}
    ]
    assert [source.path for source in read(code / "pkg").sources] == ["work.py"]


BAD = [
    ({"count": 0}, "count is 0"),
    ({"no_tools_share": 1.5}, "1.5"),
    ({"categories": ["subclass"]}, "unknown category 'subclass'; did you mean 'subclasses'[?] choose from subclasses"),
    ({"categories": ["zzz"]}, "unknown category 'zzz'; choose from subclasses, importers"),
    ({"workspaces": []}, "no workspace"),
    ({"workspaces": [Path("/nowhere/at/all")]}, "'/nowhere/at/all' is not a directory"),
]


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_bad_arguments_raise_usage_error(code: Path, changed: dict[str, object], message: str) -> None:
    request: dict[str, object] = {"workspaces": [code], "count": 5, "seed": 0} | changed
    with pytest.raises(UsageError, match=message):
        mine(request.pop("workspaces"), **request)


def test_categories_limit_the_questions_of_their_kind(code: Path) -> None:
    both = mine([code], count=10, seed=0, categories=["constant", "importers", "arithmetic"])
    assert {prompt.category for prompt in both} == {"constant", "importers", "arithmetic"}
    general = mine([code], count=9, seed=0, no_tools_share=1, categories=["arithmetic"])
    assert {prompt.category for prompt in general} == {"arithmetic"}


def test_the_tools_that_a_category_needs() -> None:
    assert answerable(TOOL_NAMES) == list(CODE_CATEGORIES)
    assert answerable(["read_file"]) == ["contents"]
    assert answerable(["grep", "count"]) == [
        "subclasses", "importers", "count_files", "count_matches",
        "where_defined", "contents", "both_defined", "constant", "missing",
    ]  # fmt: skip
    assert can_answer("a category of somebody else", [])
    assert needed("decorators") == "grep and read_file"
    assert needed("folder_files") == "list_dir or find_files"


def test_a_workspace_without_python_raises_usage_error(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("hello")
    with pytest.raises(UsageError, match="contains no readable Python"):
        mine([tmp_path], count=5, seed=0)


def test_miner_and_tools_skip_the_same_directories() -> None:
    assert workspace_files.SKIPPED == names.SKIPPED_DIRECTORIES


def test_every_category_can_be_mined() -> None:
    from producer.mining.code_questions import GENERATORS

    assert set(GENERATORS) == set(CODE_CATEGORIES)


def test_every_general_category_is_mined(code: Path) -> None:
    """A grader that took a question's own words for its answer would leave its category out."""
    assert by_category(mine([code], count=60, seed=0, no_tools_share=1)).keys() == set(GENERAL_FORMS)
