"""The sound sets: plain, parallel calls, honest "not found", prose. A kind of corruption is planted in some of them."""

import random
from collections.abc import Callable, Iterator

from benchmarks.corruptions.phrases import facts_of, number_of, pair, state, summary
from benchmarks.corruptions.pinned_code import Code, hits
from benchmarks.sound import NAMES, SYSTEM, Recorder, sound
from config.questions.wording import FORMS, TOOL_FORMS, Question, needle, parse, render
from config.records import JsonObject, Prompt, Provenance, Trajectory
from producer.mining.mine import mine
from worker.tools.toolset import digest, schemas

BESIDE = (None, "", "\n", "\n\n", "Let me look.")  # content beside calls, as servers send it
TOOLS = schemas(NAMES)


def plain(code: Code, count: int, seed: int) -> Iterator[Trajectory]:
    """Short answers, benchmarks/sound.py as it is, over the pinned commit."""
    for trajectory in sound(code.pinned.workspace.root, count, seed=seed):
        assert trajectory.provenance
        origin = trajectory.provenance.model_copy(update={"workspace": code.pinned.workspace.pin})
        yield trajectory.model_copy(update={"provenance": origin, "job_id": f"plain/{trajectory.job_id}"})


def prose(code: Code, count: int, seed: int) -> Iterator[Trajectory]:
    """Answers of a strong model: a sentence or a list, then lines, quotes, explanations that the results support."""
    rng = random.Random(seed)
    prompts = mine([code.pinned.workspace.root], count=count, seed=seed, no_tools_share=0.15, categories=list(FORMS))
    for number, prompt in enumerate(prompts):
        question = parse(prompt.prompt)
        assert question
        assert prompt.expect
        talk = Recorder(prompt.prompt, code.pinned.tools)
        results = look(talk, question, rng) if prompt.requires_tools else []
        talk.answer(_explained(question, prompt.expect, results, rng))
        yield recorded(code, prompt, talk, f"prose/{number:04d}")
    yield from _own_words(code, rng, {prompt.prompt for prompt in prompts})


def _own_words(code: Code, rng: random.Random, asked: set[str]) -> Iterator[Trajectory]:
    """Docstrings told in other words. Every second one has an `expect`, the first line of the docstring."""
    for number, (key, expect) in enumerate(code.pinned.facts.items()):
        question = Question(key[0], dict(part.split("=", 1) for part in key[1:]))
        own = summary(question.slots["name"]) if question.category == "docstring" else None
        text = render(question, rng.choice((0, 3)))
        if own is None or text in asked:
            continue
        talk = Recorder(text, code.pinned.tools)
        look(talk, question, rng)
        talk.answer(own)
        prompt = Prompt(prompt=text, category="docstring", expect=expect if number % 2 else None)
        yield recorded(code, prompt, talk, f"prose/own-{number:04d}")


def parallel(code: Code, count: int, seed: int) -> Iterator[Trajectory]:
    """Two calls in one turn, of one tool or of two, with null, empty or white content beside them."""
    rng = random.Random(seed)
    prompts = mine([code.pinned.workspace.root], count=count, seed=seed, no_tools_share=0, categories=list(TOOL_FORMS))
    for number, mined in enumerate(prompts):
        prompt = mined
        question = parse(prompt.prompt)
        assert question
        assert prompt.expect
        other = parse(prompts[number - 1].prompt)
        two = _two_in_one(code, question, rng) if other and rng.random() < 0.7 else None
        talk = Recorder(two[0].prompt if two else prompt.prompt, code.pinned.tools)
        if two:
            prompt, requests, answer = two
            talk.call(*requests, text=rng.choice(BESIDE))  # type: ignore[arg-type]
            talk.answer(answer)
        else:
            talk.call(*_pair_of_calls(question), text=rng.choice(BESIDE))  # type: ignore[arg-type]
            _read_on(talk, question)
            talk.answer(_stated(question, prompt.expect, talk.messages[2].content or "", rng))
        yield recorded(code, prompt, talk, f"parallel/{number:04d}")


def recorded(code: Code, prompt: Prompt, talk: Recorder, job_id: str) -> Trajectory:
    """The conversation as a trajectory of the pinned commit."""
    reasons = ("tool_calls" if m.tool_calls else "stop" for m in talk.messages if m.role == "assistant")
    return Trajectory(
        run_id="sound",
        job_id=job_id,
        prompt=prompt.prompt,
        category=prompt.category,
        requires_tools=prompt.requires_tools,
        expect=prompt.expect,
        system_prompt=SYSTEM,
        tools=TOOLS,
        messages=tuple(talk.messages),
        outcome="completed",
        finish_reasons=tuple(reasons),
        provenance=Provenance(
            teacher="sound",
            endpoint="none",
            worker="benchmark",
            applejack_version="0",
            toolset_digest=digest(TOOLS),
            workspace=code.pinned.workspace.pin,
        ),
    )


def look(talk: Recorder, question: Question, rng: random.Random) -> list[str]:
    """The calls that answer a question, one a turn, except for two names."""
    slots, category = question.slots, question.category
    text = rng.choice(("", "", "I'll search the code.", "Let me check."))
    requests: list[tuple[str, JsonObject]]
    if category == "both_defined":
        requests = [("grep", {"pattern": f"(class|def) {slots[slot]}[(:]"}) for slot in ("name", "other")]
    else:
        requests = [_single_call(question)]
    results = talk.call(*requests, text=text)
    return [*results, *_read_on(talk, question)]


def _single_call(question: Question) -> tuple[str, JsonObject]:
    slots = question.slots
    calls: dict[str, Callable[[], tuple[str, JsonObject]]] = {
        "count_files": lambda: ("count", {"path": slots["folder"], "glob": "*.py"}),
        "count_matches": lambda: ("count", {"pattern": slots["name"], "path": slots["path"]}),
        "folder_files": lambda: ("list_dir", {"path": slots["folder"]}),
        "find_file": lambda: ("find_files", {"glob": slots["file"]}),
        "contents": lambda: ("grep", {"pattern": needle(question), "path": slots["path"]}),
    }
    return calls.get(question.category, lambda: ("grep", {"pattern": needle(question), "glob": "*.py"}))()


def _pair_of_calls(question: Question) -> list[tuple[str, JsonObject]]:
    """The call that answers, and another useful one, in either order for two calls of the same tool."""
    slots, category = question.slots, question.category
    if category == "both_defined":
        return [("grep", {"pattern": f"(class|def) {slots[slot]}[(:]"}) for slot in ("name", "other")]
    first = _single_call(question)
    seconds: dict[str, tuple[str, JsonObject]] = {
        "count_files": ("list_dir", {"path": slots.get("folder", ".")}),
        "count_matches": ("grep", {"pattern": slots.get("name", ""), "path": slots.get("path", ".")}),
        "folder_files": ("find_files", {"glob": f"{slots.get('folder')}/*.py"}),
        "find_file": ("find_files", {"glob": f"*{slots.get('file', '').removesuffix('.py')}*"}),
        "contents": ("count", {"pattern": "^(class|def) ", "path": slots.get("path", ".")}),
        "importers": ("count", {"pattern": slots.get("module", "")}),
        "where_defined": ("grep", {"pattern": f"^{slots.get('name')} ="}),  # often without matches
    }
    return [first, seconds.get(category, ("count", {"pattern": slots.get("name", "")}))]


def _read_on(talk: Recorder, question: Question) -> list[str]:
    if question.category not in ("parameters", "decorators", "docstring"):
        return []
    path, line, _ = next(hits(talk.messages[2].content or ""))
    start = max(1, line - 4)
    return talk.call(("read_file", {"path": path, "start": start, "end": start + 16}))


def _two_in_one(
    code: Code, question: Question, rng: random.Random
) -> tuple[Prompt, list[tuple[str, JsonObject]], str] | None:
    """One question about two things of the same kind: two counts, two constants, two files."""
    slots, category = question.slots, question.category
    keys = [key for key in code.pinned.facts if key[0] == category and f"={next(iter(slots.values()))}" not in str(key)]
    if category not in ("count_files", "constant", "find_file") or not keys:
        return None
    key = rng.choice(keys)
    second = Question(category, dict(part.split("=", 1) for part in key[1:]))
    mine_, other = (next(iter(q.slots.values())) for q in (question, second))
    told = []
    for each in (question, second):
        expect = code.pinned.facts[(category, *(f"{k}={v}" for k, v in sorted(each.slots.items())))]
        told.append(str(number_of(expect)) if number_of(expect) is not None else facts_of(expect)[0])
    ask = {
        "count_files": f"How many Python files are under {mine_}, and how many under {other}?",
        "constant": f"What are the values of the constants {mine_} and {other}?",
        "find_file": f"Where are the files {mine_} and {other}?",
    }[category]
    answer = {
        "count_files": f"`{mine_}` has {told[0]} Python files and `{other}` has {told[1]}.",
        "constant": f"- {mine_}: {told[0]}\n- {other}: {told[1]}",
        "find_file": f"`{mine_}` is at {told[0]}, and `{other}` at {told[1]}.",
    }[category]
    prompt = Prompt(prompt=ask, category=category, expect={"contains": sorted(set(told))})
    return prompt, [_single_call(question), _single_call(second)], answer


def _stated(question: Question, expect: JsonObject, first: str, rng: random.Random) -> str:
    if question.category != "both_defined":
        return state(question, expect, rng)
    paths = facts_of(expect)
    return pair(question, *(paths if f"{paths[0]}:" in first else paths[::-1]), rng)


def _explained(question: Question, expect: JsonObject, results: list[str], rng: random.Random) -> str:
    text = _stated(question, expect, results[0] if results else "", rng)
    found = list(hits(results[0])) if results else []
    extras = [_searched(rng), ""]
    if found and question.category in ("where_defined", "constant", "parameters", "decorators", "docstring"):
        path, line, code_line = found[0]
        extras += [f"It is on line {line} of `{path}`.", f"See `{path}:{line}`.", f"**Line {line}:** `{code_line}`"]
        extras += [f"The line reads:\n\n```python\n{code_line}\n```"]
    if found and question.category in ("subclasses", "contents"):
        lines = "\n".join(f"- line {line} of {path}" for path, line, _ in found)
        extras += [f"Places:\n{lines}", f"The first one is on line {found[0][1]} of {found[0][0]}."]
    items = facts_of(expect)
    if len(items) > 1 and question.category != "both_defined":
        extras += [f"That makes {len(items)} in total.", f"In short: {len(items)} entries, from `{items[0]}` on."]
    if question.category == "docstring" and len(items[0].split()) > 4:
        quoted = " ".join(items[0].split()[:4])
        extras.append(f'Its docstring begins with "{quoted}".')
    if not results:
        extras = ["", "Let me know if you want an example.", "I did not need a tool for this."]
    after = "\n\n" if text.rpartition("\n")[2].startswith("- ") else " "
    return f"{text}{after}{rng.choice(extras)}".rstrip() if results or rng.random() < 0.4 else text


def _searched(rng: random.Random) -> str:
    return rng.choice(
        ("I found this with a single search.", "This comes from the search result above.", "Hope this helps!")
    )
