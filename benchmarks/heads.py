"""What a head costs: a step of each, forwards and backwards, against nn.Linear and cross_entropy.

    python -m benchmarks.heads [--vocabularies 10000,33000,100000] [--hidden 200] [--rows 700]
        [--repeats 9] [--threads 1] [--device cuda] [--dtype bfloat16] [--evaluation]
        [--out benchmarks/results]

Hidden states are random, targets are drawn by Zipf's law, and token ids are in no order. After a
warm-up the contestants of one vocabulary take turns in rounds, in an order drawn anew for each. A
ratio is the median over rounds of a contestant's time to the peer's in the same round. Memory is
what is allocated at once, at most, beyond parameters and input: see benchmarks/memory.py. With
--evaluation the exact loss, the best five tokens and the counts of an evaluation are measured, and
not a training step. ``torch adaptive`` is torch.nn.AdaptiveLogSoftmaxWithLoss with the same
clusters, on ids that are in the order of their frequency already.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.contestants import Setting
from benchmarks.memory import MIB, peak
from torch import Tensor, nn
from torch.nn import functional as F

from unrolled.models.adaptive_head import AdaptiveHead
from unrolled.models.clusters import Clusters, make_clusters
from unrolled.models.heads import Head, LinearHead
from unrolled.models.sampled_head import SampledHead
from unrolled.tasks.token_metrics import TokenMetrics
from unrolled.training.environment import describe_environment

PEER = "nn.Linear"
DIV_VALUE, SAMPLES = 4.0, 2048
FEWEST_REPEATS = 9
# Tokens of the text whose counts the clusters are fitted to.
TEXT = 10_000_000

Work = Callable[[], None]


class Plain(nn.Module):
    """What a script has: a linear layer and the cross-entropy of its scores."""

    def __init__(self, hidden: int, tokens: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, tokens)

    def loss(self, x: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.linear(x), targets, reduction="sum")

    def scores(self, x: Tensor) -> Tensor:
        scores: Tensor = self.linear(x)
        return scores


class Library(nn.Module):
    """PyTorch's adaptive softmax with the same clusters."""

    def __init__(self, hidden: int, clusters: Clusters) -> None:
        super().__init__()
        self.adaptive = nn.AdaptiveLogSoftmaxWithLoss(
            hidden, len(clusters.order), [*clusters.cutoffs], clusters.div_value, head_bias=True
        )
        self.register_buffer("ranks", torch.from_numpy(clusters.ranks))

    def loss(self, x: Tensor, targets: Tensor) -> Tensor:
        loss: Tensor = self.adaptive(x, self.get_buffer("ranks")[targets]).loss
        return loss * len(targets)


def heads_of(hidden: int, counts: "np.typing.NDArray[np.int64]") -> dict[str, nn.Module]:
    """Every contestant of one vocabulary."""
    tokens = len(counts)
    clusters = make_clusters(tokens, counts, None, DIV_VALUE)
    samples = min(SAMPLES, tokens - 1)
    return {
        PEER: Plain(hidden, tokens),
        "linear": LinearHead(hidden, tokens),
        "adaptive": AdaptiveHead(hidden, clusters),
        "torch adaptive": Library(hidden, clusters),
        "sampled": SampledHead(hidden, tokens, samples=samples, proposal="unigram", counts=counts),
    }


def step_of(head: Any, x: Tensor, targets: Tensor, setting: Setting) -> Work:
    """One training step of a head."""
    leaves = [x, *head.parameters()]

    def once() -> None:
        with setting.precision():
            loss = head.loss(x, targets)
        loss.backward()
        for leaf in leaves:
            leaf.grad = None

    return once


def evaluation_of(head: Any, x: Tensor, targets: Tensor, setting: Setting) -> Work:
    """One batch of an evaluation, measured as a split is."""
    size = int(getattr(head, "classes", 0) or head.linear.out_features)
    metrics = TokenMetrics(size).to(x.device)

    @torch.no_grad()
    def once() -> None:
        with setting.precision():
            metrics.update(head, x[None], targets[None])

    return once


def measure(tokens: int, options: argparse.Namespace, setting: Setting) -> list[dict[str, Any]]:
    """A row of figures for each head at one vocabulary."""
    generator = np.random.default_rng(0)
    chances = 1 / np.arange(1, tokens + 1)
    chances = generator.permutation(chances / chances.sum())
    counts = generator.multinomial(TEXT, chances)
    drawn = torch.from_numpy(generator.choice(tokens, options.rows, p=chances))
    targets = drawn.to(setting.device)
    x = torch.randn(options.rows, options.hidden, device=setting.device, requires_grad=True)
    heads = heads_of(options.hidden, counts)
    if options.evaluation:
        del heads["torch adaptive"]
    make = evaluation_of if options.evaluation else step_of
    works = {name: make(setting.placed(head), x, targets, setting) for name, head in heads.items()}
    if options.evaluation:
        for head in heads.values():
            head.eval()
    for work in works.values():
        work()
    draw = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repeats):
        for name in draw.sample([*works], len(works)):
            setting.finish()
            started = time.perf_counter()
            works[name]()
            setting.finish()
            seconds[name].append(time.perf_counter() - started)
    bytes_of = {name: peak(work, setting) for name, work in works.items()}
    rows = []
    for name, head in heads.items():
        ratios = [a / b for a, b in zip(seconds[name], seconds[PEER], strict=True)]
        rows.append(
            {
                "vocabulary": tokens,
                "head": name,
                "parameters": sum(p.numel() for p in head.parameters()),
                "flops": head.flops() if isinstance(head, Head) else None,
                "milliseconds": 1000 * statistics.median(seconds[name]),
                "time_ratio": statistics.median(ratios),
                "time_ratio_lowest": min(ratios),
                "time_ratio_highest": max(ratios),
                "mebibytes": bytes_of[name] / MIB,
                "memory_ratio": bytes_of[name] / max(1, bytes_of[PEER]),
                **(head.describe() if isinstance(head, Head) else {}),
            }
        )
    return rows


def print_rows(rows: Sequence[dict[str, Any]]) -> None:
    """The table of one vocabulary."""
    print(f"\n{rows[0]['vocabulary']:,} tokens")
    print("head                 ms    time   lowest to highest      MiB  memory  parameters")
    for row in rows:
        spread = f"{row['time_ratio_lowest']:.2f} to {row['time_ratio_highest']:.2f}"
        print(
            f"{row['head']:<15} {row['milliseconds']:>7.1f} {row['time_ratio']:>7.2f} "
            f"{spread:>19} {row['mebibytes']:>8.1f} {row['memory_ratio']:>7.2f} "
            f"{row['parameters']:>11,}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--vocabularies", default="10000,33000,100000", help="sizes (10000,33000,100000)")
    add("--hidden", type=int, default=200, help="width of the hidden state (200)")
    add("--rows", type=int, default=700, help="targets of a step (700)")
    add("--repeats", type=int, default=FEWEST_REPEATS, help="rounds (9, and no fewer)")
    add("--threads", type=int, default=1, help="of PyTorch on the CPU (1)")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--dtype", choices=("float32", "bfloat16"), default="float32")
    add("--evaluation", action="store_true", help="measure an evaluation, and no training step")
    add("--out", type=Path, default=Path("outputs/benchmarks"), help="outputs/benchmarks")
    options = parser.parse_args(arguments)
    if options.repeats < FEWEST_REPEATS:
        parser.error(f"--repeats {options.repeats}: a median needs at least {FEWEST_REPEATS}")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    setting = Setting(torch.device(options.device), getattr(torch, options.dtype), 1)
    rows: list[dict[str, Any]] = []
    for tokens in map(int, options.vocabularies.split(",")):
        rows += measure(tokens, options, setting)
        print_rows([row for row in rows if row["vocabulary"] == tokens])
    environment = {
        **describe_environment(),
        "device": options.device,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / ("heads_evaluation.json" if options.evaluation else "heads.json")
    found = {"environment": environment, "settings": settings, "heads": rows}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"\nwrote {path}")


if __name__ == "__main__":
    main()
