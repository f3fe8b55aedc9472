"""The choices of ``conf/head``: encoder and head of a task whose targets are tokens.

They are made together, since a head may share what the encoder has.
"""

from typing import TYPE_CHECKING, Literal

from unrolled.errors import ConfigError
from unrolled.models.adaptive_embedding import AdaptiveEmbedding
from unrolled.models.adaptive_head import AdaptiveHead
from unrolled.models.clusters import make_clusters
from unrolled.models.encoders import Embedding, Encoder
from unrolled.models.heads import Head
from unrolled.models.sampled_head import SampledHead

if TYPE_CHECKING:
    from unrolled.models.build import Parts

Ends = tuple[Encoder, Head]


def linear(hidden_size: int, parts: "Parts", tied: bool) -> Ends:
    """What the task itself puts before and behind the recurrence.

    Args:
        hidden_size: the width of the recurrence's output.
        parts: of the task.
        tied: whether the head shares the embedding's weights.
    """
    encoder = parts.encoder()
    return encoder, parts.head(hidden_size, encoder)


def adaptive(
    hidden_size: int, parts: "Parts", tied: bool, *, cutoffs: list[int] | None, div_value: float
) -> Ends:
    """An adaptive softmax; tied, an adaptive embedding whose tables it shares.

    Raises:
        ConfigError: cut-offs that do not fit the vocabulary, or a task without tokens.
    """
    clusters = make_clusters(_tokens(parts, "adaptive"), parts.counts(), cutoffs, div_value)
    if not tied:
        return parts.encoder(), AdaptiveHead(hidden_size, clusters)
    embedding = AdaptiveEmbedding(clusters, parts.input_size)
    return embedding, AdaptiveHead(hidden_size, clusters, embedding)


def sampled(
    hidden_size: int,
    parts: "Parts",
    tied: bool,
    *,
    samples: int,
    proposal: Literal["unigram", "log_uniform"],
) -> Ends:
    """A linear head that is trained by sampling.

    Raises:
        ConfigError: no fewer samples than tokens, or a task without tokens.
    """
    tokens = _tokens(parts, "sampled")
    if samples >= tokens:
        raise ConfigError(
            f"head.samples={samples}: the vocabulary has {tokens:,} tokens, and scoring all of "
            "them is exact and costs less; take head=linear, or fewer samples"
        )
    encoder = parts.encoder()
    shared = None
    if tied:
        assert isinstance(encoder, Embedding)
        shared = encoder
    head = SampledHead(
        hidden_size,
        tokens,
        samples=samples,
        proposal=proposal,
        counts=parts.counts(),
        embedding=shared,
    )
    return encoder, head


def _tokens(parts: "Parts", choice: str) -> int:
    if parts.tokens is None:
        raise ConfigError(
            f"head={choice}: the task has no tokens to predict, and brings its own head; take "
            "head=linear"
        )
    return parts.tokens
