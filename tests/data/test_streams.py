import itertools

import numpy as np
import pytest
import torch

from unrolled.data.batches import IGNORE, Batch
from unrolled.data.streams import Streams
from unrolled.errors import ConfigError, DataError

START = 7
SHAPES = [
    (tokens, batch_size, sequence_length)
    for tokens, batch_size, sequence_length in itertools.product(
        (1, 2, 5, 12, 13, 47, 100), (1, 2, 3, 4, 12), (1, 2, 5, 7, 1000)
    )
    if tokens >= batch_size
]


def text(tokens: int) -> np.ndarray:
    """Ids that are all different and none is START, so that each one's place can be told."""
    return np.arange(1000, 1000 + tokens, dtype=np.uint16)


def joined(streams: Streams) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of all items ``[time, streams]``."""
    batches = [streams[i] for i in range(len(streams))]
    return torch.cat([b.inputs for b in batches]), torch.cat([b.targets for b in batches])


@pytest.mark.parametrize(("tokens", "batch_size", "sequence_length"), SHAPES)
def test_every_token_is_predicted_once_from_the_one_before_it(
    tokens: int, batch_size: int, sequence_length: int
) -> None:
    ids = text(tokens)
    inputs, targets = joined(Streams(ids, START, batch_size, sequence_length))
    assert inputs.shape == targets.shape == (-(-tokens // batch_size), batch_size)
    before = {int(this): int(last) for last, this in zip([START, *ids], ids, strict=False)}
    read = []
    for stream in range(batch_size):
        real = targets[:, stream] != IGNORE
        # A stream ends once, and its tokens stand side by side in the text.
        assert bool((real[:-1] >= real[1:]).all())
        read += targets[real, stream].tolist()
        assert inputs[real, stream].tolist() == [before[t] for t in targets[real, stream].tolist()]
    assert read == ids.tolist()
    lengths = (targets != IGNORE).sum(0)
    assert int(lengths.max() - lengths.min()) <= 1


@pytest.mark.parametrize(("tokens", "batch_size", "sequence_length"), SHAPES)
def test_tokens_counts_the_targets_of_a_batch(
    tokens: int, batch_size: int, sequence_length: int
) -> None:
    streams = Streams(text(tokens), START, batch_size, sequence_length)
    counts = [streams[i].tokens for i in range(len(streams))]
    assert counts == [int((streams[i].targets != IGNORE).sum()) for i in range(len(streams))]
    assert sum(counts) == tokens


@pytest.mark.parametrize(("tokens", "batch_size", "sequence_length"), SHAPES)
@pytest.mark.parametrize("warm_up", [1, 6, 500])
def test_a_warmed_up_stream_begins_with_what_the_one_before_it_predicts(
    tokens: int, batch_size: int, sequence_length: int, warm_up: int
) -> None:
    ids = text(tokens)
    streams = Streams(ids, START, batch_size, sequence_length, warm_up=warm_up)
    inputs, targets = joined(streams)
    before = dict(zip(ids.tolist(), [START, *ids.tolist()], strict=False))
    read: list[int] = []
    for stream in range(batch_size):
        real = targets[:, stream] != IGNORE
        mine = targets[real, stream].tolist()
        assert inputs[real, stream].tolist() == [before[token] for token in mine]
        first = int(real.nonzero()[0]) if mine else len(real)
        earlier = [before[token] for token in read[len(read) - first :]]
        assert inputs[:first, stream].tolist() == earlier
        assert first == (0 if stream == 0 else min(warm_up, tokens - batch_size))
        read += mine
    assert read == ids.tolist()
    assert sum(streams[i].tokens for i in range(len(streams))) == tokens


@pytest.mark.parametrize(
    ("batch_size", "world_size"), [(2, 2), (4, 2), (6, 3), (12, 1), (12, 4), (12, 12)]
)
@pytest.mark.parametrize("tokens", [12, 13, 47, 101])
@pytest.mark.parametrize("sequence_length", [1, 5, 1000])
def test_the_ranks_together_read_what_one_process_reads(
    tokens: int, sequence_length: int, batch_size: int, world_size: int
) -> None:
    whole = Streams(text(tokens), START, batch_size, sequence_length)
    ranks = [
        Streams(text(tokens), START, batch_size, sequence_length, rank=r, world_size=world_size)
        for r in range(world_size)
    ]
    for index in range(len(whole)):
        shares = [rank[index] for rank in ranks]
        assert torch.equal(torch.cat([s.inputs for s in shares], 1), whole[index].inputs)
        assert torch.equal(torch.cat([s.targets for s in shares], 1), whole[index].targets)
        # Every rank knows the size of the whole batch, to weigh its own share by.
        assert {s.tokens for s in shares} == {whole[index].tokens}
    assert {len(rank) for rank in ranks} == {len(whole)}


def test_the_columns_of_a_batch_go_on_in_the_next() -> None:
    streams = Streams(text(10), START, 2, 3)
    first, second = streams[0], streams[1]
    assert first.inputs.tolist() == [[START, 1004], [1000, 1005], [1001, 1006]]
    assert first.targets.tolist() == [[1000, 1005], [1001, 1006], [1002, 1007]]
    assert second.inputs.tolist() == [[1002, 1007], [1003, 1008]]
    assert second.targets.tolist() == [[1003, 1008], [1004, 1009]]


def test_only_the_last_chunk_is_shorter() -> None:
    streams = Streams(text(23), START, 2, 5)
    assert [streams[i].inputs.shape[0] for i in range(len(streams))] == [5, 5, 2]
    assert [streams[i].tokens for i in range(len(streams))] == [10, 10, 3]


def test_items_end_where_the_text_does() -> None:
    streams = Streams(text(10), START, 2, 3)
    assert len(list(iter_items(streams))) == len(streams) == 2
    for index in (2, -1):
        with pytest.raises(IndexError):
            streams[index]


def iter_items(streams: Streams) -> list[Batch]:
    """What a plain loop over the data set gives."""
    return list(streams)  # type: ignore[call-overload, no-any-return]


def test_ids_are_long_whatever_they_are_kept_in() -> None:
    batch = Streams(np.array([0, 255, 3], dtype=np.uint8), 255, 1, 3)[0]
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.inputs.flatten().tolist() == [255, 0, 255]
    # The smallest types hold no IGNORE: it must not wrap around to an id.
    ended = Streams(np.array([1, 2, 3], dtype=np.uint8), 0, 2, 2)[0]
    assert ended.targets.tolist() == [[1, 3], [2, IGNORE]]


@pytest.mark.parametrize(
    ("split", "key"),
    [
        ("train", "task.batch_size"),
        ("validation", "task.evaluation_batch_size"),
        ("test", "task.evaluation_batch_size"),
    ],
)
def test_a_text_shorter_than_a_batch_is_refused(split: str, key: str) -> None:
    with pytest.raises(
        DataError, match=f"the {split} split has 9 tokens, shorter .* 10 streams; .* lower {key}$"
    ):
        Streams(text(9), START, 10, 5, split=split)


def test_streams_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"task.batch_size=10: .* among 4 devices"):
        Streams(text(100), START, 10, 5, rank=0, world_size=4)
