"""The data of a run: read, tokenized, and taken from the cache where it is there."""

from functools import lru_cache
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from unrolled.config.build import EVERYTHING, build
from unrolled.data.tokens import TokenizedCorpus, default_cache, prepare


def prepare_data(config: DictConfig) -> TokenizedCorpus:
    """Read, tokenize and cache what ``config.dataset`` and ``config.tokenizer`` name.

    Raises:
        DataError: the text cannot be used; the message says which and why.
    """
    nodes = OmegaConf.create({"dataset": config.dataset, "tokenizer": config.tokenizer})
    return _prepare(OmegaConf.to_yaml(nodes, resolve=True), config.paths.cache)


@lru_cache(maxsize=2)
def _prepare(nodes: str, cache: str | None) -> TokenizedCorpus:
    config = OmegaConf.create(nodes)
    assert isinstance(config, DictConfig)
    corpus = build(config.dataset, trusted=EVERYTHING)
    tokenizer = build(config.tokenizer, trusted=EVERYTHING)
    return prepare(corpus, tokenizer, Path(cache).expanduser() if cache else default_cache())
