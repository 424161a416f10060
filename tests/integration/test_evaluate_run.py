import json
from pathlib import Path

import psutil
import pytest

from config.errors import EvaluationError, WorkspaceError
from config.records import Limits, Pin, Prompt, Spec, Trajectory, job_id
from config.report.model import Report
from tests.support.evaluated import evaluated
from tests.support.tiny_adapter import make_tiny_adapter
from tests.support.tiny_student import make_tiny_student
from worker.endpoint.model_server import ModelServer
from worker.evaluate.identity import canaries, distances
from worker.evaluate.query_time import query_time
from worker.tools.workspace import Workspace

SPEC = Spec(
    run_id="tiny", tools=("grep",), model="somebody-elses", evaluate_limits=Limits(requests=2, max_tokens=6, seconds=60)
)
PROMPTS = [
    Prompt(prompt="Where is Task?", expect={"contains": ["app.py"]}, job_id="000017-3fa9c1d2"),  # as held out
    Prompt(prompt="How many files are there?", expect={"number": 1}),
    Prompt(prompt="What is a queue?", requires_tools=False),
]
UNSEEN = [Prompt(prompt="Where is Consumer?", expect={"contains": ["kombu.py"]}, job_id="unseen-1")]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_student(tmp_path_factory.mktemp("student"))


def workspace(folder: Path) -> Workspace:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text("class Task: ...\n")
    return Workspace(folder, Pin(origin=str(folder)))


def test_evaluate_asks_base_and_adapter_and_reports_both(student: Path, tmp_path: Path) -> None:
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=1)
    code, told = workspace(tmp_path / "code"), list[tuple[str, int, int]]()
    made = evaluated(
        PROMPTS,
        student,
        tmp_path / "out",
        spec=SPEC,
        adapter=adapter,
        workspace_for=lambda _: code,
        on_progress=lambda *one: told.append(one),
        concurrency=2,
    )
    assert Report.read(tmp_path / "out") == made
    assert made.before is not None
    assert made.after is not None
    assert (made.before.prompts, made.after.prompts) == (3, 3)
    assert "3 canary questions" in made.identity
    assert made.student == str(student)
    assert [one for one in told if one[1] in (0, 3)] == [
        ("before", 0, 3),
        ("before", 3, 3),
        ("after", 0, 3),
        ("after", 3, 3),
    ]
    for phase in ("before", "after"):
        answers = (tmp_path / "out" / f"{phase}.jsonl").read_text().splitlines()
        read = [Trajectory.model_validate_json(line) for line in answers]
        assert [one.prompt for one in read] == [prompt.prompt for prompt in PROMPTS]
        assert [one.job_id for one in read] == ["000017-3fa9c1d2", *(job_id(n, PROMPTS[n - 1]) for n in (2, 3))]
        assert all(one.provenance and one.provenance.teacher == "default_model" for one in read)
        assert all(one.usage.requests > 0 for one in read), [one.failure for one in read]
        spent = query_time(read)
        assert spent is not None
        assert spent.prefill is not None
        assert (spent.prompts, spent.prefill.of) == (3, 3)
        assert spent.cut.count > 0  # six tokens an answer
        for one in read:
            assert one.timing is not None
            assert 0 < sum(request.seconds for request in one.timing.requests) <= one.seconds + 0.01
    assert "tool loops" in (tmp_path / "out" / "report.md").read_text()
    assert not [child for child in psutil.Process().children() if "serve_child" in " ".join(child.cmdline())]


def test_samples_are_further_answers_at_the_models_temperature(student: Path, tmp_path: Path) -> None:
    adapter, code = make_tiny_adapter(tmp_path / "adapter", strength=1), workspace(tmp_path / "code")
    told: list[tuple[str, int, int]] = []
    made = evaluated(
        PROMPTS[:2],
        student,
        tmp_path / "out",
        unseen=UNSEEN,
        spec=SPEC.model_copy(update={"evaluate_samples": 2, "evaluate_concurrency": 6}),
        adapter=adapter,
        workspace_for=lambda _: code,
        on_progress=lambda *one: told.append(one),
    )
    assert (told[0], told[-1]) == (("before", 0, 9), ("after", 9, 9))
    assert made.concurrency == 6
    assert made.comparison is not None
    assert made.comparison.correct.prompts == 2
    assert [one.job_id for one in made.outcomes] == ["000017-3fa9c1d2", job_id(2, PROMPTS[1])]
    for phase, scores in (("before", made.before), ("after", made.after)):
        assert scores is not None
        assert scores.prompts == 2  # the samples are not in the other rates
        assert scores.sampled is not None
        assert (scores.sampled.samples, scores.sampled.temperature) == (2, 0.7)
        assert scores.sampled.correct is not None
        assert (scores.sampled.correct.prompts, scores.sampled.correct.answers) == (2, 4)
        lines = (tmp_path / "out" / f"{phase}-samples.jsonl").read_text().splitlines()
        read = [Trajectory.model_validate_json(line) for line in lines]
        assert [(one.prompt, one.attempt) for one in read] == [
            (p.prompt, n) for p in [*PROMPTS[:2], *UNSEEN] for n in (2, 3)
        ]
        sampling = [one.provenance.sampling for one in read if one.provenance]
        assert [one and one.temperature for one in sampling] == [0.7] * 6
    assert made.unseen is not None
    for scores in (made.unseen.before, made.unseen.after):
        assert scores is not None
        assert scores.sampled is not None
        assert (scores.prompts, scores.sampled.samples) == (1, 2)
        assert scores.sampled.correct is not None
        assert (scores.sampled.correct.prompts, scores.sampled.correct.answers) == (1, 2)
    assert Report.read(tmp_path / "out") == made


def test_held_out_prompts_with_the_same_job_id_are_told_apart(student: Path, tmp_path: Path) -> None:
    twice = [Prompt(prompt=f"Where is {name}?", requires_tools=False, job_id="000017-3fa9c1d2") for name in ("A", "B")]
    made = evaluated(twice, student, tmp_path / "out", spec=SPEC)
    assert [one.job_id for one in made.outcomes] == ["000017-3fa9c1d2", job_id(2, twice[1])]
    assert (made.comparison, made.before and made.before.sampled) == (None, None)


def test_adapter_that_changes_nothing_gets_no_score(student: Path, tmp_path: Path) -> None:
    adapter = make_tiny_adapter(tmp_path / "adapter", strength=0)
    told: list[str] = []
    with pytest.raises(EvaluationError, match="The adapter was not loaded or not trained") as raised:
        evaluated(
            PROMPTS[:1],
            student,
            tmp_path / "out",
            spec=SPEC,
            adapter=adapter,
            on_progress=lambda phase, *_: told.append(phase),
        )
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "report.json").exists()
    assert "after" not in told  # refused before a prompt was spent on it


def test_asking_by_path_loses_the_adapter_and_by_default_model_does_not(student: Path, tmp_path: Path) -> None:
    with ModelServer(student, log=tmp_path / "base.log") as server:
        base = canaries(server.url)
    with ModelServer(student, make_tiny_adapter(tmp_path / "a", strength=1), log=tmp_path / "adapted.log") as server:
        by_default, by_path = canaries(server.url), canaries(server.url, model=str(student.resolve()))
    assert max(distances(base, by_default)) > 0.01
    assert max(distances(base, by_path)) < 1e-4  # why the model's path is never what we ask for


def test_model_that_cannot_be_served_is_one_clear_line(tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    (student / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(EvaluationError, match="cannot load or run the model") as raised:
        evaluated(PROMPTS[:1], student, tmp_path / "out", spec=SPEC)
    assert "\n" not in str(raised.value)


def test_base_alone_is_scored_without_an_adapter(student: Path, tmp_path: Path) -> None:
    made = evaluated(PROMPTS[2:], student, tmp_path / "out", spec=SPEC)
    assert made.after is None
    assert json.loads((tmp_path / "out" / "report.json").read_text())["before"]["prompts"] == 1


def test_server_that_dies_on_the_way_gives_no_score(student: Path, tmp_path: Path) -> None:
    def kill(phase: str, done: int, total: int) -> None:
        if done == 0:
            for child in psutil.Process().children(recursive=True):
                if "worker.endpoint.serve_child" in child.cmdline()[:4]:  # not its watchdog
                    child.kill()

    with pytest.raises(EvaluationError, match=r"cannot be reached.*last log line") as raised:
        evaluated(PROMPTS, student, tmp_path / "out", spec=SPEC, on_progress=kill)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out" / "report.json").exists()


def test_workspace_that_cannot_be_had_is_told_before_a_model_is_served(student: Path, tmp_path: Path) -> None:
    def nowhere(prompt: Prompt) -> Workspace:
        raise WorkspaceError(f"no code for {prompt.prompt!r}")

    with pytest.raises(EvaluationError, match="no code for 'Where is Task"):
        evaluated(PROMPTS, student, tmp_path / "out", spec=SPEC, workspace_for=nowhere)
    assert not (tmp_path / "out").exists()
