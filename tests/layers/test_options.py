"""What PyTorch's layers lack, and what a layer is to whoever stores, copies or changes it."""

import copy
import inspect
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils import parametrize

import unrolled
from unrolled import layers
from unrolled.cells.base import Cell, State
from unrolled.cells.mgu import MGU
from unrolled.config.locations import config_directory
from unrolled.layers.arguments import options_of
from unrolled.layers.named import BY_NAME
from unrolled.recurrence.dropout import RecurrentRegularization
from unrolled.recurrence.stack import Recurrence

Fixture = Callable[..., Any]


class Leaky(Cell):
    """h_t = a h_{t-1} + (1 - a) tanh(W x_t + U h_{t-1} + b), a cell from outside."""

    recurrent_weights = ("U.weight",)

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5) -> None:
        super().__init__(input_size, hidden_size)
        self.leak = leak
        self.W = nn.Linear(input_size, hidden_size)
        self.U = nn.Linear(hidden_size, hidden_size, bias=False)

    def project(self, x: Tensor) -> Tensor:
        return self.W(x)  # type: ignore[no-any-return]

    def step(self, z: Tensor, state: State) -> State:
        (h,) = state
        return (self.leak * h + (1 - self.leak) * torch.tanh(z + self.U(h)),)


def test_every_cell_has_a_layer_with_the_defaults_of_its_configuration() -> None:
    files = {path.stem: path for path in (config_directory() / "cell").glob("*.yaml")}
    del files["custom"]
    assert {*files} == {*BY_NAME}
    for name, kind in BY_NAME.items():
        options = yaml.safe_load(files[name].read_text(encoding="utf-8"))
        assert kind.cell_type is not None
        parameters = inspect.signature(kind.cell_type.__init__).parameters
        target = f"{kind.cell_type.__module__}.{kind.cell_type.__name__}"
        assert (options.pop("name"), options.pop("_target_")) == (name, target)
        assert kind.__name__ == kind.cell_type.__name__
        del options["backend"]
        assert options == {key: parameters[key].default for key in options}
        assert {*options} - {"bias"} == {*options_of(kind.cell_type)}


@pytest.mark.parametrize(
    "options",
    [
        {"zoneout": 0.3},
        {"recurrent_dropout": 0.3},
        {"weight_dropout": 0.3},
        {"dropout": 0.4, "locked_dropout": True},
        {"residual": True},
        {"backend": "eager"},
        {"recompute": True, "zoneout": 0.3},
    ],
    ids=lambda options: "+".join(options),
)
def test_an_option_is_the_engines(options: dict[str, Any], with_gradients: Fixture) -> None:
    torch.manual_seed(1)
    layer = unrolled.layer("mgu", 3, 8, 2, bidirectional=True, dtype=torch.float64, **options)
    rates = ("zoneout", "recurrent_dropout", "weight_dropout")
    given = {"locked" if k == "locked_dropout" else k: v for k, v in options.items()}
    drawn = RecurrentRegularization(**{k: given.pop(k) for k in rates if k in given})
    engine = Recurrence(MGU, 3, 8, 2, bidirectional=True, regularization=drawn, **given).double()
    with torch.no_grad():
        for one, other in zip(engine.parameters(), layer.parameters(), strict=True):
            one.copy_(other)
    x = torch.randn(9, 4, 3, dtype=torch.float64, requires_grad=True)
    results = []
    for module in (layer, engine):
        torch.manual_seed(2)
        results.append(with_gradients(module(x)[0], [x, *module.parameters()]))
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("name", [name for name in BY_NAME if name != "lru"])
def test_without_biases_is_with_biases_of_zero(name: str) -> None:
    torch.manual_seed(1)
    without = unrolled.layer(name, 3, 8, 2, bias=False)
    zeros = unrolled.layer(name, 3, 8, 2)
    assert not [key for key, _ in without.named_parameters() if key.startswith("bias")]
    with torch.no_grad():
        for key, parameter in zeros.named_parameters():
            parameter.zero_() if key.startswith("bias") else parameter.copy_(getattr(without, key))
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(without(x)[0], zeros(x)[0])
    without.reset_parameters()
    without(x)[0].sum().backward()


def test_a_cell_of_ones_own(with_gradients: Fixture) -> None:
    layer = unrolled.layer(Leaky, 3, 8, 2, leak=0.25, recurrent_dropout=0.1, dtype=torch.float64)
    assert repr(layer) == (
        "RecurrentLayer(Leaky, 3, 8, num_layers=2, recurrent_dropout=0.1, leak=0.25)"
    )
    assert [*layer.state_dict()][:3] == ["W_weight_l0", "W_bias_l0", "U_weight_l0"]
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    output, h = layer.eval()(x)
    assert torch.equal(output[-1], h[-1])

    class LeakyLayer(layers.RecurrentLayer):
        cell_type = Leaky

    same = LeakyLayer(3, 8, 2, leak=0.25, dtype=torch.float64)
    same.load_state_dict(layer.state_dict())
    assert torch.equal(same(x)[0], output)


@pytest.mark.parametrize("name", BY_NAME)
def test_copies_and_stored_layers_are_equal_and_independent(name: str) -> None:
    torch.manual_seed(1)
    layer = unrolled.layer(name, 3, 8, 2)
    x = torch.randn(5, 2, 3)
    output, _ = layer(x)
    stored = io.BytesIO()
    torch.save(layer.state_dict(), stored)
    stored.seek(0)
    loaded = unrolled.layer(name, 3, 8, 2)
    loaded.load_state_dict(torch.load(stored, weights_only=True))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded):
        assert torch.equal(other(x)[0], output)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(1.0)
        assert torch.equal(layer(x)[0], output)


def test_parametrizations_and_functional_calls_reach_the_cell() -> None:
    layer = layers.MGU(3, 8)
    x = torch.randn(5, 2, 3)
    halved = {name: tensor / 2 for name, tensor in layer.named_parameters()}
    called, _ = torch.func.functional_call(layer, halved, (x,))
    loaded = layers.MGU(3, 8)
    loaded.load_state_dict({name: tensor.detach() for name, tensor in halved.items()})
    torch.testing.assert_close(called, loaded(x)[0])

    class Double(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    plain, _ = layer(x)
    parametrize.register_parametrization(layer, "weight_hh_l0", Double())
    assert not torch.allclose(layer(x)[0], plain)
    with torch.no_grad():
        layer.parametrizations.weight_hh_l0.original.div_(2)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(layer(x)[0], plain)


def test_a_failed_pass_leaves_the_layer_as_it_was() -> None:
    layer = layers.MGU(3, 8)
    keys = [*layer.state_dict()]
    with pytest.raises(ValueError, match="hx"):
        layer(torch.randn(5, 2, 3), torch.zeros(1))
    assert [*layer.state_dict()] == keys
    layer(torch.randn(5, 2, 3))
    layer.flatten_parameters()
