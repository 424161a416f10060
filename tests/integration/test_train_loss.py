"""The loss at chosen positions equals that over all logits, and is chosen only where it does."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.tiny_student import make_tiny_student
from worker.student.cpu_blas.blas import mlx_environment

CODE = """
    import sys
    import mlx.core as mx, mlx.nn as nn, mlx_lm
    from worker.train.loss import all_logits, arrays, chosen_logits, loss_of, selected_logits
    from worker.train.sequences import TrainingSequence
    model = mlx_lm.load(sys.argv[1])[0]
    assert chosen_logits(model) is selected_logits
    batch = [TrainingSequence(tuple(range(3, 40)), ((5, 9), (30, 37))),
             TrainingSequence(tuple(range(9, 20)), ((4, 11),))]
    tokens, positions, targets, weights = arrays(batch)
    loss, count = loss_of(model)(model, tokens, positions, targets, weights)
    assert count.item() == 18
    logits = model(tokens[:, :-1])
    every = nn.losses.cross_entropy(logits, tokens[:, 1:])
    wanted = [every[row, at - 1] for row, spans in enumerate(((range(5, 9), range(30, 37)), (range(4, 11),)))
              for span in spans for at in span]
    assert abs(loss.item() - (sum(wanted) / 18).item()) < 1e-5, (loss, wanted)

    class Scaled(nn.Module):  # a model whose output layer is not applied as selected_logits does
        def __init__(self): super().__init__(); self.model = model.model
        def __call__(self, tokens): return model(tokens) * 0.25
    assert chosen_logits(Scaled()) is all_logits
    class Other(nn.Module):  # a model of another build
        def __call__(self, tokens): return model(tokens)
    assert chosen_logits(Other()) is all_logits
"""


def test_the_loss_at_chosen_positions_is_the_model_s(tmp_path: Path) -> None:
    student = make_tiny_student(tmp_path / "student")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), str(student)],
        env={**os.environ, **mlx_environment()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
