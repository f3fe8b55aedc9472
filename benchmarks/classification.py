"""An epoch of text classification against a plain PyTorch script with packed batches.

    python -m benchmarks.classification FOLDER [--rounds 3] [--threads 2] [--output FILE.json]

FOLDER holds the two files of movie-review polarity (``*.neg``, ``*.pos``, latin-1). Both sides
train the same LSTM (2 x 100, embedding 100) on batches of 50 by AdamW with clipping, in turn, each
round in a process of its own; the third epoch of each is timed. The script is what somebody writes
who follows PyTorch's documentation: shuffled batches, ``pad_sequence``, ``pack_padded_sequence``,
``nn.LSTM``, cross-entropy on the last state.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

EPOCHS = 3
BATCH, SIZE, LAYERS = 50, 100, 2


def script(folder: Path) -> tuple[float, int]:
    """Seconds of the last epoch of the plain script, and its steps."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

    texts, labels = [], []
    for label, ending in enumerate(("neg", "pos")):
        (path,) = folder.glob(f"*.{ending}")
        lines = path.read_text("latin-1").removesuffix("\n").split("\n")
        texts += [line.lower().split() for line in lines]
        labels += [label] * len(lines)
    torch.manual_seed(1)
    order = torch.randperm(len(texts)).tolist()
    train = order[: int(0.8 * len(order))]
    counts = Counter(word for place in train for word in texts[place])
    known = [word for word, count in counts.items() if count >= 2]
    vocabulary = {word: place for place, word in enumerate(known, 1)}
    ids = [torch.tensor([vocabulary.get(word, 0) for word in text] or [0]) for text in texts]

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(len(vocabulary) + 1, SIZE)
            self.lstm = nn.LSTM(SIZE, SIZE, LAYERS)
            self.linear = nn.Linear(SIZE, 2)

        def forward(self, padded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = pack_padded_sequence(self.embedding(padded), lengths, enforce_sorted=False)
            _, (hidden, _) = self.lstm(packed)
            scores: torch.Tensor = self.linear(hidden[-1])
            return scores

    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005, fused=True)
    steps = 0
    for _ in range(EPOCHS):
        started = time.perf_counter()
        steps = 0
        shuffled = [train[place] for place in torch.randperm(len(train)).tolist()]
        for start in range(0, len(shuffled), BATCH):
            batch = shuffled[start : start + BATCH]
            padded = pad_sequence([ids[place] for place in batch])
            lengths = torch.tensor([len(ids[place]) for place in batch])
            targets = torch.tensor([labels[place] for place in batch])
            loss = nn.functional.cross_entropy(model(padded, lengths), targets)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
        seconds = time.perf_counter() - started
    return seconds, steps


def ours(folder: Path) -> tuple[float, int]:
    """Seconds of the last epoch of the same by Unrolled's trainer, and its steps."""
    import tempfile

    import pytorch_lightning as pl

    from unrolled.config.compose import compose_run
    from unrolled.training.run import make_run, specify

    ends: list[tuple[float, int]] = []

    class Clock(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            ends.append((time.perf_counter(), 0))

        def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            # Before the validation's own time would count: each epoch begins anew below.
            ends.append((time.perf_counter(), trainer.global_step))

    with tempfile.TemporaryDirectory() as outputs:
        config = compose_run(
            [
                *("task=classification", "dataset=polarity", f"dataset.path={folder}"),
                *("dataset.encoding=latin-1", "tokenizer.punctuation=keep", "cell=lstm"),
                *(f"model.layers={LAYERS}", f"model.hidden_size={SIZE}"),
                *(f"model.embedding_size={SIZE}", f"task.batch_size={BATCH}"),
                *("trainer.max_steps=null", f"trainer.max_epochs={EPOCHS}"),
                # No validation until the end, so that an epoch is nothing but training.
                "trainer.validate_every_steps=1000000",
                f"paths.outputs={outputs}",
            ]
        )
        make_run(specify(config), callbacks=lambda: [Clock()])
    (before, first), (end, last) = ends[-2:]
    return end - before, last - first


def main() -> None:
    """Time both in turn, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--side", choices=["script", "unrolled"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        seconds, steps = (script if options.side == "script" else ours)(options.folder)
        print(json.dumps({"seconds": seconds, "steps": steps}))
        return
    found: dict[str, list[float]] = {"script": [], "unrolled": []}
    for _ in range(options.rounds):
        for side, seconds_of in found.items():
            command = [
                *(sys.executable, "-m", "benchmarks.classification", str(options.folder)),
                *("--side", side),
            ]
            environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
            done = subprocess.run(
                command, env=environment, check=True, capture_output=True, text=True
            )
            result = json.loads(done.stdout.splitlines()[-1])
            seconds_of.append(result["seconds"])
            print(f"{side}: {result['seconds']:.2f} s for {result['steps']} steps", flush=True)
    medians = {side: statistics.median(seconds) for side, seconds in found.items()}
    ratio = medians["unrolled"] / medians["script"]
    print(f"an epoch, unrolled / script: {ratio:.2f} (medians of {options.rounds})")
    if options.output:
        about = {"seconds": found, "ratio": ratio, "threads": options.threads}
        options.output.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
