"""Generated text at each validation, into ``samples.txt`` and TensorBoard's text page."""

from collections.abc import Callable, Iterable
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger

from unrolled.data.tokens import TokenizedCorpus
from unrolled.runs.text import printable
from unrolled.tasks.boards import board_of
from unrolled.tasks.sampling import Sampling, generate

if TYPE_CHECKING:
    from unrolled.tasks.tokens import Sample

# How much of the validation split begins a sample where no prompt is configured.
PROMPT_CHARACTERS = 40


class Samples(pl.Callback):
    """Continue a prompt at each validation.

    Args:
        options: prompt, length and temperature.
        seed: of the draws, the same at each validation.
        generate: how a model continues a prompt, with the arguments of ``sampling.generate``.
    """

    def __init__(
        self,
        options: "Sample",
        data: TokenizedCorpus,
        folder: Path,
        seed: int,
        generate: Callable[..., Iterable[int]] = generate,
    ) -> None:
        self.generate = generate
        self.length = options.length
        self.sampling = Sampling(temperature=options.temperature)
        self.seed = seed
        self.folder = folder
        self.tokenizer = data.tokenizer
        if options.prompt is None:
            # Enough tokens of the split for the prompt's characters, whatever the tokenizer.
            opening = self.tokenizer.decode(data.ids["validation"][:PROMPT_CHARACTERS])
            self.prompt = opening[:PROMPT_CHARACTERS].strip() or "\n"
        else:
            self.prompt = options.prompt

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model: Any = pl_module.model
        prompt = [self.tokenizer.start_id, *self.tokenizer.encode_prompt(self.prompt).tolist()]
        ids = self.generate(
            model, prompt, length=self.length, sampling=self.sampling, seed=self.seed
        )
        text = printable(self.tokenizer.decode(prompt[1:] + list(ids)))
        step = trainer.global_step
        with (self.folder / "samples.txt").open("a", encoding="utf-8") as file:
            file.write(f"--- step {step}\n{text}\n\n")
        # Four spaces keep TensorBoard from reading it as Markdown; it cuts long lines.
        lines = [part for line in text.splitlines() for part in wrap(line, 100) or [""]]
        literal = "\n".join(f"    {line}" for line in lines)
        for logger in trainer.loggers:
            if (board := board_of(logger)) is not None:
                markdown = isinstance(logger, TensorBoardLogger)
                board.add_text("samples", literal if markdown else text, step)
