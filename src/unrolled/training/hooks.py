"""What Lightning does around every step though nobody asked for it, left out.

At each step Lightning calls six hooks of every callback and of the module, most of which are the
empty ones of its base classes, and measures each call with a profiler that is off: a tenth of a
small model's step. Lightning passes over a hook that cannot be called, and takes any profiler.
"""

import contextlib
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PassThroughProfiler

# The hooks of a training step that a callback and a module share.
STEP_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
NOTHING = contextlib.nullcontext()


class NoProfiler(PassThroughProfiler):
    """Measures nothing, and makes no object for each call to say so."""

    def profile(self, action_name: str) -> Any:
        return NOTHING


def leave_out_empty_hooks(*parts: pl.LightningModule | pl.Callback) -> None:
    """Make Lightning pass over the hooks of a step that a module or a callback leaves empty."""
    for part in parts:
        base = pl.LightningModule if isinstance(part, pl.LightningModule) else pl.Callback
        for name in STEP_HOOKS:
            # A callback may have been given a hook as an attribute of its own.
            if name not in vars(part) and getattr(type(part), name) is getattr(base, name):
                setattr(part, name, None)
