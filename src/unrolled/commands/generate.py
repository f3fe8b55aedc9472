"""``unrolled generate``: text from trained runs, streamed as it is drawn, side by side on one
prompt."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from unrolled.commands.options import add_trust, trusted_prefixes
from unrolled.config.build import OURS
from unrolled.data.text_tokenizer import TextTokenizer
from unrolled.errors import ConfigError, DataError
from unrolled.training.load import StoredRun, load_run

SHOWN_UNKNOWN = 10


def add_parser(subparsers: Any, summary: str) -> argparse.ArgumentParser:
    """Add the subcommand."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "generate", allow_abbrev=False, help=summary
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="run folders")
    parser.add_argument("--prompt", default="", help="what the text begins with")
    parser.add_argument("--length", type=int, default=200, help="tokens at most (200)")
    parser.add_argument("--temperature", type=float, default=0.8, help="0 is greedy (0.8)")
    parser.add_argument("--greedy", action="store_true", help="the most probable token each time")
    parser.add_argument("--top-k", type=int, help="draw among the k most probable tokens")
    parser.add_argument("--top-p", type=float, help="draw among tokens of this total probability")
    parser.add_argument("--seed", type=int, default=1, help="of the draws (1)")
    parser.add_argument(
        "--stop-at-end-of-sentence", action="store_true", help="stop there, or at a line's end"
    )
    parser.add_argument(
        "--allow-unknown", action="store_true", help="accept a prompt that the model never saw"
    )
    add_trust(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Generate text from some runs."""
    request = Request(
        prompt=options.prompt,
        length=options.length,
        temperature=0.0 if options.greedy else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        stop=options.stop_at_end_of_sentence,
        allow_unknown=options.allow_unknown,
    )
    generate_side_by_side(options.folders, request, sys.stdout, trusted_prefixes(options))
    return 0


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
