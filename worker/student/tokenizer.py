"""The student's tokenizer and chat template, loaded offline; the only importer of transformers."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from config.errors import CurationError, UsageError
from config.records import JsonObject
from worker.student.segments import Segments

UNLIMITED = 1 << 40  # tokens; max_seq_length is the limit, and transformers would warn at the model's own
TEMPLATE = Path(__file__).parents[1] / "student" / "templates" / "chatml_tools.jinja"
REMEDY = f"give the student a template that can: copy {TEMPLATE} into its directory as chat_template.jinja"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")
PROBE_TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "Looks something up.",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string"}}, "required": ["probe_key"]},
    },
}
PROBE_CALL: JsonObject = {
    "id": "probe00000",
    "type": "function",
    "function": {"name": "probe_tool", "arguments": {"probe_key": "probe value"}},
}
PROBE: list[JsonObject] = [
    {"role": "user", "content": "probe question"},
    {"role": "assistant", "content": "", "tool_calls": [PROBE_CALL]},
    {"role": "tool", "tool_call_id": "probe00000", "name": "probe_tool", "content": "probe result"},
    {"role": "assistant", "content": "probe answer"},
]


class RenderError(CurationError):
    """The student's template cannot express this conversation."""


class Student:
    """A student's chat template, tokenizer and stop tokens, for rendering and for the loss-mask check."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tokenizer = _load(directory)
        self._tokenizer.model_max_length = UNLIMITED
        self._tokenizer("", add_special_tokens=False)  # removes truncation and padding set in tokenizer.json
        self.eos_id: int | None = self._tokenizer.eos_token_id
        self.eos_ids = frozenset(_eos_ids(directory) | ({self.eos_id} if self.eos_id is not None else set()))
        self.eos_texts = frozenset(str(self._tokenizer.convert_ids_to_tokens(number)) for number in self.eos_ids)
        vocabulary = self._tokenizer.get_vocab()
        # mlx_lm passes enable_thinking only if the vocabulary has thinking markers
        self._thinking = any(f"<{name}>" in vocabulary for name in ("think", "longcat_think"))
        self.special = frozenset(str(token) for token in self._tokenizer.all_special_tokens)
        self._segments = Segments(self._encode, _control_tokens(self._tokenizer))
        self._around = self._special_around()

    @property
    def template(self) -> str:
        """Source of the chat template."""
        return str(self._tokenizer.chat_template)

    @property
    def template_hash(self) -> str:
        """Hex sha256 of the chat template."""
        return hashlib.sha256(self.template.encode()).hexdigest()

    def render(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], *, prompt: bool = False) -> str:
        """The text of a conversation. `prompt` adds the generation prompt, as the server does. Raises RenderError."""
        return self.render_each([messages], tools, prompt=prompt)[0]

    def render_each(
        self, conversations: Sequence[Sequence[JsonObject]], tools: Sequence[JsonObject], *, prompt: bool = False
    ) -> list[str]:
        """`render` for several conversations with the same tools, which are processed once. Raises RenderError."""
        if not conversations:
            return []
        if not all(conversations):
            raise RenderError("the student's chat template cannot render this conversation: it has no messages")
        try:
            texts = self._tokenizer.apply_chat_template(
                [list(messages) for messages in conversations],
                tools=list(tools) or None,
                add_generation_prompt=prompt,
                tokenize=False,
                enable_thinking=self._thinking,
            )
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise RenderError(f"the student's chat template cannot render this conversation: {error}") from error
        return [str(text) for text in texts]

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of rendered texts, encoded as by apply_chat_template: without added special tokens."""
        if self._segments.usable:
            return [self._segments.ids(text) for text in texts]
        return self._encode(texts)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a `{"text"}` row as in mlx_lm's TextDataset: encode, then add a missing eos token."""
        if self._around is not None and self._segments.usable:
            before, behind = self._around
            ids = [*before, *self._segments.ids(text), *behind]
        else:
            ids = list(self._tokenizer.encode(text))
        if (not ids or ids[-1] != self.eos_id) and self.eos_id is not None:
            ids.append(self.eos_id)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, including special tokens."""
        return str(self._tokenizer.decode(list(ids)))

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None:  # a tokenizer written in Python, which few models still have
            return [list(row) for row in self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
        # Does the same as the line above in half the time, without offsets and masks.
        return [encoded.ids for encoded in fast.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _special_around(self) -> tuple[list[int], list[int]] | None:
        """The tokens that encoding adds before and after a text; None if they differ between two texts."""
        found = []
        for text in ("a", "What is it?"):
            bare, whole = self._encode([text])[0], list(self._tokenizer.encode(text))
            start = next((n for n in range(len(whole)) if whole[n : n + len(bare)] == bare), None)
            if start is None:
                return None
            found.append((whole[:start], whole[start + len(bare) :]))
        return found[0] if found[0] == found[1] else None

    def require_tools(self) -> None:
        """Raises UsageError unless the template renders tools, calls, results and answers."""
        if self._tokenizer.chat_template is None:
            raise UsageError(f"the student {str(self.directory)!r} has no chat template; {REMEDY}")
        if not isinstance(self._tokenizer.chat_template, str):
            raise UsageError(f"the student {str(self.directory)!r} has several chat templates; {REMEDY}")
        try:
            text = self.render(PROBE, [PROBE_TOOL])
        except RenderError as error:
            raise UsageError(
                f"the chat template of {str(self.directory)!r} fails with tools ({error}); {REMEDY}"
            ) from error
        parts = {
            "the tools": "probe_key" in text.split("probe question")[0] or text.count("probe_tool") > 1,
            "tool calls": "probe value" in text,
            "tool results": "probe result" in text,
            "answers": "probe answer" in text,
        }
        missing = [part for part, shown in parts.items() if not shown]
        if missing:
            raise UsageError(
                f"the chat template of {str(self.directory)!r} leaves out {' and '.join(missing)}; {REMEDY}"
            )


def _load(directory: Path):  # type: ignore[no-untyped-def]  # noqa: ANN202 - transformers has no types
    if not directory.is_dir():
        raise UsageError(f"no student at {str(directory)!r}: give the directory of a model with its tokenizer files")
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        raise UsageError(
            f"the student {str(directory)!r} has no tokenizer: none of {', '.join(TOKENIZER_FILES)} exists"
        )
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it recommends torch, which is not needed
    os.environ.setdefault(
        "TOKENIZERS_PARALLELISM", "false"
    )  # texts are encoded one at a time, so threads only add cost
    from transformers import AutoTokenizer  # takes a second to import

    try:
        return AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"the tokenizer of {str(directory)!r} cannot be loaded: {reason}") from error


def _control_tokens(tokenizer: Any) -> dict[str, int]:  # noqa: ANN401 - transformers has no types
    """The tokens that every text is split at first; empty if some of them absorb white space."""
    added = {str(token): (number, token) for number, token in tokenizer.added_tokens_decoder.items()}
    raw = {text: pair for text, pair in added.items() if not pair[1].normalized}
    if any(token.lstrip or token.rstrip or token.single_word for _, token in raw.values()):
        return {}
    return {text: number for text, (number, _) in raw.items()}


def _eos_ids(directory: Path) -> set[int]:
    """The stop tokens that mlx_lm uses: those of generation_config.json, else of config.json."""
    found: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        file = directory / name
        if not file.is_file():
            continue
        try:
            value = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id")
        except (ValueError, AttributeError):
            continue
        ids = {number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)}
        found = ids or found
    return found
