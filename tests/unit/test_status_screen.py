"""The status of a run in a terminal: complete at every width, and an answer to every question in one look."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from config.records import StageState, WorkerControl
from config.topology import Stage
from producer.overview import Overview, overview
from producer.overview.workers import state
from producer.screen import Screen, other_runs
from producer.screen.fitting import FOOTER, screen_lines
from producer.screen.lines import bar, sparkline
from producer.wrapping import wrap, wrap_command
from tests.support.run_states import (
    ANNA,
    BEN,
    CANCELLED,
    CURATED,
    ENDED,
    FLEET,
    GENERATING,
    GPU,
    OLD,
    PAUSED,
    RUN,
    STATES,
    TRAINING,
    TROUBLED,
    WITHOUT_WORKERS,
    stage,
    stages,
    worker,
)

WIDTHS = (60, 80, 120)


def shown(view: Overview, width: int, height: int | None = None) -> list[str]:
    """The lines of the screen."""
    return [line.text for line in screen_lines(view, width, height)]


def folded(lines: list[str]) -> str:
    """The text without the line breaks of wrapping."""
    return " ".join(" ".join(lines).replace(" \\", "").split())


def commands_of(view: Overview) -> list[str]:
    """Every command that the screen offers."""
    causes = [cause.command for cause in (*view.failures, *view.rejections)]
    return [
        command
        for command in (
            *causes,
            *(step.command for step in view.next_steps),
            *(command for problem in view.problems for command in problem.commands),
        )
        if command
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", STATES)
def test_no_line_is_wider_than_the_terminal_and_all_is_whole(name: str, width: int) -> None:
    view = STATES[name]
    lines = shown(view, width)
    assert max(map(len, lines)) <= width
    text = folded(lines)
    assert folded([view.headline]) in text
    for command in commands_of(view):
        assert command in text
    for cause in (*view.failures, *view.rejections):
        assert re.search(rf"(?<![\w,.]){cause.count} +{cause.name}(?!\w)", text)
    for line in view.workers:  # in one line each: a name that is broken cannot be searched for
        assert any(line.name in shown_line.split() for shown_line in lines)
        assert re.search(rf"(?<!\w){line.state}(?!\w)", text)
    for problem in view.problems:
        assert folded([problem.text.replace("`", "")]) in text.replace("`", "")
        for name_of_worker in problem.workers:
            assert any(f" {name_of_worker}" in shown_line for shown_line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_cause_is_written_once_for_all_workers_that_share_it(width: int) -> None:
    lines = shown(STATES["standing-still"], width)
    assert folded(lines).count("Connection refused") == 1
    assert folded(lines).count("2 workers paused: http://127.0.0.1:8080/v1 does not answer") == 1
    start = next(number for number, line in enumerate(lines) if line.startswith("! 2 workers paused"))
    block = lines[start : next(number for number in range(start + 1, len(lines)) if lines[number][:1] in "!")]
    assert len(block) <= 8  # a reason was a column of 38 lines once
    assert ANNA in folded(block)
    assert BEN in folded(block)


FIRST = [
    # state, what the first sentence answers
    ("generating", f"{RUN} is generating: 812 of 2,000 jobs done, 34 a minute, about 35 minutes left."),
    ("standing-still", f"{RUN} stands still: both generate workers are paused. 812 of 2,000 jobs done."),
    ("paused", f"{RUN} is paused by a person: 812 of 2,000 jobs done. 12 jobs in flight end first; no other starts."),
    ("no-worker", f"{RUN} waits: no generate worker is alive. 812 of 2,000 jobs done."),
    ("training", f"{RUN} is training: iteration 120 of 207, about 4 minutes left."),
    ("evaluating", f"{RUN} is evaluating: 12 of 60 prompts, phase after, for 3 min so far."),
    ("failed", f"{RUN} has failed in the stage train."),
    ("ended", f"{RUN} has ended: 1,802 of 2,000 jobs kept, in 59 min."),
    ("cancelled", f"{RUN} is cancelled: 781 of 2,000 jobs generated, 31 failed, 1,188 cancelled."),
]


@pytest.mark.parametrize(("name", "sentence"), FIRST)
def test_the_first_sentence_tells_whether_it_goes_on_and_how_long(name: str, sentence: str) -> None:
    assert folded(shown(STATES[name], 80)).startswith(sentence)


LAST = [
    ("generating", "nothing to do: generate ends by itself, in about 35 minutes"),
    ("standing-still", "find the cause and its remedy: `applejack doctor`"),
    ("paused", f"let it go on: `applejack resume {RUN}`"),
    ("no-worker", "start a worker on this machine: `applejack worker generate`"),
    ("failed", f"when the cause is removed, repeat the stage: `applejack resubmit {RUN} --stage train`"),
    ("ended", f"see its scores: `applejack report {RUN}`"),
    ("cancelled", f"run its 1,188 cancelled jobs and go on: `applejack resume {RUN}`"),
]


@pytest.mark.parametrize(("name", "step"), LAST)
def test_what_to_do_next_comes_last(name: str, step: str) -> None:
    lines = shown(STATES[name], 80)
    assert step in folded(lines[lines.index("next") :])
    assert lines.index("next") >= len(lines) - 7


def test_the_commands_of_a_cancelled_run_wait_for_its_resumption() -> None:
    assert not [command for command in commands_of(STATES["cancelled"]) if "resubmit" in command]
    assert [command for command in commands_of(STATES["paused"]) if "resubmit" in command]


def test_a_worker_that_a_person_paused_has_the_command_that_resumes_it() -> None:
    text = folded(shown(STATES["held-workers"], 60))
    assert f"1 worker paused by a person on {ANNA} applejack worker resume {ANNA}" in text
    assert "nothing to do" not in text  # a worker waits for a person


def test_what_a_person_asked_of_a_worker_is_written_once() -> None:
    """The worker reports it too, with its own reason behind it."""
    told = f"paused by a person; `applejack worker resume {ANNA}` lets it go on; no disk"
    again = f"drained by a person, and started again since; `applejack worker resume {BEN}` lets it take work"
    fleet = (
        worker(ANNA, control=WorkerControl.PAUSED, paused=told),
        worker(BEN, control=WorkerControl.DRAINING, paused=again),
    )
    found = overview(GENERATING, fleet).problems
    assert [(problem.text, problem.workers) for problem in found] == [
        ("1 worker paused: no disk (docs/troubleshooting.md#a-worker-is-paused)", (ANNA,)),
        ("1 worker paused by a person", (ANNA,)),
        ("1 worker drained by a person, and started again since", (BEN,)),
    ]
    assert [problem.commands for problem in found[1:]] == [
        (f"applejack worker resume {ANNA}",), (f"applejack worker resume {BEN}",),
    ]  # fmt: skip


def test_silent_workers_other_versions_and_lost_calls_are_named() -> None:
    text = folded(shown(STATES["standing-still"], 80))
    assert f"1 worker silent: asleep, offline or killed. Live workers run its jobs again on {OLD}" in text
    assert f"1 worker of version 0.8.2, the others of 0.9.0: install one version on all on {GPU}" in text
    assert "calls lost by the server: 12 (qwen3-coder 12)" in text


def test_devices_downloads_and_refused_models_are_shown() -> None:
    device = {"name": "metal", "holder": "training of night-1", "waiting": ["model server"]}
    fleet = (
        worker(ANNA, device=device, refuses={"qwen3-coder": "not in /v1/models"}),
        worker(GPU, downloading={"model": "org/student", "bytes": 2**30, "of": 2**32}),
    )
    text = folded(shown(overview(GENERATING, fleet), 80))
    assert "device metal of studio-anna.local: training of night-1; waiting: model server" in text
    assert f"1 worker does not serve qwen3-coder: not in /v1/models on {ANNA}" in text
    assert f"{GPU}: downloading org/student" in text


WORDS = [
    (worker("w"), "consuming"),
    (worker("w", paused="no disk"), "paused"),
    (worker("w", refuses={"m": "no such model"}), "consuming"),
    (worker("w", control=WorkerControl.PAUSED), "paused"),
    (worker("w", control=WorkerControl.DRAINING, paused="no disk"), "draining"),
    (worker("w", control=WorkerControl.DRAINING, paused="drained by a person, and started again since; x"), "paused"),
    (worker("w", 31.0, paused="no disk"), "silent"),  # what it last reported is not known to be true now
    (worker("w", downloading={"model": "m", "bytes": 1, "of": 2}), "downloading"),
]


@pytest.mark.parametrize(("view", "word"), WORDS)
def test_state_of_a_worker_is_one_word(view: object, word: str) -> None:
    assert state(view) == word  # type: ignore[arg-type]


def test_the_reason_of_a_skipped_evaluation_is_shown() -> None:
    skipped = (*ENDED.stages[:2], stage(Stage.EVALUATE, StageState.DONE, skipped="the adapter is a merged model"))
    lines = shown(overview(replace(ENDED, stages=skipped), FLEET), 80)
    assert "evaluate skipped: the adapter is a merged model" in lines
    assert "applejack report" not in folded(lines)


def test_after_generation_the_rate_is_a_mean_in_words() -> None:
    done = "generate done (34 a minute on average), curate done (2 min), train done (2 min), evaluate done (2 min)"
    assert done in folded(shown(STATES["ended"], 80))
    assert "skipped" not in folded(shown(STATES["ended"], 80))
    assert "left" not in folded(shown(STATES["ended"], 80))
    assert "on average" not in folded(shown(STATES["generating"], 80))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_losses_of_a_training_fall_in_a_sparkline(width: int) -> None:
    for name in ("training", "ended"):
        line = next(line for line in shown(STATES[name], width) if "▇" in line)
        assert re.search(r"█[▁-█]{28}▁$", line)


def test_outputs_without_block_characters_get_plain_ones() -> None:
    written = io.BytesIO()
    console = Console(width=80, file=io.TextIOWrapper(written, encoding="ascii"))
    console.print(Screen(STATES["training"]))
    console.file.flush()
    assert b"#####----" in written.getvalue()
    assert b"iteration 120 of 207" in written.getvalue()


def test_nothing_but_text_is_written_where_stdout_is_not_a_terminal() -> None:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        console.print(Screen(STATES["failed"]))
    assert "\x1b" not in capture.get()
    assert capture.get().startswith(f"{RUN} has failed in the stage train.\n")


def test_escape_sequences_in_a_reason_do_not_reach_the_terminal() -> None:
    fleet = (worker(ANNA, paused="\x1b[31mlast log line:\x1b[0m\x1b]0;title\x07 bad\r\n\x08gone"),)
    text = "\n".join(shown(overview(GENERATING, fleet), 80))
    assert "1 worker paused: last log line: bad gone" in text
    assert not [char for char in text if not char.isprintable() and char != "\n"]


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (120, 40), (60, 12), (40, 8)])
@pytest.mark.parametrize("name", STATES)
def test_a_watched_run_fits_the_terminal(name: str, size: tuple[int, int]) -> None:
    """A screen that is higher than the terminal would lose its last lines, which tell what to do."""
    width, height = size
    view = STATES[name]
    lines = shown(view, width, height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert lines[-1] == FOOTER
    assert folded(lines).startswith(view.headline[:30])
    if height >= 24:
        assert "next" in lines
        assert all(folded([problem.text])[:20] in folded(lines) for problem in view.problems[:2])


def test_details_go_before_answers_where_the_terminal_is_low() -> None:
    lines = shown(STATES["standing-still"], 60, 24)
    assert folded(lines).count("Connection refused") == 1
    assert ANNA in folded(lines)
    assert lines[-3:-1] == ["next", "  find the cause and its remedy: `applejack doctor`"]
    assert re.search(rf"\.\.\. \d+ more lines: `applejack status {RUN}`", folded(lines))
    assert "more lines" not in folded(shown(STATES["standing-still"], 80, 60))


def test_other_runs_have_a_line_each() -> None:
    runs = [replace(GENERATING, run_id="night-3"), replace(ENDED, run_id="night-2"), replace(PAUSED, run_id="n" * 64)]
    lines = [line.text for line in other_runs(runs, 4, 80)]
    assert lines[0] == "other runs"
    assert max(map(len, lines)) <= 80
    text = folded(lines)
    assert re.search(r"night-3 +generating:? +812 of 2,000 jobs done", text)
    assert re.search(r"night-2 +done:? +1,802 kept, 198 rejected", text)
    assert re.search(rf"{'n' * 64} +paused", text)
    assert lines[-1] == "  and 4 runs more; `--json` lists all"
    assert other_runs([], 0, 80) == []


def test_every_number_is_the_ledgers() -> None:
    for status in (GENERATING, TRAINING, ENDED, CANCELLED, WITHOUT_WORKERS):
        view = overview(status, FLEET)
        body = view.as_json()
        text = folded(shown(view, 120))
        assert body["headline"] == view.headline
        assert f"{status.failed} failed" in text
        assert f"{status.generated:,} generated" in text
        if status.kept is not None:
            assert f"{status.kept:,} kept, {status.rejected} rejected ({status.failed} of them failed jobs)" in text
        assert [cause["count"] for cause in body["failures"]] == [18, 9, 4]  # type: ignore[index,union-attr,call-overload]


TEXTS = [
    # text, width, lines
    ("a bb ccc", 20, ["a bb ccc"]),
    ("x" * 45, 20, ["x" * 20, "x" * 20, "x" * 5]),
    ("see `a b c` now and then", 20, ["see `a b c` now and", "then"]),
    ("again and again: `aj run`.", 20, ["again and again:", "`aj run`."]),  # the command stays whole
    ("漢字漢字漢字漢字漢字漢字", 20, ["漢字漢字漢字漢字漢字", "漢字"]),  # two columns each
    ("an `open backtick in a reason", 20, ["an `open backtick in", "a reason"]),
]


@pytest.mark.parametrize(("text", "width", "lines"), TEXTS)
def test_text_is_wrapped_between_words_and_commands(text: str, width: int, lines: list[str]) -> None:
    assert wrap(text, width) == lines


def test_a_command_longer_than_a_line_can_still_be_copied() -> None:
    command = f"applejack resubmit {'r' * 40} --kind endpoint_unreachable --worker {ANNA}"
    lines = wrap_command(command, 60, first="  ")
    assert max(map(len, lines)) <= 60
    assert all(line.endswith(" \\") for line in lines[:-1])
    assert folded(lines) == command
    assert "  --kind endpoint_unreachable \\" in lines  # the value stays with its option


def test_bar_and_sparkline_keep_their_width() -> None:
    assert bar(0, 10, 20, plain=True) == "--------------    0%"
    assert bar(999, 1000, 20, plain=True) == "#############-   99%"  # all is all
    assert bar(10, 10, 20, plain=True) == "##############  100%"
    assert sparkline([], 10) == ""
    assert sparkline([1.0, 1.0], 10) == "▁▁"
    assert sparkline([3.0, 2.0, 1.0, 0.0], 2) == "█▁"


def test_a_stage_that_reports_no_progress_has_no_bar() -> None:
    curating = replace(CURATED, stage="curate", kept=None, stages=stages(StageState.RUNNING, *[StageState.WAITING] * 2))
    assert "█" not in "".join(shown(overview(curating, FLEET), 80))
    assert "█" in "".join(shown(overview(GENERATING, FLEET), 80))


def test_troubled_workers_are_not_counted_as_working() -> None:
    assert [line.state for line in overview(GENERATING, TROUBLED).workers] == [
        "paused", "paused", "silent", "consuming", "gone",
    ]  # fmt: skip
