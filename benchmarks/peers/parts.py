"""Where a step's time goes: the plain network's parts, each on its own.

    python -m benchmarks.peers.parts JOB VOCABULARY

Prints seconds of a step's forwards and backwards pass through embedding and recurrence, of that
through the output layer and its loss, and of clipping with the optimizer's update: medians over
steps on random tokens, with as many threads as the environment says.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.peers.job import Job
from benchmarks.peers.process import environment

REPEATS = 9
# Embedding and recurrence; the output layer and its loss; clipping and the optimizer.
PARTS = ("recurrence", "output", "update")


def seconds_of_parts(job: Job, vocabulary: int, threads: int) -> dict[str, float]:
    """The seconds of each of ``PARTS``, measured in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.peers.parts", job.to_json(), str(vocabulary)]
    done = subprocess.run(
        command, env=environment(threads), check=True, capture_output=True, text=True
    )
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def measure(job: Job, vocabulary: int) -> dict[str, float]:
    """The same, in this process."""
    import torch
    from benchmarks.peers.network import LanguageModel, optimizer_of
    from torch import nn

    torch.manual_seed(job.seed)
    model = LanguageModel(job, vocabulary).to(job.device)
    optimizer, criterion = optimizer_of(job, model), nn.CrossEntropyLoss()
    shape = (job.length, job.batch)
    tokens = torch.randint(vocabulary, shape, device=job.device)
    hidden = torch.randn(*shape, job.hidden, device=job.device, requires_grad=True)
    gradient = torch.randn_like(hidden)

    def recurrence() -> None:
        model.recurrence(model.embedding(tokens), None)[0].backward(gradient)

    def output() -> None:
        criterion(model.decoder(hidden).flatten(0, 1), tokens.flatten()).backward()

    def update() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), job.clip)
        optimizer.step()

    found: dict[str, list[float]] = {name: [] for name in PARTS}
    work: dict[str, Callable[[], None]] = dict(
        zip(PARTS, (recurrence, output, update), strict=True)
    )
    for _ in range(REPEATS):
        # In the order of a step, so that every part finds the caches as in a step.
        optimizer.zero_grad()
        for name, once in work.items():
            started = time.perf_counter()
            once()
            if job.device == "cuda":
                torch.cuda.synchronize()
            found[name].append(time.perf_counter() - started)
    # The first warms up.
    return {name: statistics.median(seconds[1:]) for name, seconds in found.items()}


if __name__ == "__main__":
    print(json.dumps(measure(Job.from_json(sys.argv[1]), int(sys.argv[2]))))
