"""What mlx_lm itself makes of a dataset and of requests: python -m tests.support.mlx_rows STUDENT < asked.json

Runs in a process of its own, since mlx is never imported in the others. `asked` is {"turns": rows, "text": rows,
"requests": [{"messages", "tools"}, ...], "said": [...]}; told are, for each row, its ids, its offset and the positions
the real loss counts; for each request the ids the server would prefill; for each text said the calls its parser reads.
"""

import json
import sys
from pathlib import Path
from types import ModuleType

from worker.student import fenced_json


def main() -> None:
    fenced_json.register()
    import types

    import mlx.core as mx
    from mlx_lm.generate import TextStateMachine, make_text_state_machine
    from mlx_lm.server import ToolCallFormatter, process_message_content
    from mlx_lm.tokenizer_utils import load
    from mlx_lm.tuner.datasets import create_dataset

    asked = json.load(sys.stdin)
    tokenizer = load(Path(sys.argv[1]))
    told = {"turns": [], "text": [], "requests": [], "calls": []}
    for name, masked in (("turns", True), ("text", False)):
        if not asked[name]:
            continue
        dataset = create_dataset(asked[name], tokenizer, types.SimpleNamespace(mask_prompt=masked))
        for index in range(len(dataset)):
            ids, offset = dataset.process(dataset[index])
            told[name].append({"ids": list(ids), "offset": offset, "loss": _loss_positions(mx, len(ids), offset)})
    for request in asked["requests"]:
        process_message_content(request["messages"])
        ids = tokenizer.apply_chat_template(
            request["messages"], tools=request["tools"] or None, add_generation_prompt=True, tokenize=True
        )
        told["requests"].append(list(ids))
    for text in asked["said"]:
        state = make_text_state_machine(tokenizer).make_state("normal")
        state, pieces = TextStateMachine.split(state, text)
        state, rest, last = TextStateMachine.flush(state)
        calls = [piece for name, piece in [*pieces, (last, rest)] if name == "tool" and piece]
        told["calls"].append(ToolCallFormatter(tokenizer.tool_parser, None)(calls))
    print(json.dumps(told))


def _loss_positions(mx: ModuleType, length: int, offset: int) -> list[int]:
    """Target positions inside the row whose prediction default_loss counts, by its own mask on a padded row."""
    padded = 1 + 32 * ((length + 31) // 32)
    steps = mx.arange(1, padded)
    mask = mx.logical_and(steps >= offset, steps <= length)
    return [step for step, counted in zip(steps.tolist(), mask.tolist(), strict=True) if counted and step < length]


if __name__ == "__main__":
    main()
