"""A person's own series: what is read, what is done about missing values, and what is refused."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from unrolled.config.build import build
from unrolled.config.compose import compose_run
from unrolled.data.series import Series
from unrolled.errors import DataError

MONTHS = "Month,heat,wind\n" + "".join(f"2001-{m:02},{m},{-m}.5\n" for m in range(1, 13))


def write(content: str, name: str = "data.csv") -> str:
    Path(name).write_text(content, encoding="utf-8")
    return name


def load(path: str, *overrides: str) -> Series:
    options = ["task=forecasting", "dataset=series", f"dataset.path={path}", *overrides]
    made = build(compose_run(options).dataset)
    assert isinstance(made, Series)
    return made


def test_all_columns_of_numbers_in_order_of_time() -> None:
    made = load(write(MONTHS), "dataset.time=Month", "dataset.season=12", "dataset.unit=K")
    assert (made.name, made.season, made.unit) == ("series", 12, "K")
    assert made.variables == ["heat", "wind"]
    assert made.targets == ["heat", "wind"]
    assert made.times[:2] == ["2001-01", "2001-02"]
    np.testing.assert_array_equal(made.values[:, 0], np.arange(1, 13))
    np.testing.assert_array_equal(made.values[:, 1], -np.arange(1, 13) - 0.5)
    assert made.treated == {}


def test_chosen_columns_and_targets() -> None:
    chosen = ["dataset.variables=[wind,heat]", "dataset.targets=[heat]"]
    made = load(write(MONTHS), *chosen)
    assert made.variables == ["wind", "heat"]
    assert made.targets == ["heat"]
    assert made.target_places == [1]
    assert made.times == [str(step) for step in range(1, 13)]


@pytest.mark.parametrize(
    "kind", ["tsv", "txt", "jsonl", "ndjson", "parquet", "csv.gz", "TXT.gz", "jsonl.gz"]
)
def test_every_kind_of_file_gives_the_same(kind: str) -> None:
    first = load(write(MONTHS), "dataset.time=Month")
    plain = kind.removesuffix(".gz")
    frame, path = pl.read_csv("data.csv"), f"data.{plain}"
    if plain == "parquet":
        frame.with_columns(pl.col("Month").str.to_date("%Y-%m")).write_parquet(path)
    elif "json" in plain:
        frame.write_ndjson(path)
    else:
        frame.write_csv(path, separator="," if plain == "csv" else "\t")
    if plain != kind:
        Path(f"data.{kind}").write_bytes(gzip.compress(Path(path).read_bytes()))
    other = load(f"data.{kind}", "dataset.time=Month")
    np.testing.assert_array_equal(first.values, other.values)
    assert first.variables == other.variables
    assert other.axis() == first.axis()


GAPS = "t,a,b\n1,,1\n2,4,\n3,5,3\n\n4,NA,4\n5,8,nan\n6,9,7\n"


def test_missing_values_are_refused_with_the_first_s_line_and_their_count() -> None:
    path = write(GAPS)
    with pytest.raises(
        DataError, match=r"data.csv, line 2: a has no value \(4 missing values in all\); choose "
    ):
        load(path, "dataset.time=t")


def test_rows_with_missing_values_are_dropped_and_counted() -> None:
    made = load(write(GAPS), "dataset.time=t", "dataset.missing=drop")
    assert made.times == ["3", "6"]
    np.testing.assert_array_equal(made.values, [[5, 3], [9, 7]])
    # A blank line is no row.
    assert made.treated == {"empty rows left out": 1, "rows with missing values dropped": 4}


def test_missing_values_are_interpolated_and_counted() -> None:
    made = load(write(GAPS), "dataset.time=t", "dataset.missing=interpolate")
    # The first row has nothing before it.
    assert made.times == ["2", "3", "4", "5", "6"]
    assert made.values.tolist() == [[4, 2], [5, 3], [6.5, 4], [8, 5.5], [9, 7]]
    assert made.treated == {
        "empty rows left out": 1,
        "rows dropped before a first value or after a last": 1,
        "missing values interpolated": 3,
    }


def test_what_is_left_out_and_steps_that_are_missing_are_said() -> None:
    rows = "".join(f"{year},x,{year}\n" for year in (1990, 1991, 1992, 1995, 1996))
    made = load(write("year,place,value\n" + rows), "dataset.time=year")
    assert made.variables == ["value"]
    assert made.treated == {
        "columns without numbers left out (place)": 1,
        "steps longer than the usual one": 1,
    }
    monthly = load(write(MONTHS), "dataset.time=Month")
    assert monthly.treated == {}


BAD: Sequence[tuple[str, Sequence[str], str]] = [
    ("t,a\n1,2\n2,x\n3,4\n", ["time=t"], "data.csv, line 3: a is 'x', no number"),
    ("t,a\n1,2\n2,-inf\n", ["time=t"], "line 3: a is '-inf', infinite; mend it, or leave"),
    ("t,a\n1,2\n3,2\n2,5\n", ["time=t"], "line 4: the time '2' is out of order, after '3'"),
    ("t,a\n1,2\n1,2\n", ["time=t"], "line 3: the time '1' is there already, after '1'"),
    ("t,a\n2001-02,2\n2001-01,2\n", ["time=t"], "line 3: the time '2001-01' is out of order"),
    ("t,a\n2001-02,2\n7,2\n", ["time=t"], "line 3: the time '7' is written otherwise than"),
    ("t,a\n1/2/2001,2\n", ["time=t"], "line 2: the time '1/2/2001' is neither a number nor a"),
    ("t,a\n,2\n", ["time=t"], "line 2: the time '' is neither"),
    ("t,a\n1,2\n", ["time=tt"], "dataset.time=tt: data.csv has no such column; did you mean t"),
    ("t,heat\n1,2\n", ["variables=[hea]"], "dataset.variables=hea: .*; did you mean heat"),
    ("t,heat\n1,2\n", ["targets=[het]"], "dataset.targets=het: no variable of it; did you mean"),
    ("t,a\nx,y\n", [], "data.csv: no column holds numbers"),
    ("t,a\n2001-01,3\n", [], "the column t holds time stamps; name it by dataset.time=t"),
    ("t,a\n", [], "data.csv: no rows in it"),
    ("", [], "data.csv: empty; there is nothing in it"),
    ("t,a\n1,2\n1,2,3\n", [], "data.csv, line 3: .*3 fields, and the header has 2"),
    ("t,t\n1,2\n", [], "data.csv, line 1: the column t is there twice"),
    ('"a\nb",t\n"1",2\n2,x\n', [], "data.csv, line 4: t is 'x', no number"),
    ('t,a\n1,"2"3\n', [], r"data.csv, after line 1: .*a quote that .*inside a field\)$"),
    ("a,b\n1,\n,1\n", ["missing=drop"], "no row in it has a value of every variable"),
]


@pytest.mark.parametrize(("content", "options", "said"), BAD)
def test_bad_input_is_refused_with_file_and_line(
    content: str, options: Sequence[str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load(write(content), *(f"dataset.{option}" for option in options))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.jsonl", '{"a": 1}\n{"a": "x"}\n', "data.jsonl, line 2: a is 'x', no number"),
        ("data.jsonl", '{"a": \n', "data.jsonl, line 1: cannot be read as .jsonl"),
        ("data.jsonl", '{"a": 1}\n\n{"a": "x"}\n', "data.jsonl, line 3: a is 'x', no number"),
        ("data.xlsx", "x", "data.xlsx: a table's name ends in .csv, .tsv"),
        ("data.csv.gz", "x", "data.csv.gz: ends in .gz, and is not compressed"),
        ("data.parquet", "x", "data.parquet: cannot be read as Parquet"),
    ],
)
def test_bad_input_of_other_kinds(name: str, content: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load(write(content, name))


def test_a_file_in_another_encoding_is_refused_with_its_line() -> None:
    Path("data.csv").write_bytes(b"t,a\n1,2\n2,caf\xe9\n")
    with pytest.raises(
        DataError, match=r"data.csv, line 3: byte 6 .* is not utf-8; convert it first"
    ):
        load("data.csv")


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(
        DataError, match=r"dataset.path=nowhere.csv: no such file or folder \(looked in"
    ):
        load("nowhere.csv")


def test_a_row_of_a_parquet_file_is_named() -> None:
    values: list[Any] = [1.0, float("inf")]
    pl.DataFrame({"a": values}).write_parquet("data.parquet")
    with pytest.raises(DataError, match=r"data.parquet, row 2: a is 'inf', infinite"):
        load("data.parquet")
