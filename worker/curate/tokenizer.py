"""The student's tokenizer and chat template, loaded offline; the only importer of transformers."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from jinja2 import TemplateError

from config.errors import CurationError, UsageError
from config.records import JsonObject

UNLIMITED = 1 << 40  # tokens; the budget is max_seq_length, and transformers warns at a smaller one of its own
REMEDY = (
    "give the student a template that can: copy worker/student/templates/chatml_tools.jinja into its directory as "
    "chat_template.jinja"
)
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
    """What rendering and proving need of a student: its template, its tokens, its stop tokens."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._tokenizer = _load(directory)
        self._tokenizer.model_max_length = UNLIMITED
        self.eos_id: int | None = self._tokenizer.eos_token_id
        self.eos_ids = frozenset(_eos_ids(directory) | ({self.eos_id} if self.eos_id is not None else set()))
        self.eos_texts = frozenset(str(self._tokenizer.convert_ids_to_tokens(number)) for number in self.eos_ids)
        vocabulary = self._tokenizer.get_vocab()
        # mlx_lm passes enable_thinking exactly when it finds thinking markers in the vocabulary
        self._thinking = any(f"<{name}>" in vocabulary for name in ("think", "longcat_think"))
        self.special = frozenset(str(token) for token in self._tokenizer.all_special_tokens)

    @property
    def template(self) -> str:
        """The chat template's source."""
        return str(self._tokenizer.chat_template)

    @property
    def template_hash(self) -> str:
        """Hex sha256 of the chat template."""
        return hashlib.sha256(self.template.encode()).hexdigest()

    def render(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject], *, prompt: bool = False) -> str:
        """The text of a conversation; `prompt` adds the generation prompt, as the server does. Raises RenderError."""
        try:
            text = self._tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                add_generation_prompt=prompt,
                tokenize=False,
                enable_thinking=self._thinking,
            )
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
            raise RenderError(f"the student's chat template cannot render this conversation: {error}") from error
        return str(text)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of rendered texts, without added special tokens, as apply_chat_template encodes them."""
        if not texts:
            return []
        encoded = self._tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
        return [list(row) for row in encoded["input_ids"]]

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a `{"text"}` row as mlx_lm's TextDataset makes them: encode, then eos unless it is the last."""
        ids = list(self._tokenizer.encode(text))
        if (not ids or ids[-1] != self.eos_id) and self.eos_id is not None:
            ids.append(self.eos_id)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return str(self._tokenizer.decode(list(ids)))

    def require_tools(self) -> None:
        """UsageError unless the template shows tools, calls, results and answers."""
        if self._tokenizer.chat_template is None:
            raise UsageError(f"the student {str(self.directory)!r} has no chat template; {REMEDY}")
        if not isinstance(self._tokenizer.chat_template, str):
            raise UsageError(f"the student {str(self.directory)!r} has several chat templates; {REMEDY}")
        try:
            text = self.render(PROBE, [PROBE_TOOL])
        except RenderError as error:
            raise UsageError(
                f"the chat template of {str(self.directory)!r} refuses tools ({error}); {REMEDY}"
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
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # it advises to install torch, which is not needed
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    from transformers import AutoTokenizer  # takes a second, and other processes never need it

    try:
        return AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"the tokenizer of {str(directory)!r} cannot be loaded: {reason}") from error


def _eos_ids(directory: Path) -> set[int]:
    """The stop tokens mlx_lm reads from config.json, which generation_config.json overrides."""
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
