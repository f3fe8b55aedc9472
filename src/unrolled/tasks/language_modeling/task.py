"""Language modeling: one LightningModule around the generic recurrent language model."""

import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from unrolled.data.streams import IGNORE, TokenBatch
from unrolled.errors import DivergedError
from unrolled.models.language_model import RecurrentLanguageModel
from unrolled.recurrence.stack import States, detach
from unrolled.tasks.language_modeling.metrics import LanguageModelingMetrics, from_loss


class LanguageModeling(pl.LightningModule):
    """Truncated backpropagation through time over contiguous streams of text.

    The hidden state goes from batch to batch without its gradient, and starts anew with each epoch
    and each evaluation. Metrics are named ``<split>/<metric>``.

    Args:
        model: the network.
        make_optimizer: from parameters to an optimizer.
        make_schedule: from the optimizer to Lightning's scheduler configuration.
        tokens_per_character: for each split, its tokens / characters of its raw text.
        log_every_steps: how often training metrics are logged.

    Attributes:
        results: for each split, the metrics of its latest evaluation, exact.
        tested_split: which split Lightning's test loop is over.
        since_validation: the training loss since the latest validation.

    Raises:
        DivergedError: the training loss, or an evaluation's, is infinite or not a number.
    """

    def __init__(
        self,
        model: RecurrentLanguageModel,
        make_optimizer: Callable[[Any], Optimizer],
        make_schedule: Callable[[Optimizer], dict[str, Any]],
        *,
        tokens_per_character: dict[str, float],
        log_every_steps: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.make_optimizer = make_optimizer
        self.make_schedule = make_schedule
        self.tokens_per_character = tokens_per_character
        self.log_every_steps = log_every_steps
        self.metrics = LanguageModelingMetrics(model.head.out_features)
        self.tested_split = "test"
        self.states: States | None = None
        self.evaluation_states: States | None = None
        self.gradient_norm: Tensor | None = None
        self.results: dict[str, dict[str, float]] = {}
        self.since_log = LossSum()
        self.since_validation = LossSum()
        # The first step whose loss was not finite, or -1; kept on the device, where asking would
        # wait.
        self.first_bad_step: Tensor
        self.register_buffer("first_bad_step", torch.tensor(-1), persistent=False)

    def carried(self) -> dict[str, Any]:
        """What the next step depends on besides the weights, as plain data: the hidden state, and
        the sums of metrics under way."""
        return {
            # A copy, since a view would be written with all steps that it is a part of.
            "states": tree_map_only(Tensor, torch.clone, self.states),
            "gradient_norm": self.gradient_norm,
            "since_log": self.since_log.state(),
            "since_validation": self.since_validation.state(),
        }

    def carry_on(self, carried: dict[str, Any]) -> None:
        """Put back what ``carried`` gave."""
        self.states = carried["states"]
        self.gradient_norm = carried["gradient_norm"]
        self.since_log.restore(carried["since_log"])
        self.since_validation.restore(carried["since_validation"])

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        return {"optimizer": optimizer, "lr_scheduler": self.make_schedule(optimizer)}

    def on_train_epoch_start(self) -> None:
        self.states = None

    def training_step(self, batch: TokenBatch, batch_idx: int) -> Tensor:
        logits, states = self.model(batch.inputs, self.states)
        self.states = detach(states)
        nll = summed_nll(logits, batch.targets)
        self._refuse_divergence(nll.detach())
        # Ranks average their gradients, and each sees its share of the batch's tokens; this makes
        # the average exactly the gradient of the mean over the whole batch.
        world_size = self.trainer.world_size
        self.since_log.add(nll.detach() * world_size, batch.tokens)
        self.since_validation.add(nll.detach() * world_size, batch.tokens)
        if (self.global_step + 1) % self.log_every_steps == 0:
            self._log_training(logits.detach(), batch.targets)
        return nll * (world_size / batch.tokens)

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm of the whole gradient, and skip the pass over it when nothing is
        clipped."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        self.gradient_norm = torch.nn.utils.get_total_norm(gradients)
        if gradient_clip_val is None:
            return
        on_gpu = self.gradient_norm.is_cuda
        if on_gpu or float(self.gradient_norm) > gradient_clip_val:
            torch.nn.utils.clip_grads_with_norm_(
                self.parameters(), gradient_clip_val, self.gradient_norm
            )

    def on_validation_epoch_start(self) -> None:
        self._start_evaluation("validation")

    def validation_step(self, batch: TokenBatch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_validation_epoch_end(self) -> None:
        self._finish_evaluation("validation")

    def on_test_epoch_start(self) -> None:
        self._start_evaluation(self.tested_split)

    def test_step(self, batch: TokenBatch, batch_idx: int) -> None:
        self._evaluate(batch)

    def on_test_epoch_end(self) -> None:
        self._finish_evaluation(self.tested_split)

    def _start_evaluation(self, split: str) -> None:
        self.evaluation_states = None
        self.metrics.reset()
        self.metrics.tokens_per_character = self.tokens_per_character[split]

    def _evaluate(self, batch: TokenBatch) -> None:
        logits, self.evaluation_states = self.model(batch.inputs, self.evaluation_states)
        self.metrics.update(logits, batch.targets)

    def _finish_evaluation(self, split: str) -> None:
        values = self.metrics.compute()
        if not math.isfinite(values["loss"]):
            raise DivergedError(
                f"the {split} loss became {values['loss']} at step {self.global_step}; "
                "lower optimizer.lr or trainer.gradient_clip"
            )
        self.results[split] = {f"{split}/{name}": value for name, value in values.items()}
        # For checkpoints, early stopping and schedules; Lightning rounds them, a record must not.
        self.log_dict(self.results[split], logger=False)
        self._write_to_loggers(self.results[split], self.global_step)

    def _log_training(self, logits: Tensor, targets: Tensor) -> None:
        values = from_loss(self.since_log.mean(), self.tokens_per_character["train"])
        self.since_log.reset()
        # The accuracy is this one batch's: counting every batch's would cost more than it tells.
        kept = targets != IGNORE
        values["accuracy"] = float((logits.argmax(-1) == targets)[kept].float().mean())
        logged = {f"train/{name}": value for name, value in values.items()}
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        logged["optimizer/lr"] = optimizer.param_groups[0]["lr"]
        if self.gradient_norm is not None:
            # The step before's: this one's gradient is not there yet.
            logged["optimizer/gradient_norm"] = float(self.gradient_norm)
        self._write_to_loggers(logged, self.global_step + 1)

    def _write_to_loggers(self, values: dict[str, float], step: int) -> None:
        """Past Lightning, which would write the latest values again at each step between two."""
        for logger in self.loggers:
            logger.log_metrics(values, step)

    def _refuse_divergence(self, loss: Tensor) -> None:
        bad = ~torch.isfinite(loss) & (self.first_bad_step < 0)
        self.first_bad_step = torch.where(bad, self.global_step + 1, self.first_bad_step)
        # On a GPU, reading the answer at every step would make the CPU wait for it.
        due = not loss.is_cuda or (self.global_step + 1) % self.log_every_steps == 0
        if due and int(self.first_bad_step) >= 0:
            raise DivergedError(
                f"the training loss became infinite or not a number at step "
                f"{int(self.first_bad_step)}; lower optimizer.lr or trainer.gradient_clip"
            )


def summed_nll(logits: Tensor, targets: Tensor) -> Tensor:
    """The negative log-likelihood of all targets together, in nats and in fp32.

    Args:
        logits: ``[time, batch, vocabulary]``.
        targets: ids ``[time, batch]``, ``IGNORE`` where there is none.
    """
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )


class LossSum:
    """A running sum of negative log-likelihood and the tokens it is over, kept where it is
    computed."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.nll: Tensor | None = None
        self.tokens = 0

    def add(self, nll: Tensor, tokens: int) -> None:
        self.nll = nll.double() if self.nll is None else self.nll + nll
        self.tokens += tokens

    def mean(self) -> float:
        """Nats a token; NaN before anything was added."""
        return float(self.nll) / self.tokens if self.nll is not None else math.nan

    def state(self) -> tuple[Tensor | None, int]:
        """The sum and its tokens."""
        return self.nll, self.tokens

    def restore(self, state: tuple[Tensor | None, int]) -> None:
        """Put back what ``state`` gave."""
        self.nll, self.tokens = state
