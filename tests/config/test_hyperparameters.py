from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest

from unrolled.config.hyperparameters import typed_arguments
from unrolled.errors import ConfigError


class Kind(Enum):
    soft = "s"
    hard = "h"


@dataclass
class Sample:
    length: int
    temperature: float = 1.0


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
        sample: Sample | None = None,
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


def test_numbers_words_and_mappings_are_taken_for_what_they_can_only_mean() -> None:
    found = typed(depth=1e3, tied="yes", name=2024, sample={"length": 5.0, "temperature": 2})
    assert found["depth"] == 1000
    assert type(found["depth"]) is int
    assert found["tied"] is True
    assert found["name"] == "2024"
    assert found["sample"] == Sample(5, 2.0)
    assert type(found["sample"].temperature) is float


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"depht": 3}, r"cell\.depht: Own has no such hyperparameter; did you mean cell\.depth\?"),
        ({"xyz": 3}, r"no such hyperparameter \(it has: depth, leak, tied"),
        ({"depth": 1.5}, r"cell\.depth=1\.5: must be int"),
        ({"depth": True}, r"cell\.depth=true: must be int"),
        ({"leak": "high"}, r"cell\.leak=high: must be float"),
        ({"leak": False}, r"cell\.leak=false: must be float"),
        ({"tied": 2}, r"cell\.tied=2: must be bool"),
        ({"name": [3]}, r"cell\.name=\[3\]: must be str or null"),
        ({"name": False}, r"cell\.name=false: must be str or null"),
        ({"leak": None}, r"cell\.leak=null: must be float"),
        ({"sizes": 3}, r"cell\.sizes=3: must be a list"),
        ({"sizes": [1, "x"]}, r"cell\.sizes=x: must be int"),
        ({"sample": {"lenght": 3}}, r"cell\.sample\.lenght: .* did you mean cell\.sample\.length"),
        ({"sample": {"length": "x"}}, r"cell\.sample\.length=x: must be int"),
        ({"sample": 3}, r"cell\.sample=3: must be a mapping"),
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
