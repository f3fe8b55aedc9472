from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from unrolled.data.batches import IGNORE, Batch
from unrolled.data.corpus import Corpus
from unrolled.data.module import StreamModule
from unrolled.data.tokenizers import CharTokenizer
from unrolled.data.tokens import TokenizedCorpus, prepare
from unrolled.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def corpus() -> TokenizedCorpus:
    text = Corpus("small", "the cat sat on the mat\n" * 9, "the cat sat\n" * 5, "the mat\n" * 3)
    return prepare(text, CharTokenizer(name="char", minimum_count=1, lowercase=False), None)


def module(corpus: TokenizedCorpus, **values: Any) -> StreamModule:
    sizes = {
        "batch_size": 4,
        "sequence_length": 10,
        "evaluation_batch_size": 3,
        "evaluation_sequence_length": 7,
    }
    return StreamModule(corpus, **{**sizes, **values})


def text_of(corpus: TokenizedCorpus, batches: list[Batch]) -> str:
    targets = torch.cat([batch.targets for batch in batches]).T.flatten()
    return corpus.tokenizer.decode(targets[targets != IGNORE].tolist())


def on_rank(data: StreamModule, rank: int, world_size: int) -> StreamModule:
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)  # type: ignore[assignment]
    return data


def test_each_loader_reads_its_whole_split_in_order(corpus: TokenizedCorpus) -> None:
    data = module(corpus)
    loaders = {
        "train": data.train_dataloader(),
        "validation": data.val_dataloader(),
        "test": data.test_dataloader(),
    }
    raw = {"train": "the cat sat on the mat\n" * 9, "validation": "the cat sat\n" * 5,
           "test": "the mat\n" * 3}  # fmt: skip
    for split, loader in loaders.items():
        batches = list(loader)
        assert text_of(corpus, batches) == raw[split]
        assert sum(batch.tokens for batch in batches) == corpus.sizes[split]["tokens"]
        # A shuffled stream would carry one text's state into another, in any epoch.
        assert text_of(corpus, list(loader)) == raw[split]


def test_a_batch_comes_out_of_the_loader_as_it_went_in(corpus: TokenizedCorpus) -> None:
    batch = next(iter(module(corpus).train_dataloader()))
    assert isinstance(batch, Batch)
    assert isinstance(batch.tokens, int)
    assert batch.inputs.shape == batch.targets.shape == (10, 4)
    assert batch.tokens == 40


def test_a_pass_is_a_data_loader_s_and_draws_as_much(corpus: TokenizedCorpus) -> None:
    loader = module(corpus).train_dataloader()
    theirs = DataLoader(loader.dataset, batch_size=None, sampler=loader.sampler)
    torch.manual_seed(1)
    ours, drawn = [*loader], torch.rand(())
    torch.manual_seed(1)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)
    assert torch.rand(()) == drawn


def test_sizes_are_those_of_training_and_of_evaluation(corpus: TokenizedCorpus) -> None:
    data = module(corpus)
    assert data.steps_per_epoch == len(data.train_dataloader()) == 6
    assert next(iter(data.val_dataloader())).inputs.shape == (7, 3)
    assert next(iter(data.test_dataloader())).inputs.shape == (7, 3)


def test_any_split_is_evaluated_as_the_others_are(corpus: TokenizedCorpus) -> None:
    batches = list(module(corpus).evaluation_dataloader("train"))
    assert batches[0].inputs.shape == (7, 3)
    assert text_of(corpus, batches) == "the cat sat on the mat\n" * 9


def test_ranks_share_training_and_each_evaluates_everything(corpus: TokenizedCorpus) -> None:
    whole = module(corpus)
    first, second = (on_rank(module(corpus), rank, 2) for rank in (0, 1))
    shares = zip(
        whole.train_dataloader(), first.train_dataloader(), second.train_dataloader(), strict=True
    )
    for batch, left, right in shares:
        assert left.targets.shape[1] == right.targets.shape[1] == 2
        assert torch.equal(torch.cat([left.targets, right.targets], 1), batch.targets)
        assert left.tokens == right.tokens == batch.tokens
    for rank in (first, second):
        assert rank.steps_per_epoch == whole.steps_per_epoch
        for loader in ("val_dataloader", "test_dataloader"):
            pairs = zip(getattr(rank, loader)(), getattr(whole, loader)(), strict=True)
            assert all(torch.equal(mine.targets, one.targets) for mine, one in pairs)


@pytest.mark.parametrize(("asked", "given"), [(1, 1), (2, 2), (100, 6)])
def test_overfitting_trains_and_validates_on_the_first_batches(
    corpus: TokenizedCorpus, asked: int, given: int
) -> None:
    data = module(corpus, overfit_batches=asked)
    training, validation = list(data.train_dataloader()), list(data.val_dataloader())
    assert len(training) == len(validation) == data.steps_per_epoch == given
    ordinary = list(module(corpus).train_dataloader())[:given]
    for batch, seen, other in zip(training, validation, ordinary, strict=True):
        assert torch.equal(batch.targets, seen.targets)
        assert torch.equal(batch.targets, other.targets)
        assert batch.tokens == seen.tokens == other.tokens
    # The test split stays what it is.
    assert text_of(corpus, list(data.test_dataloader())) == "the mat\n" * 3


def test_what_cannot_be_laid_out_is_said_with_split_and_key(corpus: TokenizedCorpus) -> None:
    with pytest.raises(DataError, match=r"the train split has 207 tokens.*lower task.batch_size"):
        module(corpus, batch_size=1000).train_dataloader()
    large = module(corpus, evaluation_batch_size=50)
    large.val_dataloader()
    with pytest.raises(DataError, match=r"the test split has 24 .*task.evaluation_batch_size"):
        large.test_dataloader()
    with pytest.raises(ConfigError, match=r"task.batch_size=4: .* among 3 devices"):
        on_rank(module(corpus), 0, 3).train_dataloader()
