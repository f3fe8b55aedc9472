"""The options of the task whose class is still to be written; goes when the class is there."""

from dataclasses import dataclass

from unrolled.config.signatures import Signature, signature_of


@dataclass
class _Sample:
    prompt: str | None
    length: int
    temperature: float


@dataclass
class _LanguageModeling:
    batch_size: int
    sequence_length: int
    evaluation_batch_size: int
    evaluation_sequence_length: int
    sample: _Sample


PENDING: dict[str, Signature] = {
    "unrolled.tasks.language_modeling.LanguageModeling": signature_of(_LanguageModeling)
}
