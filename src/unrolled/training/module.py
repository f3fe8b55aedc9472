"""One LightningModule for all tasks: the steps of training and evaluation around a model."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from unrolled.data.batches import Batch
from unrolled.errors import DivergedError
from unrolled.figures.draw import draw
from unrolled.models.model import RecurrentModel
from unrolled.recurrence.stack import States, detach
from unrolled.runs.figures import Figure
from unrolled.tasks.boards import board_of
from unrolled.tasks.task import Data, Draws, Task
from unrolled.training.averaging import AveragingOptimizer

# Steps of all sequences together that an evaluation runs at a time, where the state is carried:
# its memory is then bounded, whatever a batch holds.
ROWS = 1 << 17
# No parameters or modules; the last is how Lightning notes which hook runs.
SET_AT_EACH_STEP = ("states", "gradient_norm", "rate_factor", "_current_fx_name")


class TaskModule(pl.LightningModule):
    """Trains and evaluates a task's model; metrics are named ``<split>/<metric>``.

    Where the task carries the state, it goes from batch to batch without its gradient, and starts
    anew with each epoch and each evaluation.

    Args:
        task: what is learned.
        data: as the task prepared it.
        model: the network.
        make_optimizer: from parameters to an optimizer.
        make_schedule: from the optimizer to Lightning's scheduler configuration.
        log_every_steps: how often training metrics are logged.

    Attributes:
        results: for each split, the metrics of its latest evaluation, exact.
        figures: for each split, what its latest evaluation measured besides numbers.
        tested_split: which split Lightning's test loop is over.
        since_validation: the training loss since the latest validation.

    Raises:
        DivergedError: the training loss, or a test's, is infinite or not a number.
    """

    def __init__(
        self,
        task: Task,
        data: Data,
        model: RecurrentModel,
        make_optimizer: Callable[[Any], Optimizer],
        make_schedule: Callable[[Optimizer], dict[str, Any]],
        *,
        log_every_steps: int,
    ) -> None:
        super().__init__()
        self.task = task
        self.data = data
        self.model = model
        self.make_optimizer = make_optimizer
        self.make_schedule = make_schedule
        self.log_every_steps = log_every_steps
        self.evaluator: Any = None
        self.tested_split = "test"
        self.states: States | None = None
        self.evaluation_states: States | None = None
        self.gradient_norm: Tensor | None = None
        self.rate_factor = 1.0
        self.results: dict[str, dict[str, float]] = {}
        self.figures: dict[str, dict[str, Figure]] = {}
        self.since_log = LossSum()
        self.since_validation = LossSum()
        # The first step whose loss was not finite, or -1; kept on the device, where asking would
        # wait.
        self.first_bad_step: Tensor
        self.register_buffer("first_bad_step", torch.tensor(-1), persistent=False)

    def __setattr__(self, name: str, value: Any) -> None:
        # A module's own way looks through its parameters each time.
        if name in SET_AT_EACH_STEP:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def training_state_dict(self) -> dict[str, Any]:
        """What the next step depends on besides the weights, as plain data: the recurrent state,
        and the sums of metrics under way."""
        return {
            # A copy, since a view would be written with all steps that it is a part of.
            "states": tree_map_only(Tensor, torch.clone, self.states),
            "gradient_norm": self.gradient_norm,
            "since_log": self.since_log.state(),
            "since_validation": self.since_validation.state(),
        }

    def load_training_state_dict(self, carried: dict[str, Any]) -> None:
        """Put back what ``training_state_dict`` gave."""
        self.states = carried["states"]
        self.gradient_norm = carried["gradient_norm"]
        self.since_log.restore(carried["since_log"])
        self.since_validation.restore(carried["since_validation"])

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": self.make_schedule(optimizer)}

    def on_train_epoch_start(self) -> None:
        self.states = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.rate_factor = batch.rate_factor
        hidden, states = self.model(batch.inputs, self.states, batch.lengths, batch.padded)
        if self.task.carries_state:
            self.states = detach(states)
        head, predicted = self.model.head, None
        step = self.global_step + 1
        if step % self.log_every_steps == 0:
            loss, predicted = head.loss_and_predictions(hidden, batch.targets)
        else:
            loss = head.loss(hidden, batch.targets)
        # Ranks average their gradients, and each sees its share of the batch's targets; this makes
        # the average exactly the gradient of the mean over the whole batch.
        world_size = self.trainer.world_size
        total = loss.detach() if world_size == 1 else loss.detach() * world_size
        # Plain numbers where they are at hand: a dozen operations on a tensor of one number take
        # longer than a small model's loss.
        summed = total if total.is_cuda else total.item()
        self._refuse_divergence(summed, step)
        self.since_log.add(summed, batch.size)
        self.since_validation.add(summed, batch.size)
        if predicted is not None:
            self._log_training(predicted, batch.targets, step)
        penalty = self.model.take_penalty()
        mean = loss * (world_size / batch.size)
        return mean if penalty is None else mean + penalty

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of the whole gradient, and skip the pass over it when nothing is
        clipped."""
        # The optimizer has them in a list; to collect them from the modules takes longer.
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        on_gpu = gradients[0].is_cuda
        if on_gpu:
            self.gradient_norm = torch.nn.utils.get_total_norm(gradients)
        else:
            # The same to the last digit, without sorting them by device and type.
            norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
            self.gradient_norm = torch.linalg.vector_norm(torch.stack(norms))
        if gradient_clip_val is None:
            return
        if on_gpu or float(self.gradient_norm) > gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(parameters, gradient_clip_val, self.gradient_norm)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.rate_factor != 1:
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * self.rate_factor

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """A step at the rate of the batch, which holds for this step alone."""
        rates = [group["lr"] for group in optimizer.param_groups]
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.rate_factor != 1:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def on_validation_epoch_start(self) -> None:
        for optimizer in self._averaging_optimizers():
            optimizer.begin_evaluation()
        self._start_evaluation("validation")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        # A recurrent network may overflow over a whole split early in training and learn on; the
        # training loss decides whether it diverged, and the last validation at the end.
        self._finish_evaluation("validation")

    def on_validation_end(self) -> None:
        # After every callback, so that samples and the best checkpoint are of the averages, too.
        for optimizer in self._averaging_optimizers():
            monitor = self.task.monitor
            mode = self.task.describe().metric(monitor).direction
            optimizer.end_evaluation(self.results["validation"][monitor], mode)

    def _averaging_optimizers(self) -> list[AveragingOptimizer]:
        return [one for one in self.trainer.optimizers if isinstance(one, AveragingOptimizer)]

    def on_test_epoch_start(self) -> None:
        self._start_evaluation(self.tested_split)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        results = self._finish_evaluation(self.tested_split)
        self.require_finite(self.tested_split, results)

    def require_finite(self, split: str, results: dict[str, float]) -> None:
        """Refuse an evaluation whose loss is not finite.

        Raises:
            DivergedError: it is not.
        """
        loss = results[f"{split}/loss"]
        if not math.isfinite(loss):
            raise DivergedError(
                f"the {split} loss became {loss} at step {self.global_step}; "
                "lower optimizer.lr or trainer.gradient_clip"
            )

    def _start_evaluation(self, split: str) -> None:
        self.evaluation_states = None
        self.evaluator = self.task.evaluator(self.data, split)
        if isinstance(self.evaluator, torch.nn.Module):
            self.evaluator.to(self.device)

    def _evaluate(self, batch: Batch) -> None:
        for part in self._parts(batch):
            before = self.evaluation_states
            hidden, states = self.model(part.inputs, before, part.lengths, part.padded)
            if self.task.carries_state:
                self.evaluation_states = states
            self.evaluator.update(self.model.head, hidden, part.targets)

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        """A batch of evaluation, in parts along time where it is long and the state is carried."""
        steps, sequences = batch.inputs.shape[:2]
        length = max(1, ROWS // sequences)
        if steps <= length or not self.task.carries_state or batch.lengths is not None:
            yield batch
            return
        for inputs, targets in zip(
            batch.inputs.split(length), batch.targets.split(length), strict=True
        ):
            yield batch._replace(inputs=inputs, targets=targets)

    def _finish_evaluation(self, split: str) -> dict[str, float]:
        values = {
            name: self._number(name, value) for name, value in self.evaluator.compute().items()
        }
        results = {f"{split}/{name}": value for name, value in values.items()}
        self.results[split] = results
        self.figures[split] = self.evaluator.figures() if isinstance(self.evaluator, Draws) else {}
        # For checkpoints, early stopping and schedules; Lightning rounds them, a record must not.
        self.log_dict(results, logger=False)
        for logger in self.loggers:
            # A test is a single dot, which TensorBoard would show before the curves; its table of
            # runs has it, and trackers have it among their results.
            if split == "validation" or isinstance(logger, CSVLogger):
                logger.log_metrics(results, self.global_step)
        boards = [board for logger in self.loggers if (board := board_of(logger)) is not None]
        for name, figure in self.figures[split].items() if boards else ():
            picture = draw({"": [figure]}, f"{split} {name.replace('_', ' ')}")
            for board in boards:
                board.add_figure(f"{split}/{name}", picture, self.global_step)
        return results

    def _number(self, name: str, value: float) -> float:
        """A figure for a record: what is not a number is as bad as the metric can be."""
        if not math.isnan(value):
            return value
        return math.inf if self.task.metrics[name].lower_is_better else -math.inf

    def _log_training(self, predicted: Tensor, targets: Tensor, step: int) -> None:
        values = self.task.training_metrics(self.data, self.since_log.mean(), predicted, targets)
        self.since_log.reset()
        logged = {f"train/{name}": value for name, value in values.items()}
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        logged["optimizer/lr"] = optimizer.param_groups[0]["lr"]
        if self.gradient_norm is not None:
            # The step before's: this one's gradient is not there yet.
            logged["optimizer/gradient_norm"] = float(self.gradient_norm)
        # Not through Lightning, which would write them again at each step until the next ones.
        for logger in self.loggers:
            logger.log_metrics(logged, step)

    def _refuse_divergence(self, loss: Tensor | float, step: int) -> None:
        if isinstance(loss, Tensor):
            bad = ~torch.isfinite(loss) & (self.first_bad_step < 0)
            self.first_bad_step = torch.where(bad, step, self.first_bad_step)
            # Reading the answer at every step would make the CPU wait for it.
            step = int(self.first_bad_step) if step % self.log_every_steps == 0 else -1
        elif math.isfinite(loss):
            return
        if step == 1:
            raise DivergedError(
                "the training loss is infinite or not a number at step 1, before any weight has "
                "changed: the model itself gives it; look at the cell (unrolled check), at "
                "model.initialization_range and at the data"
            )
        if step > 1:
            raise DivergedError(
                f"the training loss became infinite or not a number at step {step}; lower "
                "optimizer.lr or trainer.gradient_clip"
            )


class LossSum:
    """A running sum of losses and the targets it is over, kept where it is computed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self.total: Tensor | float | None = None
        self.count = 0

    def add(self, loss: Tensor | float, count: int) -> None:
        """Add the loss of ``count`` targets together."""
        # In double precision, which a number of Python's is.
        first = loss.double() if isinstance(loss, Tensor) else loss
        self.total = first if self.total is None else self.total + loss
        self.count += count

    def mean(self) -> float:
        """The loss of a target; NaN before anything was added."""
        return float(self.total) / self.count if self.total is not None else math.nan

    def state(self) -> tuple[Tensor | None, int]:
        """The sum and its targets."""
        total = self.total
        if total is not None:
            total = torch.as_tensor(total, dtype=torch.float64)
        return total, self.count

    def restore(self, state: tuple[Tensor | None, int]) -> None:
        """Put back what ``state`` gave."""
        self.total, self.count = state
