"""The training loop: mlx_lm's for one process, with a state that is saved and from which it goes on.

mlx_lm's own loop saves weights only and always starts at the first iteration. This one makes the same updates
(tests/integration/test_train_resume.py compares the weights), and also saves the optimizer's state, mlx's random state
and its counters. It trains on merged sequences (sequences.py), in batches of similar length. The order of the batches
is replayed: numpy's generator is drawn from as often as the iterations that are skipped drew from it.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.utils import value_and_grad
from mlx.optimizers import Optimizer
from mlx.utils import tree_flatten, tree_map, tree_unflatten
from mlx_lm.tuner.trainer import TrainingArgs, grad_checkpoint
from mlx_lm.utils import maybe_set_recommended_wired_limit

from config.records import TrainProgress
from worker.train.checkpoints import Checkpoint, State, Writer
from worker.train.loss import Batch, Loss, arrays, endless_batches, loss_of
from worker.train.sequences import TrainingSequence, grouped

OPTIMIZER = "optimizer.safetensors"

Gradient = dict[str, object] | None
Step = Callable[[Batch, Gradient, bool], tuple[mx.array, mx.array, Gradient]]


class DivergedError(Exception):
    """A loss or a weight is not a finite number."""


@dataclass
class Counters:
    """Progress of the loop; the last four count from the last report."""

    trained_tokens: int = 0
    loss: float = 0.0
    tokens: int = 0
    steps: int = 0
    step_seconds: float = 0.0

    def reported(self) -> None:
        """Start to count anew."""
        self.trained_tokens += self.tokens
        self.loss, self.tokens, self.steps, self.step_seconds = 0.0, 0, 0, 0.0


@dataclass
class Loop:
    """One training. `report` receives each report, `save` each state with a function that writes the arrays."""

    model: Module
    optimizer: Optimizer
    args: TrainingArgs
    report: Callable[[TrainProgress], None]
    save: Callable[[State, Writer], None]
    resume: Checkpoint | None = None
    counters: Counters = field(default_factory=Counters)
    reports: list[TrainProgress] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    """on the monotonic clock; after an interruption, when it would have begun without one"""

    def run(self, training: Sequence[TrainingSequence], validation: Sequence[TrainingSequence]) -> None:
        """Train from the first iteration, or from the one after the checkpoint, to the last. DivergedError."""
        maybe_set_recommended_wired_limit()
        if self.args.grad_checkpoint:
            grad_checkpoint(self.model.layers[0])  # type: ignore[no-untyped-call]
        done = self._restore()
        self.model.eval()  # loss_of calls it: dropout would draw from the random state that was just restored
        loss = loss_of(self.model)
        step = self._compiled_step(loss)
        self.model.train()
        accumulated: Gradient = None
        for iteration, batch in zip(
            range(1, self.args.iters + 1), endless_batches(training, self.args.batch_size), strict=False
        ):
            if iteration <= done:
                continue
            if validation and self._is_due(iteration, self.args.steps_per_eval, first=True):
                self._validate(loss, validation, iteration - 1)
            accumulated = self._train(step, batch, accumulated, iteration)
            if self._is_due(iteration, self.args.steps_per_report):
                self._report_training(iteration)
            if self._is_due(iteration, self._steps_per_save):
                self._save(iteration)

    def _compiled_step(self, loss_function: Loss) -> Step:
        loss_and_gradient = value_and_grad(self.model, loss_function)
        parts = self.args.grad_accumulation_steps
        state = [self.model.state, self.optimizer.state, mx.random.state]

        @partial(mx.compile, inputs=state, outputs=state)
        def step(batch: Batch, earlier: Gradient, update: bool) -> tuple[mx.array, mx.array, Gradient]:
            (loss, tokens), gradient = loss_and_gradient(self.model, *batch)
            if earlier is not None:
                gradient = tree_map(lambda new, old: new + old, gradient, earlier)
            if update:
                if parts > 1:
                    gradient = tree_map(lambda summed: summed / parts, gradient)
                self.optimizer.update(self.model, gradient)
                gradient = None
            return loss, tokens, gradient

        return step

    def _train(self, step: Step, batch: Batch, accumulated: Gradient, iteration: int) -> Gradient:
        started = time.perf_counter()
        update = iteration % self.args.grad_accumulation_steps == 0
        loss, tokens, accumulated = step(batch, accumulated, update)
        mx.eval(self.model.state, self.optimizer.state, mx.random.state, loss, tokens, accumulated)
        if mx.get_cache_memory() > self.args.clear_cache_threshold:
            mx.clear_cache()
        counters = self.counters
        counters.loss += float(loss.item())  # type: ignore[arg-type]  # it is real
        counters.tokens += int(tokens.item())  # type: ignore[arg-type]
        counters.steps += 1
        counters.step_seconds += time.perf_counter() - started
        if not math.isfinite(counters.loss):
            raise DivergedError(f"the train loss is {counters.loss!r} at iteration {iteration}")
        return accumulated

    def _validate(self, loss_function: Loss, validation: Sequence[TrainingSequence], iteration: int) -> None:
        """Report the mean loss per token of the validation sequences, of the first val_batches unless it is -1."""
        self.model.eval()
        summed, counted = mx.array(0.0), mx.array(0.0)
        batches = grouped(validation, self.args.batch_size)
        for batch in batches if self.args.val_batches < 0 else batches[: self.args.val_batches]:
            mean, tokens = loss_function(self.model, *arrays(batch))
            summed, counted = summed + mean * tokens, counted + tokens
            mx.eval(summed, counted)
        loss = float((summed / counted).item())  # type: ignore[arg-type]  # it is real
        self.model.train()
        self._report(TrainProgress(iteration=iteration, iterations=self.args.iters, valid_loss=loss))
        if not math.isfinite(loss):
            raise DivergedError(f"the validation loss is {loss!r} at iteration {iteration}")

    def _report_training(self, iteration: int) -> None:
        counters = self.counters
        progress = TrainProgress(
            iteration=iteration,
            iterations=self.args.iters,
            train_loss=counters.loss / counters.steps,
            learning_rate=self.optimizer.learning_rate.item(),
            tokens_per_second=counters.tokens / counters.step_seconds,
            iterations_per_second=counters.steps / counters.step_seconds,
            trained_tokens=counters.trained_tokens + counters.tokens,
            peak_memory_gb=mx.get_peak_memory() / 1e9,
        )
        counters.reported()
        self._report(progress)

    def _report(self, progress: TrainProgress) -> None:
        timed = progress.model_copy(update={"seconds": round(time.monotonic() - self.began, 1)})
        self.reports.append(timed)
        self.report(timed)

    def _is_due(self, iteration: int, every: int, *, first: bool = False) -> bool:
        return iteration % every == 0 or iteration == self.args.iters or (first and iteration == 1)

    @property
    def _steps_per_save(self) -> int:
        """A multiple of the accumulation steps: a partly accumulated gradient is not saved."""
        parts = self.args.grad_accumulation_steps
        return math.ceil(self.args.steps_per_save / parts) * parts

    def _save(self, iteration: int) -> None:
        trainable = self.model.trainable_parameters()  # type: ignore[no-untyped-call]
        weights = dict(tree_flatten(trainable))
        if not all(bool(mx.all(mx.isfinite(weight)).item()) for weight in weights.values()):
            raise DivergedError(f"a weight is not a finite number after iteration {iteration}")
        optimizer = dict(tree_flatten(self.optimizer.state))
        high, low = cast("list[int]", mx.random.state[0].tolist())  # type: ignore[index]
        state = State(
            iteration=iteration,
            seconds=round(time.monotonic() - self.began, 1),
            random_key=(high, low),
            reports=tuple(self.reports),
            **vars(self.counters),
        )

        def write(folder: Path) -> None:
            mx.save_safetensors(str(folder / Path(self.args.adapter_file).name), weights)
            mx.save_safetensors(str(folder / OPTIMIZER), optimizer)

        self.save(state, write)

    def _restore(self) -> int:
        """Load the checkpoint to resume from and repeat its reports; returns the iterations done."""
        if self.resume is None:
            return 0
        state = self.resume.state
        self.model.load_weights(str(self.resume.path / Path(self.args.adapter_file).name), strict=False)
        arrays = cast("dict[str, mx.array]", mx.load(str(self.resume.path / OPTIMIZER)))
        self.optimizer.state = tree_unflatten(list(arrays.items()))
        high, low = state.random_key
        mx.random.seed(high << 32 | low)  # a seed is the generator's key
        self.counters = Counters(state.trained_tokens, state.loss, state.tokens, state.steps, state.step_seconds)
        self.began -= state.seconds
        for progress in state.reports:
            self.reports.append(progress)
            self.report(progress)
        return state.iteration
