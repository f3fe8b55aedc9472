"""A plain PyTorch script in the style of PyTorch's word_language_model example.

    python -m benchmarks.peers.plain JOB REPORT.json

JOB is a ``Job`` as JSON. The loop is what a user would write: dense scores, cross-entropy,
clipping, the optimizer's defaults, the loss read at each step.
"""

import math
import sys
from pathlib import Path
from typing import Any

import torch
from benchmarks.peers.corpus import Corpus, batchify
from benchmarks.peers.job import EVALUATION_BATCH, Job, Marks
from benchmarks.peers.network import LanguageModel, detach, optimizer_of
from torch import Tensor, nn


def evaluate(model: nn.Module, ids: Tensor, length: int) -> float:
    """Perplexity, the state carried from chunk to chunk."""
    model.eval()
    criterion, state, total = nn.CrossEntropyLoss(), None, 0.0
    with torch.no_grad():
        for start in range(0, len(ids) - 1, length):
            targets = ids[start + 1 : start + 1 + length]
            scores, state = model(ids[start : start + len(targets)], state)
            total += len(targets) * criterion(scores, targets.flatten()).item()
    model.train()
    return math.exp(total / (len(ids) - 1))


def train_step(
    model: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    targets: Tensor,
    state: Any,
    clip: float,
) -> tuple[float, Any]:
    """The loss of a chunk ``[time, batch]``, after a step by its gradient, and the state."""
    scores, state = model(inputs, state)
    loss = criterion(scores, targets.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    return loss.item(), detach(state)


def train(job: Job, marks: Marks) -> tuple[nn.Module, float]:
    """Train for so many steps; the model, and its test perplexity."""
    torch.manual_seed(job.seed)
    corpus = Corpus(Path(job.folder), job.unit)
    ids = batchify(corpus.train, job.batch).to(job.device)
    valid, test = (
        batchify(split, EVALUATION_BATCH).to(job.device) for split in (corpus.valid, corpus.test)
    )
    model = LanguageModel(job, len(corpus.ids)).to(job.device)
    criterion, optimizer = nn.CrossEntropyLoss(), optimizer_of(job, model)
    step, total = 0, 0.0
    marks.begin()
    while step < job.steps:
        state = None
        for start in range(0, len(ids) - 1, job.length):
            targets = ids[start + 1 : start + 1 + job.length]
            inputs = ids[start : start + len(targets)]
            loss, state = train_step(model, criterion, optimizer, inputs, targets, state, job.clip)
            total += loss
            step += 1
            marks.step_ended()
            if step % job.validate_every == 0:
                marks.part_ended(step, total / job.validate_every)
                total = 0.0
                marks.evaluated(evaluate(model, valid, job.length))
            if step == job.steps:
                break
    return model, evaluate(model, test, job.length)


def main(job: Job, report: Path) -> None:
    """Train, and leave the report."""
    marks = Marks()
    model, perplexity = train(job, marks)
    count = sum(parameter.numel() for parameter in model.parameters())
    marks.write(report, parameters=count, test_perplexity=perplexity, precision="fp32")


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]), Path(sys.argv[2]))
