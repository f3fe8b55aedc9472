from functools import cache

import pytest
import torch
from omegaconf import DictConfig

from unrolled.cells.lstm import LSTM
from unrolled.config.build import EVERYTHING
from unrolled.config.compose import compose_run
from unrolled.config.locations import config_directory
from unrolled.errors import BudgetError, ConfigError, DeviceError
from unrolled.models.build import Parts, build_model, cell_of
from unrolled.models.encoders import Embedding, Encoder
from unrolled.models.heads import Head, LinearHead, TiedHead
from unrolled.models.model import RecurrentModel
from unrolled.runs.identity import plain

CELLS = sorted(path.stem for path in (config_directory() / "cell").glob("*.yaml"))
CELLS.remove("custom")


@cache
def config(*overrides: str) -> DictConfig:
    return plain(compose_run(overrides))


def parts(config: DictConfig, vocabulary: int) -> Parts:
    """An embedding below, and a head of as many classes."""
    size = config.model.embedding_size

    def head(hidden_size: int, encoder: Encoder) -> Head:
        if config.model.tied_weights:
            assert isinstance(encoder, Embedding)
            return TiedHead(hidden_size, encoder)
        return LinearHead(hidden_size, vocabulary)

    return Parts(size, lambda: Embedding(vocabulary, size), head)


def build(*overrides: str, vocabulary: int = 50) -> RecurrentModel:
    torch.manual_seed(4)
    chosen = config(*overrides)
    return build_model(chosen, parts(chosen, vocabulary))


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_of_the_control_panel_makes_a_model(name: str) -> None:
    model = build(f"cell={name}", "model.layers=2", "model.hidden_size=8")
    assert len(model.recurrence.cells) == 2
    hidden, _ = model(torch.zeros(3, 2, dtype=torch.long))
    assert model.head.scores(hidden).shape == (3, 2, 50)


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("name", CELLS)
def test_every_cell_meets_a_budget_of_parameters(name: str, tied: str) -> None:
    base = config(f"cell={name}", f"model.tied_weights={tied}", "model.layers=2", "budget=equal")
    for parameters in (100_000, 1_000_000):
        chosen = base.copy()
        chosen.budget.parameters = parameters
        model = build_model(chosen, parts(chosen, 80))
        assert abs(model.parameter_count() - parameters) <= 0.02 * parameters


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_meets_a_budget_of_arithmetic(name: str) -> None:
    for layers, flops in ((1, 200_000), (2, 500_000)):
        sizes = (f"model.layers={layers}", f"budget.flops={flops}")
        model = build(f"cell={name}", "budget=equal_flops", *sizes)
        assert abs(model.flops_per_token() - flops) <= 0.02 * flops


@pytest.mark.parametrize("key", ["parameters", "flops"])
@pytest.mark.parametrize("name", CELLS)
def test_no_other_width_of_a_cell_comes_nearer(name: str, key: str) -> None:
    budget = {"parameters": 100_000, "flops": 200_000}[key]

    def off(model: RecurrentModel) -> float:
        counted = model.parameter_count() if key == "parameters" else model.flops_per_token()
        return abs(counted - budget) / budget

    model = build(f"cell={name}", f"budget.{key}={budget}")
    width = model.recurrence.hidden_size
    cell, options = cell_of(config(f"cell={name}").cell)
    step = cell.size_multiple(**options)
    for other in (width - step, width + step):
        assert off(model) <= off(build(f"cell={name}", f"model.hidden_size={other}"))
    # One unit more or less of a cell that takes every width is less than twice this.
    assert off(model) <= 0.01 * step


@pytest.mark.parametrize("key", ["parameters", "flops"])
def test_the_width_at_which_a_tied_head_needs_no_projection_can_be_solved_for(key: str) -> None:
    tied = ("cell=lstm", "model.tied_weights=true", "model.embedding_size=64")
    same = build(*tied, "model.hidden_size=64")
    assert isinstance(same.head, TiedHead)
    assert same.head.projection is None
    budget = same.parameter_count() if key == "parameters" else same.flops_per_token()
    solved = build(*tied, f"budget.{key}={budget}", "budget.tolerance=0")
    assert solved.recurrence.hidden_size == 64


def test_a_last_layer_as_wide_as_the_embedding_needs_no_projection_at_any_budget() -> None:
    recipe = ("model.layers=3", "model.tied_weights=true", "model.embedding_size=24")
    last = "model.last_layer_size=24"
    model = build("cell=lstm", *recipe, last, "budget.parameters=200000")
    assert isinstance(model.head, TiedHead)
    assert model.head.projection is None
    widths = [cell.hidden_size for cell in model.recurrence.cells]
    assert widths == [model.recurrence.hidden_size] * 2 + [24]
    assert abs(model.parameter_count() - 200_000) <= 0.02 * 200_000


def test_a_projection_and_the_output_are_part_of_the_budget() -> None:
    options = ("cell.projection_size=30", "model.tied_weights=true", "budget=equal_flops")
    model = build("cell=lstm", *options)
    hidden = model.recurrence.hidden_size
    assert model.recurrence.output_size == 30
    products = 4 * hidden * (64 + 30) + hidden * 30 + 30 * 64 + 64 * 50
    assert model.flops_per_token() == 2 * products


def test_heads_decide_which_sizes_can_be_solved_for() -> None:
    model = build("cell=slstm", "cell.heads=6", "budget=equal", "budget.parameters=300000")
    assert model.recurrence.hidden_size % 6 == 0


def test_a_budget_below_the_embedding_is_refused() -> None:
    with pytest.raises(BudgetError, match="too small"):
        build("budget.parameters=1000", vocabulary=10_000)


def test_without_a_budget_the_sizes_are_as_written() -> None:
    model = build("model.hidden_size=9", "model.embedding_size=5", "model.layers=3")
    assert model.encoder.output_size == 5
    assert model.recurrence.hidden_size == 9
    assert len(model.recurrence.cells) == 3


def test_the_dropouts_and_the_backend_reach_their_places() -> None:
    model = build(
        "model.dropout=0.5", "model.layer_dropout=0.1", "model.locked_dropout=true",
        "cell.backend=eager",
    )  # fmt: skip
    assert model.embedding_dropout.rate == model.output_dropout.rate == 0.5
    assert model.recurrence.dropout == 0.1
    assert model.recurrence.locked
    assert model.embedding_dropout.locked
    assert model.output_dropout.locked
    assert model.recurrence.backend_on(torch.device("cpu")) == "eager"


def test_a_uniform_start_is_uniform_everywhere() -> None:
    model = build("model.initialization=uniform", "model.initialization_range=0.03")
    values = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert float(values.abs().max()) <= 0.03
    assert float(values.std()) == pytest.approx(0.03 / 3**0.5, rel=0.02)


def test_a_uniform_start_leaves_what_only_the_cell_can_start() -> None:
    model = build("cell=lru", "model.initialization=uniform", "model.initialization_range=0.03")
    for cell in model.recurrence.cells:
        values = dict(cell.named_parameters())
        assert values["weight_ih"].abs().max() <= 0.03
        assert values["nu_log"].abs().max() > 0.03


def test_an_orthogonal_start_takes_each_gate_of_each_head() -> None:
    model = build("cell=slstm", "model.initialization=orthogonal", "model.hidden_size=32")
    (cell,) = model.recurrence.cells
    for head in dict(cell.named_parameters())["weight_hh"]:
        for block in head.split(8, dim=1):
            torch.testing.assert_close(block.T @ block, torch.eye(8), rtol=0, atol=1e-5)


def test_an_orthogonal_start_keeps_biases_that_a_cell_sets() -> None:
    model = build("cell=rhn", "model.initialization=orthogonal")
    (cell,) = model.recurrence.cells
    assert dict(cell.named_parameters())["bias_ih"].min() == -2


@pytest.mark.parametrize("name", ["rnn_tanh", "rnn_relu", "gru", "lstm"])
def test_an_orthogonal_start_makes_each_gates_recurrent_matrix_orthogonal(name: str) -> None:
    model = build(f"cell={name}", "model.initialization=orthogonal", "model.layers=2")
    for cell in model.recurrence.cells:
        parameters = dict(cell.named_parameters())
        size = parameters["weight_hh"].shape[1]
        for block in torch.split(parameters["weight_hh"], size):
            torch.testing.assert_close(block @ block.T, torch.eye(size), rtol=0, atol=1e-5)
        assert parameters["bias_ih"].eq(0).all()
        assert parameters["bias_hh"].eq(0).all()


@pytest.mark.parametrize("start", ["default", "uniform", "orthogonal"])
def test_the_forget_bias_holds_under_every_start(start: str) -> None:
    model = build(
        f"model.initialization={start}", "model.forget_bias=1", "model.layers=2", "cell=lstm"
    )
    for cell in model.recurrence.cells:
        assert isinstance(cell, LSTM)
        assert cell.bias_hh is not None
        forget = (cell.bias_ih + cell.bias_hh).chunk(4)[cell.gates.index("f")]
        torch.testing.assert_close(forget, torch.ones_like(forget))


def test_the_seed_decides_the_weights() -> None:
    first, again = build().state_dict(), build().state_dict()
    assert all(torch.equal(value, again[key]) for key, value in first.items())


def test_what_is_not_a_cell_is_refused() -> None:
    for target in ("torch.nn.LSTM", "unrolled.models.budget.solve_hidden_size"):
        wrong = config().copy()
        wrong.cell._target_ = target
        with pytest.raises(ConfigError, match=f"{target}: not a cell"):
            build_model(wrong, parts(wrong, 50), trusted=EVERYTHING)


def test_a_stored_configuration_runs_no_code_of_others() -> None:
    wrong = config().copy()
    wrong.cell._target_ = "subprocess.Popen"
    with pytest.raises(ConfigError, match=r"subprocess\.Popen, which is part of a library"):
        build_model(wrong, parts(wrong, 50))


@pytest.mark.parametrize("sizes", [["model.hidden_size=10_000_000"], ["budget.parameters=10**12"]])
def test_a_model_larger_than_the_memory_is_refused_before_it_is_made(sizes: list[str]) -> None:
    sizes = [size.replace("10**12", str(10**12)) for size in sizes]
    with pytest.raises(DeviceError, match=r"parameters need .*B to train, and .*B of memory are"):
        build("cell=rnn_tanh", *sizes)


def test_asking_for_the_memory_draws_no_number() -> None:
    """Or the weights would depend on how wide a model must be to be asked for."""
    wide = ("cell=rnn_tanh", "model.hidden_size=8192", "model.embedding_size=2")
    chosen = config(*wide)
    torch.manual_seed(4)
    first = build_model(chosen, parts(chosen, 3)).encoder.state_dict()["weight"]
    torch.manual_seed(4)
    make = cell_of(chosen.cell)[0]
    make(2, 8192)
    assert torch.equal(first, Embedding(3, 2).weight)
