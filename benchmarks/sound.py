"""Generates sound trajectories for the benchmarks: mined questions, real tool results, correct answers.

They are independent of the scripted teacher on purpose, with other wordings and other habits (reported empty results,
a corrected path, two calls in one turn), so that the checks are not measured on the data that they were written for.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from config.questions.general_knowledge import answer as general_answer
from config.questions.wording import FORMS, Question, needle, parse
from config.records import JsonObject, Limits, Message, Pin, Prompt, Provenance, ToolCall, Trajectory
from producer.mining.mine import mine
from worker.tools.patterns import RefusedError
from worker.tools.toolset import build, digest, schemas
from worker.tools.tree import Tree
from worker.tools.workspace import Workspace

NAMES = ("read_file", "grep", "find_files", "list_dir", "count")
SYSTEM = "You answer questions about the code in your workspace. Use the tools to look before you answer."
MISSING = ("Frobnicator", "QuuxAdapter", "zipline_hook", "unset_flywheel", "HyperBolt", "make_tea_pot")
MAX_TOKENS = Limits().max_tokens
LISTS = ("I found {n}: {items}.", "{items}.", "The answer is {items}.", "These are the ones:\n{bullets}")
COUNTS = ("There are {n}.", "{n}.", "I count {n} in total.", "The tool counted {n}.")


class Recorder:
    """Records one conversation, with real calls and numbered ids."""

    def __init__(self, question: str, tools: Mapping[str, Callable[[JsonObject], str]]) -> None:
        self._tools = tools
        self._count = 0
        self.messages = [Message(role="user", content=question)]

    def call(self, *requests: tuple[str, JsonObject], text: str = "") -> list[str]:
        """Add an assistant turn with these calls, and their results. Returns the results."""
        calls = []
        for name, arguments in requests:
            self._count += 1
            calls.append(ToolCall(id=f"call-{self._count:03d}", name=name, arguments=arguments))
        self.messages.append(Message(role="assistant", content=text, tool_calls=tuple(calls)))
        results = []
        for call in calls:
            try:
                content, failed = self._tools[call.name](dict(call.arguments)), False  # type: ignore[arg-type]
            except RefusedError as error:
                content, failed = str(error), True
            results.append(content)
            self.messages.append(
                Message(role="tool", tool_call_id=call.id, name=call.name, content=content, is_error=failed)
            )
        return results

    def answer(self, text: str) -> None:
        """Add the final answer."""
        self.messages.append(Message(role="assistant", content=text))


def sound(workspace: Path, count: int, *, seed: int = 0) -> Iterator[Trajectory]:
    """`count` sound trajectories. The same code and seed give the same trajectories."""
    rng = random.Random(seed)
    code = Tree.read(workspace)
    pin = Pin(origin=str(workspace), digest=code.digest)
    tools = build(Workspace(code.root, pin, code), names=NAMES)
    shown = schemas(NAMES)
    for number, mined in enumerate(mine([workspace], count=count, seed=seed, categories=list(FORMS))):
        missing = mined.requires_tools and rng.random() < 0.08
        prompt = _missing(rng, number) if missing else mined
        talk = Recorder(prompt.prompt, tools)
        if missing:
            _not_there(talk, prompt.prompt, rng)
        else:
            _converse(talk, prompt, rng)
        yield Trajectory(
            run_id="sound",
            job_id=f"{number:06d}-{prompt.content_hash[:8]}",
            prompt=prompt.prompt,
            category=prompt.category,
            requires_tools=prompt.requires_tools,
            expect=prompt.expect,
            system_prompt=SYSTEM,
            tools=shown,
            messages=tuple(talk.messages),
            outcome="completed",
            finish_reasons=tuple(
                "tool_calls" if message.tool_calls else "stop"
                for message in talk.messages
                if message.role == "assistant"
            ),
            provenance=Provenance(
                teacher="sound",
                endpoint="none",
                worker="benchmark",
                applejack_version="0",
                toolset_digest=digest(shown),
                workspace=pin,
            ),
        )


def _missing(rng: random.Random, number: int) -> Prompt:
    name = f"{rng.choice(MISSING)}{number}"
    return Prompt(prompt=f"Where is the class {name} defined?", category="where_defined")


def _not_there(talk: Recorder, prompt: str, rng: random.Random) -> None:
    question = parse(prompt)
    assert question is not None
    talk.call(("grep", {"pattern": needle(question)}))
    name = question.slots["name"]
    talk.answer(rng.choice((f"`{name}` is not defined in this code.", f"I found no class named {name}.")))


def _converse(talk: Recorder, prompt: Prompt, rng: random.Random) -> None:
    question = parse(prompt.prompt)
    assert question is not None
    assert prompt.expect is not None
    if prompt.requires_tools:
        if rng.random() < 0.1:
            talk.call(
                ("read_file", {"path": "src/main_entry.py"})
            )  # a wrong guess: an error, which the next call corrects
        _look(talk, question, rng)
    talk.answer(_answer(question, prompt.expect, rng))


def _look(talk: Recorder, question: Question, rng: random.Random) -> None:
    slots, category = question.slots, question.category
    text = rng.choice(("", "", "Let me look."))
    if category == "count_files":
        talk.call(("count", {"path": slots["folder"], "glob": "*.py"}), text=text)
    elif category == "count_matches":
        talk.call(("count", {"pattern": slots["name"], "path": slots["path"]}), text=text)
    elif category == "folder_files":
        talk.call(("list_dir", {"path": slots["folder"]}), text=text)
    elif category == "find_file":
        talk.call(("find_files", {"glob": slots["file"]}), text=text)
    elif category == "both_defined":
        requests = [("grep", {"pattern": rf"(class|def) {slots[name]}\b"}) for name in ("name", "other")]
        talk.call(*requests, text=text)  # two calls in one turn
    elif category == "contents":
        talk.call(("grep", {"pattern": needle(question), "path": slots["path"]}), text=text)
    else:
        hits = talk.call(("grep", {"pattern": needle(question), "glob": "*.py"}), text=text)
        if category in ("parameters", "decorators", "docstring"):
            path, line, _ = hits[0].split("\n")[0].split(":", 2)
            start = max(1, int(line) - 4)
            talk.call(("read_file", {"path": path, "start": start, "end": start + 16}))


def facts(expect: JsonObject | None) -> list[str]:
    """The names, paths and texts that an `expect` holds. A whole number is not one of them."""
    known = expect or {}
    folder = f"{known.get('folder')}/"
    for key in ("names", "parameters", "paths", "pairs", "contains"):
        found = known.get(key)
        if isinstance(found, dict | list):
            return [str(item).removeprefix(folder) for item in (found.values() if isinstance(found, dict) else found)]
    single = [known[key] for key in ("file", "value", "sentence", "number") if key in known]
    return [str(item) for item in single if not isinstance(item, int)]


def _answer(question: Question, expect: JsonObject, rng: random.Random) -> str:
    if told := general_answer(question.category, question.slots):
        return told
    if isinstance(number := expect.get("number"), int):
        return rng.choice(COUNTS).format(n=number)
    pairs = expect.get("pairs")
    texts = [f"{name} in {path}" for name, path in pairs.items()] if isinstance(pairs, dict) else facts(expect)
    quoted = [f"`{text}`" for text in texts] if rng.random() < 0.6 and not pairs else texts
    bullets = "\n".join(f"- {text}" for text in quoted)
    return rng.choice(LISTS).format(n=len(texts), items=", ".join(quoted), bullets=bullets)


def dump(trajectory: Trajectory) -> str:
    """One line of JSON."""
    return json.dumps(trajectory.model_dump(mode="json", exclude_none=True), ensure_ascii=False)
