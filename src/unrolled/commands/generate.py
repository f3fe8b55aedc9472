"""Text from trained runs: streamed as it is drawn, several runs side by side on one prompt."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from unrolled.config.build import OURS
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.errors import ConfigError, DataError
from unrolled.training.load import StoredRun, load_run

SHOWN_UNKNOWN = 10


@dataclass(frozen=True)
class Request:
    """What to generate.

    Attributes:
        length: tokens at most.
        temperature: 0 is greedy.
        stop: end at the end of a sentence, which is a line's end where the tokenizer has none.
        allow_unknown: let what the model never saw of the prompt be the unknown token.
    """

    prompt: str = ""
    length: int = 200
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 1
    stop: bool = False
    allow_unknown: bool = False

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ConfigError(f"length {self.length}: must be at least 1")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed}: must be at least 0 and below 2 to the 63")


def generate_side_by_side(
    folders: Sequence[Path], request: Request, out: TextIO, trusted: Iterable[str] = OURS
) -> None:
    """Write each run's continuation of the prompt to ``out``, token by token.

    Every folder and the prompt are checked before the first token.

    Raises:
        RunError: a folder holds no trained run.
        DataError: the prompt has something that a model never saw.
        ConfigError: a value that no draw could use.
    """
    trusted = list(trusted)
    runs = [load_run(folder) for folder in folders]
    prompts = [encode_prompt(run.tokenizer, request) for run in runs]
    # torch comes with the model, and a wrong prompt must not wait for it.
    models = [run.best_model(trusted) for run in runs]
    from unrolled.tasks.language_modeling.sampling import Sampling, generate

    sampling = Sampling(request.temperature, request.top_k, request.top_p)
    for run, prompt, model in zip(runs, prompts, models, strict=True):
        if len(runs) > 1:
            out.write(f"{'' if run is runs[0] else chr(10)}--- {heading(run)}\n")
        text = run.tokenizer.stream()
        for token in prompt[1:]:
            out.write(text(token))
        for token in generate(
            model,
            prompt,
            length=request.length,
            sampling=sampling,
            seed=request.seed,
            stop=stop_token(run.tokenizer) if request.stop else None,
        ):
            out.write(text(token))
            out.flush()
        out.write("\n")


def encode_prompt(tokenizer: TextTokenizer, request: Request) -> list[int]:
    """The prompt's ids after the token that begins a text.

    Raises:
        DataError: something in it is outside the vocabulary.
    """
    unknown = tokenizer.unknown_pieces(request.prompt)
    if unknown and not request.allow_unknown:
        shown = ", ".join(repr(piece) for piece in unknown[:SHOWN_UNKNOWN])
        raise DataError(
            f"the prompt has what the model never saw: {shown}; write it otherwise, "
            "or let it be the unknown token with --allow-unknown"
        )
    return [tokenizer.start_id, *tokenizer.encode_prompt(request.prompt).tolist()]


def heading(run: StoredRun) -> str:
    """A run's name and how good it is."""
    perplexity = run.record.metrics.get("test/perplexity")
    return run.record.name + (f" (test perplexity {perplexity:.2f})" if perplexity else "")


def stop_token(tokenizer: TextTokenizer) -> int:
    """The end of a sentence, or a line's end where the tokenizer has no such token."""
    if tokenizer.end_of_sentence_id is not None:
        return tokenizer.end_of_sentence_id
    return tokenizer.start_id
