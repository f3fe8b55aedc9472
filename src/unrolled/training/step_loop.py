"""A training step through Lightning's hooks and nothing else.

Lightning's own loop looks up a signature, makes four closures, asks two dozen times which hooks
are empty, and gathers what was logged through it, at each step anew. After a network's kernels
have had the processor's caches, that takes a millisecond, a twentieth of a small network's step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.profilers import PassThroughProfiler
from torch import Tensor

# Hooks of a training step that a callback and a module share.
HOOKS = (
    "on_train_batch_start",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
)
# Whose callbacks log nothing through Lightning at a step.
KNOWN = ("unrolled", "pytorch_lightning")

Hooks = dict[str, list[Callable[..., Any]]]


class StepLoop(_TrainingEpochLoop):
    """Lightning's loop over the batches of an epoch, whose step calls the hooks that somebody
    wrote, in Lightning's order, and keeps its counters as Lightning does.

    A step is Lightning's own where it does more: with several devices, a profiler, or callbacks
    from elsewhere, which may log through Lightning, and when it goes on from a checkpoint.
    """

    _hooks: Hooks | None = None

    def on_run_start(self, data_fetcher: Any) -> None:
        """Find the hooks that are written."""
        super().on_run_start(data_fetcher)
        self._hooks = written_hooks(self.trainer) if is_plain(self.trainer) else None

    def advance(self, data_fetcher: Any) -> None:
        """A step on the next batch."""
        if self._hooks is None or self.restarting:
            super().advance(data_fetcher)
            return
        trainer, progress = self.trainer, self.batch_progress
        if self.val_loop.restarting:
            # To say it again goes through all that the loop has.
            self.val_loop.restarting = False
        batch, _, _ = next(data_fetcher)
        index = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        if trainer.strategy.root_device.type != "cpu":
            batch = trainer.strategy.batch_to_device(batch, dataloader_idx=0)
        progress.increment_ready()
        for hook in self._hooks["on_train_batch_start"]:
            hook(batch, index)
        progress.increment_started()
        loss = self._optimize(batch, index, self._hooks)
        progress.increment_processed()
        self._step_schedules(index)
        if self._num_ready_batches_reached():
            self.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        outputs = {"loss": loss}
        for hook in self._hooks["on_train_batch_end"]:
            hook(outputs, batch, index)
        progress.increment_completed()

    def on_advance_end(self, data_fetcher: Any) -> None:
        """Lightning's; where nothing is due after a step, the step is counted alone."""
        trainer = self.trainer
        if (
            self._hooks is None
            or self._skip_next_val
            or trainer.should_stop
            or trainer.received_sigterm
            or any(one.reduce_on_plateau for one in trainer.lr_scheduler_configs)
            or self._should_check_val_fx(data_fetcher)
        ):
            super().on_advance_end(data_fetcher)
        else:
            self._batches_that_stepped += 1

    def _step_schedules(self, index: int) -> None:
        """A step of the schedules that change the rate by steps."""
        for one in self.trainer.lr_scheduler_configs:
            due = one.interval == "step" and (index + 1) % one.frequency == 0
            if due and not one.reduce_on_plateau:
                self.scheduler_progress.increment_ready()
                self.trainer.lightning_module.lr_scheduler_step(one.scheduler, None)
                self.scheduler_progress.increment_completed()

    def _optimize(self, batch: Any, index: int, hooks: Hooks) -> Tensor:
        """Loss, gradient and a step of the optimizer; gives the loss, without its graph."""
        trainer, module = self.trainer, self.trainer.lightning_module
        optimizer = trainer.optimizers[0]
        progress = self.automatic_optimization.optim_progress.optimizer
        losses: list[Tensor] = []

        def closure() -> Tensor:
            # An optimizer may have turned gradients off.
            with torch.enable_grad():
                with trainer.precision_plugin.train_step_context():
                    loss: Tensor = module.training_step(batch, index)
                losses.append(loss.detach())
                progress.zero_grad.increment_ready()
                for hook in hooks["on_before_zero_grad"]:
                    hook(optimizer)
                progress.zero_grad.increment_started()
                module.optimizer_zero_grad(trainer.current_epoch, index, optimizer)
                progress.zero_grad.increment_completed()
                for hook in hooks["on_before_backward"]:
                    hook(loss)
                module.backward(loss)
                for hook in hooks["on_after_backward"]:
                    hook()
                for hook in hooks["on_before_optimizer_step"]:
                    hook(optimizer)
                module.configure_gradient_clipping(optimizer, trainer.gradient_clip_val)
            return loss

        progress.step.increment_ready()
        module.optimizer_step(trainer.current_epoch, index, optimizer, closure)
        progress.step.increment_completed()
        return losses[-1]


# Lightning's trainer gets its profiler and its callbacks where mypy does not see it.
def is_plain(trainer: Any) -> bool:
    """Whether a step is that of one device, with nothing around it but hooks."""
    return (
        trainer.world_size == 1
        and trainer.accumulate_grad_batches == 1
        and type(trainer.profiler) is PassThroughProfiler
        and all(type(one).__module__.split(".")[0] in KNOWN for one in trainer.callbacks)
    )


def written_hooks(trainer: Any) -> Hooks:
    """For each hook of a step those that are not the empty ones of Lightning's base classes, the
    callbacks' before the module's, as Lightning calls them."""
    module = trainer.lightning_module
    hooks: Hooks = {}
    for name in HOOKS:
        callbacks = [one for one in trainer.callbacks if _is_written(one, name, pl.Callback)]
        hooks[name] = [partial(getattr(one, name), trainer, module) for one in callbacks]
        if _is_written(module, name, pl.LightningModule):
            hooks[name].append(getattr(module, name))
    return hooks


def _is_written(part: object, name: str, base: type) -> bool:
    # A callback may have been given a hook as an attribute of its own, which is no method.
    return getattr(getattr(part, name), "__func__", None) is not getattr(base, name)
