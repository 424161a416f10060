"""Which held-out prompts are asked, and which questions about unseen code."""

from collections import Counter
from pathlib import Path

import pytest

from config import packages
from config.errors import UsageError, WorkspaceError
from config.records import Prompt, Spec
from config.report.metrics import Metrics
from config.report.model import Report
from producer.mining.mine import mine
from producer.mining.unseen import is_part, mined_categories, unseen_prompts
from worker.evaluate.held_out import read_prompts, select
from worker.evaluate.unseen import UNSEEN, unseen_questions
from worker.tools.workspace import Workspace, open_workspace

CODE = Path(__file__).resolve().parents[2] / "config"
KOMBU = packages.reference("kombu")


def asked(**sizes: int) -> list[Prompt]:
    """Prompts by category; those of a category that starts with "general" need no tools."""
    return [
        Prompt(prompt=f"{name} {n}?", category=name, requires_tools=not name.startswith("general"))
        for name, count in sizes.items()
        for n in range(count)
    ]


def test_categories_are_asked_in_equal_parts_and_tools_keep_their_share() -> None:
    prompts = asked(often=40, sometimes=10, rarely=4, general_a=12, general_b=6)
    chosen = select(prompts, 24)
    assert Counter(prompt.category for prompt in chosen) == {
        "often": 7, "sometimes": 7, "rarely": 4, "general_a": 3, "general_b": 3,
    }  # fmt: skip  # 54 of 72 need tools: 18 of 24
    assert chosen == [prompt for prompt in prompts if prompt in chosen]  # in the order of the file
    assert select(prompts, 24) == chosen
    assert select(prompts, None) == select(prompts, 500) == prompts


def test_each_kind_is_asked_where_both_are_held_out() -> None:
    assert {prompt.requires_tools for prompt in select(asked(often=99, general=1), 5)} == {True, False}
    assert {prompt.requires_tools for prompt in select(asked(often=1, general=99), 5)} == {True, False}
    assert len(select(asked(often=9, general=9), 1)) == 1


def test_an_empty_held_out_file_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "held_out.jsonl").write_text("")
    with pytest.raises(UsageError, match="raise --test-share when curating"):
        read_prompts(tmp_path)


def run(**fields: object) -> Spec:
    return Spec.model_validate({"run_id": "r", "workspace": str(CODE), **fields})


def test_unseen_questions_have_the_categories_of_the_run_and_the_packages_version() -> None:
    prompts = mine([CODE], count=20, seed=1, categories=("where_defined", "constant"))
    found = unseen_prompts(prompts, run(), count=10)
    assert Counter(prompt.category for prompt in found) == {"where_defined": 5, "constant": 5}
    assert {prompt.workspace for prompt in found} == {KOMBU}
    assert found == unseen_prompts(prompts, run(), count=10)
    assert not {prompt.prompt for prompt in found} & {prompt.prompt for prompt in prompts}


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 0),  # switched off
        ({"train": False}, 10),  # nothing is evaluated
        ({"evaluate": False}, 10),
    ],
)
def test_no_unseen_questions_where_none_would_be_asked(fields: dict[str, object], count: int) -> None:
    prompts = mine([CODE], count=9, seed=1, categories=("constant",))
    assert unseen_prompts(prompts, run(**fields), count=count) == []


def test_prompts_that_were_not_mined_have_no_unseen_questions() -> None:
    own = [
        Prompt(prompt="Why is the queue slow?", category="constant"),  # a category's name, in other words
        Prompt(prompt="What is the value of the constant LIMIT?", category="mine"),
        Prompt(prompt="What is 6 times 7?", category="arithmetic", requires_tools=False),
    ]
    assert mined_categories(own) == []
    assert unseen_prompts(own, run(), count=10) == []


def test_the_package_of_the_run_is_not_unseen(tmp_path: Path) -> None:
    prompts = mine([CODE], count=9, seed=1, categories=("constant",))
    kombu = packages.folder("kombu")
    (tmp_path / "fork" / "src" / "kombu").mkdir(parents=True)
    (tmp_path / "fork" / "src" / "kombu" / "__init__.py").touch()
    seen = [
        str(kombu),  # the package
        str(kombu / "transport"),  # a part of it
        str(kombu.parent),  # all installed packages
        "https://example.org/celery/kombu.git@main",  # a clone on the workers
        "/elsewhere/Kombu@0123abc",
        str(tmp_path / "fork"),  # a clone under another name
    ]
    for workspace in seen:
        found = unseen_prompts(prompts, run(workspace=workspace), count=4)
        assert {prompt.workspace for prompt in found} != {KOMBU}, workspace
    assert not is_part("kombu", kombu, of=str(kombu.parent / "celery"))
    assert not is_part("kombu", kombu, of=str(tmp_path))


def write_unseen(folder: Path, workspace: str) -> None:
    (folder / UNSEEN).write_text(Prompt(prompt="q", workspace=workspace).model_dump_json() + "\n")


def test_another_version_of_the_package_is_not_asked_about(tmp_path: Path) -> None:
    def opened(prompt: Prompt) -> Workspace:
        assert prompt.workspace is not None
        return open_workspace(prompt.workspace, cache=tmp_path)

    assert unseen_questions(tmp_path, opened).prompts == ()
    write_unseen(tmp_path, KOMBU)
    assert [prompt.workspace for prompt in unseen_questions(tmp_path, opened).prompts] == [KOMBU]

    write_unseen(tmp_path, "package:kombu@0.1")
    found = unseen_questions(tmp_path, opened)
    assert found.prompts == ()
    made = found.noted(Report(run_id="r", student="s", before=Metrics(prompts=1), identity="i"))
    assert made.unseen is not None
    assert "the questions are about kombu 0.1; install kombu==0.1" in made.unseen.problem
    assert "Not asked: kombu" in made.markdown()


def test_a_package_is_a_workspace_with_a_digest(tmp_path: Path) -> None:
    opened = open_workspace(KOMBU, cache=tmp_path)
    assert (opened.pin.origin, opened.pin.commit) == (KOMBU, None)
    assert opened.pin.digest == opened.tree.digest
    assert open_workspace(KOMBU, cache=tmp_path, expect=opened.pin).pin == opened.pin
    other = opened.pin.model_copy(update={"digest": "0" * 64})
    with pytest.raises(WorkspaceError, match="different code here"):
        open_workspace(KOMBU, cache=tmp_path, expect=other)


@pytest.mark.parametrize("name", ["nothing_of_this_name", "os.path", "../kombu", ""])
def test_a_package_that_is_not_installed_is_named(name: str) -> None:
    with pytest.raises(WorkspaceError, match=r"the package .* is not installed here"):
        packages.resolve(f"package:{name}@1")
