"""Unrolled through its own command line: the command of a job, and what its record says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.job import EVALUATION_BATCH, RANGE, Job

from unrolled.runs.progress import read_progress
from unrolled.runs.record import find_runs, read_record


def overrides(job: Job, outputs: Path, threads: int | None) -> list[str]:
    """What follows ``unrolled train``.

    Only what defines the work is set; how it is computed stays as a user gets it. Samples are not
    generated, since no other contestant does that.
    """
    return [
        *("dataset=splits", f"dataset.path='{job.folder}'", f"tokenizer={job.unit}"),
        *(f"cell={job.cell}", f"model.embedding_size={job.embedding}"),
        *(f"model.hidden_size={job.hidden}", f"model.layers={job.layers}"),
        *("model.initialization=uniform", f"model.initialization_range={RANGE}"),
        *(f"optimizer={job.optimizer}", f"optimizer.lr={job.lr}"),
        *(f"task.batch_size={job.batch}", f"task.sequence_length={job.length}"),
        f"task.evaluation_batch_size={EVALUATION_BATCH}",
        *(f"task.evaluation_sequence_length={job.length}", "task.sample.length=0"),
        *(f"trainer.gradient_clip={job.clip}", f"trainer.max_steps={job.steps}"),
        f"trainer.validate_every_steps={job.validate_every}",
        *([] if threads is None else [f"trainer.threads={threads}"]),
        *(["trainer=gpu"] if job.device == "cuda" else []),
        *(f"seed={job.seed}", f"paths.outputs='{outputs}'"),
    ]


def first_step_done(outputs: Path) -> bool:
    """Whether the run in ``outputs`` shows that a step has ended."""
    for path in outputs.glob("*/*/progress.json"):
        progress = read_progress(path.parent)
        if progress is not None and progress.step >= 1:
            return True
    return False


def reports(outputs: Path) -> list[dict[str, Any]]:
    """What each run's record says, in the form in which the other contestants report."""
    return [_report(read_record(folder)) for folder in find_runs(outputs)]


def _report(record: Any) -> dict[str, Any]:
    parts, before = [], 0.0
    for entry in record.history:
        parts.append(
            {
                "step": entry["step"],
                "seconds": entry["seconds"] - before,
                "loss": entry["train/loss"],
                "perplexity": entry["validation/perplexity"],
            }
        )
        before = entry["seconds"]
    return {
        "parts": parts,
        "parameters": record.model["parameters"],
        "flops_per_token": record.model["flops_per_token"],
        "backend": record.model["backend"],
        "precision": record.model["precision"],
        "test_perplexity": record.metrics["test/perplexity"],
    }


def command(job: Job, outputs: Path, threads: int | None, extra: Sequence[str] = ()) -> list[str]:
    """The command line after the interpreter."""
    return ["-m", "unrolled", "train", *overrides(job, outputs, threads), *extra]
