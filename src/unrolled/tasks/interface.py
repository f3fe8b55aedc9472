"""How a task's model is used without this package: what it reads, and what its scores mean."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled.data.text_tokenizer import TextTokenizer


@dataclass(frozen=True)
class Interface:
    """Plain values, for a file beside an exported model.

    Attributes:
        inputs: what a step is, and what is done to data before the model reads it.
        scores: what a score is, with the names of classes or targets.
        tokenizer: that makes ids of text; None where the model reads no text.
        whole_texts: whether a text's last line ends, too (``TextTokenizer.encode``), or may go on
            (``encode_prompt``).
    """

    inputs: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: "TextTokenizer | None" = None
    whole_texts: bool = True
