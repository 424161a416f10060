"""Reads calls out of texts exactly as mlx_lm's server would: python -m worker.student.read_calls STUDENT < texts.json

A process of its own, since it imports mlx. Standard input is a JSON list of what an assistant said; the last line of
output is a JSON list with, for each, its calls as {"name", "arguments"}, and the name of the server's parser.
"""

import json
import sys
from pathlib import Path

from worker.student import fenced_json


def main() -> None:
    """Load the student's tokenizer, and with it the parser the server would infer."""
    fenced_json.register()
    from mlx_lm.generate import TextStateMachine, make_text_state_machine
    from mlx_lm.server import ToolCallFormatter
    from mlx_lm.tokenizer_utils import load

    tokenizer = load(Path(sys.argv[1]))
    told: list[list[dict[str, object]]] = []
    for text in json.load(sys.stdin):
        state = make_text_state_machine(tokenizer).make_state("normal")  # type: ignore[no-untyped-call]
        state, pieces = TextStateMachine.split(state, text)  # type: ignore[no-untyped-call]
        state, rest, last = TextStateMachine.flush(state)  # type: ignore[no-untyped-call]
        calls = [piece for name, piece in [*pieces, (last, rest)] if name == "tool" and piece]
        reader = ToolCallFormatter(tokenizer.tool_parser, None)  # type: ignore[no-untyped-call]
        read = reader(calls) if tokenizer.has_tool_calling else []
        told.append([{**call["function"], "arguments": json.loads(call["function"]["arguments"])} for call in read])
    print(json.dumps({"calls": told, "parser": tokenizer.init_kwargs.get("tool_parser_type")}))


if __name__ == "__main__":
    main()
