from enum import Enum
from typing import Any, Literal

import pytest

from unrolled.config.hyperparameters import typed_arguments
from unrolled.errors import ConfigError


class Kind(Enum):
    soft = "s"
    hard = "h"


class Own:
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        depth: int,
        *,
        leak: float = 0.5,
        tied: bool = False,
        name: str | None = None,
        kind: Kind = Kind.soft,
        gate: Literal["sigmoid", "tanh"] = "tanh",
        sizes: tuple[int, ...] = (),
        free: Any = None,
    ) -> None:
        """A class with a hyperparameter of each type."""


class Anything:
    def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
        """A class that takes what it is given."""


def typed(**values: Any) -> dict[str, Any]:
    return typed_arguments(Own, {"depth": 2, **values}, "cell", given=2)


def test_values_come_as_the_annotations_have_them() -> None:
    found = typed(leak=1, tied=True, name=None, kind="hard", gate="sigmoid", sizes=[1], free={})
    assert found == {
        "depth": 2, "leak": 1.0, "tied": True, "name": None, "kind": Kind.hard,
        "gate": "sigmoid", "sizes": [1], "free": {},
    }  # fmt: skip
    assert isinstance(found["leak"], float)
    assert typed(kind=Kind.hard)["kind"] is Kind.hard


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"depht": 3}, r"cell\.depht: Own has no such hyperparameter; did you mean cell\.depth\?"),
        ({"xyz": 3}, r"no such hyperparameter \(it has: depth, leak, tied"),
        ({"depth": 1.5}, r"cell\.depth=1\.5: must be int"),
        ({"depth": True}, r"cell\.depth=True: must be int"),
        ({"leak": "high"}, r"cell\.leak=high: must be float"),
        ({"leak": False}, r"cell\.leak=False: must be float"),
        ({"tied": 1}, r"cell\.tied=1: must be bool"),
        ({"name": 3}, r"cell\.name=3: must be str or null"),
        ({"kind": "firm"}, r"cell\.kind=firm: must be soft or hard"),
        ({"gate": "relu"}, r"cell\.gate=relu: must be sigmoid or tanh"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        typed(**values)


def test_a_hyperparameter_without_a_default_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"cell\.depth is needed by Own: give \+cell\.depth="):
        typed_arguments(Own, {}, "cell", given=2)


def test_a_class_that_takes_anything_gets_it() -> None:
    assert typed_arguments(Anything, {"a": 1}, "cell", given=2) == {"a": 1}
