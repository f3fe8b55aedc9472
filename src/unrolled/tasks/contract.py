"""Whether a task of somebody's own keeps its contract, asked before any work is done.

Ours are proven by their tests.
"""

import inspect
import traceback

import torch

from unrolled.data.batches import Batch
from unrolled.data.module import DataModule
from unrolled.errors import ConfigError, UnrolledError
from unrolled.models.model import RecurrentModel
from unrolled.tasks.task import Data, Task


def require_contract(task: Task, data: Data, model: RecurrentModel, batches: DataModule) -> None:
    """Refuse a task whose batches, loss or metrics are not what they say, on one batch.

    The model, its gradients and the global generators stay as they are.

    Raises:
        ConfigError: what is wrong, and where.
    """
    if type(task).__module__.startswith("unrolled."):
        return
    name = type(task).__name__
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            batch = next(iter(batches.evaluation_dataloader("validation")), None)
            if not isinstance(batch, Batch):
                raise ConfigError(
                    f"{name}.batches: a batch of the validation split is a "
                    f"{type(batch).__name__}; make each an unrolled.data.batches.Batch"
                )
            hidden, _ = model(batch.inputs, None, batch.lengths, batch.padded)
            loss = model.head.loss(hidden, batch.targets)
            if loss.dim():
                raise ConfigError(
                    f"{name}.parts: the head's loss has shape {list(loss.shape)}; it must be one "
                    "number, the sum over all targets"
                )
            evaluator = task.evaluator(data, "validation")
            evaluator.update(model.head, hidden, batch.targets)
            found = set(evaluator.compute())
    except UnrolledError:
        raise
    except Exception as error:
        raise ConfigError(f"{_place(task, error)}{type(error).__name__}: {error}") from error
    finally:
        model.train(training)
    wanted = set(task.metrics)
    if missing := ", ".join(sorted(wanted - found)):
        raise ConfigError(
            f"{name}: metrics names {missing}, which its evaluator does not compute (it computes "
            f"{', '.join(sorted(found))})"
        )
    if unknown := ", ".join(sorted(found - wanted)):
        raise ConfigError(f"{name}: its evaluator computes {unknown}, which metrics does not name")


def _place(task: Task, error: Exception) -> str:
    """The line of the task's own file where an error came from, if it did."""
    source = inspect.getsourcefile(type(task))
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == source]
    return f"{own[-1].filename}, line {own[-1].lineno}: " if own else f"{type(task).__name__}: "
