"""Keras 3 on PyTorch: ``model.fit`` over the same chunks of the same streams.

    python -m benchmarks.peers.keras_torch JOB REPORT.json

Each chunk starts from a state of zero: a layer that carries its state (``stateful=True``) is bound
to one batch size, and training and evaluation have two. Its perplexity is somewhat higher for
that, its speed the same.
"""

import math
import os
import sys
from pathlib import Path
from typing import Any

# Keras reads it when it is imported.
os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
import numpy.typing as npt
from benchmarks.peers.corpus import Corpus, batchify
from benchmarks.peers.job import EVALUATION_BATCH, RANGE, Job, Marks
from keras import layers, ops
from torch import Tensor

Ids = npt.NDArray[np.int64]


class Chunks(keras.utils.PyDataset):  # type: ignore[misc, unused-ignore]
    """Whole chunks ``[batch, time]`` of streams, ``steps`` of them from ``first`` on; over again
    at the end."""

    def __init__(self, ids: Tensor, length: int, steps: int | None = None) -> None:
        super().__init__()
        self.ids, self.length, self.first = ids.t().numpy(), length, 0
        self.chunks = (self.ids.shape[1] - 1) // length
        self.steps = steps or self.chunks

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[Ids, Ids]:
        start = (self.first + index) % self.chunks * self.length
        inputs = self.ids[:, start : start + self.length]
        return inputs, self.ids[:, start + 1 : start + 1 + self.length]

    def on_epoch_end(self) -> None:
        self.first += self.steps


class MinGRUCell(layers.Layer):  # type: ignore[misc, unused-ignore]
    """The minimal GRU (Feng et al. 2024) as a cell for ``layers.RNN``; Keras has none."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = self.state_size = self.output_size = units
        self.dense = layers.Dense(2 * units, **_uniform())

    def build(self, shape: Any) -> None:
        self.dense.build(shape)

    def call(self, x: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        gate, candidate = ops.split(self.dense(x), 2, axis=-1)
        gate = ops.sigmoid(gate)
        h = (1 - gate) * states[0] + gate * candidate
        return h, [h]


class MGUCell(layers.Layer):  # type: ignore[misc, unused-ignore]
    """The minimal gated unit (Zhou et al. 2016) as a cell for ``layers.RNN``; Keras has none."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = self.state_size = self.output_size = units
        self.read = layers.Dense(2 * units, **_uniform())
        without = {**_uniform(), "use_bias": False}
        self.forget, self.renew = layers.Dense(units, **without), layers.Dense(units, **without)

    def build(self, shape: Any) -> None:
        self.read.build(shape)
        self.forget.build((None, self.units))
        self.renew.build((None, self.units))

    def call(self, x: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        (h,) = states
        of_gate, of_new = ops.split(self.read(x), 2, axis=-1)
        gate = ops.sigmoid(of_gate + self.forget(h))
        h = (1 - gate) * h + gate * ops.tanh(of_new + self.renew(gate * h))
        return h, [h]


# What Keras has no layer for.
OWN = {"min_gru": MinGRUCell, "mgu": MGUCell}


def _uniform() -> dict[str, Any]:
    draw = keras.initializers.RandomUniform
    return {"kernel_initializer": draw(-RANGE, RANGE), "bias_initializer": draw(-RANGE, RANGE)}


def layer_of(job: Job) -> Any:
    """One recurrent layer."""
    if job.cell in OWN:
        return layers.RNN(OWN[job.cell](job.hidden), return_sequences=True)
    kind = {"rnn_tanh": layers.SimpleRNN, "lstm": layers.LSTM, "gru": layers.GRU}[job.cell]
    recurrent = keras.initializers.RandomUniform(-RANGE, RANGE)
    options = {**_uniform(), "recurrent_initializer": recurrent, "return_sequences": True}
    if job.cell == "lstm":
        options["unit_forget_bias"] = False
    return kind(job.hidden, **options)


def model_of(job: Job, vocabulary: int) -> Any:
    """The network, compiled with the optimizer."""
    draw = keras.initializers.RandomUniform(-RANGE, RANGE)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int64"),
            layers.Embedding(vocabulary, job.embedding, embeddings_initializer=draw),
            *(layer_of(job) for _ in range(job.layers)),
            layers.Dense(vocabulary, **_uniform()),
        ]
    )
    kind = keras.optimizers.SGD if job.optimizer == "sgd" else keras.optimizers.Adam
    model.compile(
        optimizer=kind(job.lr, global_clipnorm=job.clip),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


class Clock(keras.callbacks.Callback):  # type: ignore[misc, unused-ignore]
    """Notes the ends of steps and parts; each part is an epoch of ``fit``."""

    def __init__(self, marks: Marks, validate_every: int) -> None:
        super().__init__()
        self.marks, self.validate_every, self.step = marks, validate_every, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.marks.begin()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.marks.step_ended()
        self.step += 1
        if self.step % self.validate_every == 0:
            # The logs hold the mean since the epoch began.
            self.marks.part_ended(self.step, float(logs["loss"]))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.marks.evaluated(math.exp(logs["val_loss"]))


def main(job: Job, report: Path) -> None:
    """Train, and leave the report."""
    keras.utils.set_random_seed(job.seed)
    corpus, marks = Corpus(Path(job.folder), job.unit), Marks()
    train = Chunks(batchify(corpus.train, job.batch), job.length, job.validate_every)
    valid, test = (
        Chunks(batchify(ids, EVALUATION_BATCH), job.length) for ids in (corpus.valid, corpus.test)
    )
    model = model_of(job, len(corpus.ids))
    model.fit(
        train,
        epochs=job.steps // job.validate_every,
        validation_data=valid,
        shuffle=False,
        callbacks=[Clock(marks, job.validate_every)],
        verbose=2,
    )
    perplexity = math.exp(model.evaluate(test, verbose=0))
    marks.write(
        report, parameters=model.count_params(), test_perplexity=perplexity, precision="fp32"
    )


if __name__ == "__main__":
    main(Job.from_json(sys.argv[1]), Path(sys.argv[2]))
