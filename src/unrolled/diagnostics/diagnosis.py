"""Everything that is asked of one model on one split."""

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from unrolled.data.batches import Batch
from unrolled.data.module import DataModule
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.diagnostics.findings import (
    Diagnosis,
    add_dynamics,
    add_flow,
    add_gates,
    add_memory,
)
from unrolled.diagnostics.gradients import gradient_flow
from unrolled.diagnostics.memory import MemoryLength, memory_length, why_not
from unrolled.diagnostics.parts import PARTS
from unrolled.diagnostics.sample import sample, token_stream
from unrolled.diagnostics.trajectory import follow, probe
from unrolled.models import pooling
from unrolled.models.model import RecurrentModel

# Steps for each target whose context is varied.
TARGETS = 16


def diagnose(
    model: RecurrentModel,
    batches: DataModule,
    *,
    split: str,
    tokens: int,
    only: Collection[str] = PARTS,
    initial: RecurrentModel | None = None,
    tokenizer: TextTokenizer | None = None,
) -> Diagnosis:
    """Look into a model; what does not apply to it is said in the notes.

    Neither the model nor any global generator is changed.

    Args:
        split: what is read.
        tokens: how many of its steps, roughly, each part reads.
        only: which of ``PARTS``.
        initial: the model before training, to compare gradients with.
        tokenizer: shows tokens in their text.

    Raises:
        DataError: the split has no batch.
    """
    found = Diagnosis()
    batch = sample(batches, split, tokens)
    if initial is not None and "gradients" in only:
        add_flow(found, gradient_flow(probe(initial), batch), "at initialization")
    wrong = [name for name, p in model.named_parameters() if not bool(p.isfinite().all())]
    if wrong:
        found.notes.append(
            f"the trained weights are not finite ({wrong[0]} is the first of {len(wrong)} such "
            "parameters): training diverged, and nothing can be said of the trained model"
        )
        return found
    if "gradients" in only:
        add_flow(found, gradient_flow(probe(model), batch), "after training")
    if {"gates", "dynamics"} & {*only}:
        copy = probe(model)
        with torch.no_grad():
            _, traces = follow(copy, batch.inputs, batch.lengths, batch.padded)
        # A cell that reads backwards has its padding behind its end, too.
        rows = _rows(batch)
        if "gates" in only:
            add_gates(found, traces, rows)
        if "dynamics" in only:
            add_dynamics(found, copy, traces, rows, tokens)
    if "memory" in only:
        stream = token_stream(batches, split)
        reason = why_not(model, stream)
        if reason is not None or stream is None:
            found.notes.append(f"{reason}")
            return found
        of = _in_evaluation(model, lambda: memory_length(model, stream, max(1, tokens // TARGETS)))
        add_memory(found, of, stream, tokenizer)
    return found


def _in_evaluation(model: RecurrentModel, ask: Callable[[], MemoryLength]) -> MemoryLength:
    """What ``ask`` gives while the model is in evaluation."""
    training = model.training
    model.eval()
    try:
        return ask()
    finally:
        model.train(training)


def _rows(batch: Batch) -> Tensor | None:
    return None if batch.lengths is None else pooling.steps_there(batch.lengths, len(batch.inputs))
