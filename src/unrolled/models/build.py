"""From the configuration to a model: its size solved, its weights initialized."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
from omegaconf import DictConfig
from torch import nn

from unrolled.cell_checks.construction import construct, is_ours, require_complete
from unrolled.cell_checks.soundness import require_sound
from unrolled.cells.base import Cell, recurrent_parameters
from unrolled.cells.gated import GatedCell
from unrolled.config.build import OURS, arguments_of, build, target_of
from unrolled.config.hyperparameters import typed_arguments
from unrolled.errors import ConfigError
from unrolled.models.budget import UNITS, solve_hidden_size
from unrolled.models.clusters import Ids
from unrolled.models.encoders import Encoder, Features, OneHot
from unrolled.models.heads import Head
from unrolled.models.memory import require_memory
from unrolled.models.model import RecurrentModel
from unrolled.models.pooling import Readout
from unrolled.models.regularization import ActivationPenalty, WordDropout
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.stack import Recurrence

# From this width on a model's memory is counted before it is allocated.
WIDE = 1 << 13


@dataclass(frozen=True)
class Parts:
    """What a task puts before and behind the recurrence.

    Attributes:
        input_size: the width of what the encoder gives.
        encoder: makes the encoder.
        head: makes the head from the width of the recurrence's output and the encoder.
        readout: what the head reads: every step, or what of each sequence.
        bidirectional: whether each layer also reads backwards in time.
        tokens: how many there are, where the targets are tokens of a vocabulary and the
            configuration may choose another head (``conf/head``); None where it may not.
        counts: how often each token is a target of the training split; None where that is not
            known, as for a trained model, whose weights have what was made of it.
    """

    input_size: int
    encoder: Callable[[], Encoder]
    head: Callable[[int, Encoder], Head]
    readout: Readout = "every"
    bidirectional: bool = False
    tokens: int | None = None
    counts: Callable[[], Ids | None] = lambda: None


def build_model(config: DictConfig, parts: Parts, trusted: Iterable[str] = OURS) -> RecurrentModel:
    """The model that ``config.cell``, ``config.model`` and ``config.budget`` describe.

    Raises:
        BudgetError: no hidden size meets the budget.
        ConfigError: what the configuration names is not a cell, or its head does not fit.
        DeviceError: the model is larger than the machine's memory.
    """
    cell, options = cell_of(config.cell, trusted)
    make = partial(construct, cell, **options)
    hidden_size = config.model.hidden_size
    for of in UNITS:
        if config.budget[of] is not None:
            hidden_size = _solve(config, make, parts, of)
    if max(hidden_size, config.model.last_layer_size or 0, parts.input_size) >= WIDE:
        count = _count(config, make, parts, hidden_size, "parameters")
        require_memory(config, count, hidden_size)
    model = _assemble(config, make, parts, hidden_size)
    if not is_ours(cell):
        require_sound(cast(Cell, model.recurrence.cells[0]))
    initialize(model, config.model.initialization, config.model.initialization_range)
    if config.model.forget_bias is not None:
        for layer in model.recurrence.cells:
            cast(Cell, layer).set_forget_bias(config.model.forget_bias)
    return model


def cell_of(
    node: DictConfig, trusted: Iterable[str] = OURS, overrides: Mapping[str, Any] | None = None
) -> tuple[type[Cell], dict[str, Any]]:
    """The class that a ``cell`` node names, and its hyperparameters.

    Args:
        overrides: hyperparameters that take precedence over the node's.

    Raises:
        ConfigError: it is not a cell, lacks a method, or does not take these hyperparameters.
    """
    cell = target_of(node, trusted)
    if not (isinstance(cell, type) and issubclass(cell, Cell)):
        raise ConfigError(
            f"cell._target_={node._target_}: not a cell; a cell is a subclass of "
            "unrolled.cells.base.Cell"
        )
    require_complete(cell)
    options = {**arguments_of(node, "name", "backend"), **(overrides or {})}
    if options and cell.__init__ in (Cell.__init__, GatedCell.__init__):
        # Their output_size is what a subclass decides, and no hyperparameter.
        raise ConfigError(f"cell.{next(iter(options))}: {cell.__name__} has no hyperparameters")
    return cell, typed_arguments(cell, options, "cell", given=2)


def _solve(config: DictConfig, make: "partial[Cell]", parts: Parts, of: str) -> int:
    """The hidden size that meets ``config.budget[of]``."""
    cell: type[Cell] = make.args[0]
    multiple = cell.size_multiple(**make.keywords)
    model, budget = config.model, config.budget
    return solve_hidden_size(
        lambda size: _count(config, make, parts, size, of),
        budget[of],
        budget.tolerance,
        of=of,
        multiple=multiple,
        without_projection=(
            model.embedding_size if model.tied_weights and model.last_layer_size is None else None
        ),
    )


def _count(
    config: DictConfig, make: "partial[Cell]", parts: Parts, hidden_size: int, of: str
) -> int:
    """The parameters, or the floating-point operations per token, of a model of this width."""
    # A model on the meta device has shapes and no storage: counting costs no memory.
    with torch.device("meta"):
        model = _assemble(config, make, parts, hidden_size)
        return model.parameter_count() if of == "parameters" else model.flops_per_token()


def initialize(model: RecurrentModel, how: str, bound: float) -> None:
    """Initialize in place.

    ``default`` keeps what each part starts with; ``uniform`` draws weights and biases from
    U(-bound, bound) (Zaremba 2014); ``orthogonal`` makes each gate's recurrent matrix orthogonal
    (Saxe 2014), a cell's other matrices Glorot's, and biases zero where a cell draws them at
    random. What only its cell can start (gains, peepholes, decays) stays as it is.
    """
    if how == "uniform":
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 or _last(name).startswith(("weight", "bias")):
                nn.init.uniform_(parameter, -bound, bound)
    elif how == "orthogonal":
        for cell in cast(Iterable[Cell], model.recurrence.cells):
            recurrent = recurrent_parameters(cell)
            for name, parameter in cell.named_parameters():
                if parameter.dim() > 1 and name in recurrent:
                    _make_orthogonal(parameter)
                elif parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)
                elif isinstance(cell, GatedCell) and cell.two_biases and "bias" in name:
                    nn.init.zeros_(parameter)


@torch.no_grad()
def _make_orthogonal(weight: torch.Tensor) -> None:
    """Make each square block of ``[..., rows, columns]`` orthogonal: each gate of each head."""
    for matrix in weight.flatten(0, -3) if weight.dim() > 2 else [weight]:
        gates_below = matrix.shape[0] >= matrix.shape[1]
        for block in matrix.split(min(matrix.shape), 0 if gates_below else 1):
            nn.init.orthogonal_(block)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _assemble(
    config: DictConfig, make: "partial[Cell]", parts: Parts, hidden_size: int
) -> RecurrentModel:
    model = config.model
    # In this order, since each part draws its weights when it is made.
    recurrence = Recurrence(
        make,
        parts.input_size,
        hidden_size,
        model.layers,
        dropout=model.layer_dropout,
        locked=model.locked_dropout,
        backend=config.cell.backend,
        bidirectional=parts.bidirectional,
        last_size=model.last_layer_size,
        residual=model.residual,
        regularization=RecurrentRegularization(
            model.recurrent_dropout, model.weight_dropout, model.zoneout
        ),
        recompute=model.recompute,
    )
    encoder, head = build(config.head, recurrence.output_size, parts, model.tied_weights)
    return RecurrentModel(
        encoder,
        recurrence,
        head,
        readout=parts.readout,
        embedding_dropout=model.embedding_dropout,
        output_dropout=model.output_dropout,
        locked=model.locked_dropout,
        word_dropout=_word_dropout(model.word_dropout, encoder),
        activation_penalty=ActivationPenalty(
            model.activation_regularization, model.temporal_activation_regularization
        ),
    )


def _word_dropout(rate: float, encoder: Encoder) -> WordDropout | None:
    if not rate:
        return None
    if isinstance(encoder, Features):
        raise ConfigError(
            f"model.word_dropout={rate}: the task reads numbers, and has no words to leave out; "
            "take model.embedding_dropout"
        )
    tokens = encoder.output_size if isinstance(encoder, OneHot) else encoder.num_embeddings
    return WordDropout(rate, tokens)
