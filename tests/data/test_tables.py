"""Tables of four formats: what becomes an example, and what is refused, with its line."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from unrolled.data.labeled import LabeledSequences
from unrolled.data.sequences import Array, Sequences
from unrolled.errors import ConfigError, DataError

Load = Callable[..., LabeledSequences]

REVIEWS = (
    "id,text,label,author\n"
    '1,"dull, and\nlong",neg,ann\n'
    "2,moving,pos,bob\n"
    "3,witty,pos,ann\n"
    "4,dry,neg,bob\n"
)
# Two sequences of three and two steps, their rows mixed, of two features.
STEPS = (
    "who,when,x,y,class,value\n"
    "a,1,0.5,10,up,1.5\n"
    "b,1,0.1,20,down,2.5\n"
    "a,2,0.6,11,up,1.5\n"
    "b,2,0.2,21,down,2.5\n"
    "a,3,0.7,12,up,1.5\n"
)
LONG = ("dataset.features=[x,y]", "dataset.sequence=who")


def write(content: str | bytes, name: str = "t.csv") -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return f"dataset.path={name}"


def steps(data: LabeledSequences) -> list[Array]:
    assert isinstance(data.inputs, Sequences)
    return list(data.inputs)


def reviews(suffix: str) -> str:
    """The same reviews in another format."""
    frame = pl.read_csv(REVIEWS.encode())
    path = Path(f"t{suffix}")
    if suffix == ".tsv":
        frame.write_csv(path, separator="\t")
    elif suffix == ".parquet":
        frame.write_parquet(path)
    elif suffix == ".csv.gz":
        path.write_bytes(gzip.compress(REVIEWS.encode()))
    elif suffix in (".jsonl", ".ndjson"):
        frame.write_ndjson(path)
    elif suffix == ".jsonl.gz":
        frame.write_ndjson("plain")
        path.write_bytes(gzip.compress(Path("plain").read_bytes()))
    else:
        path.write_text(REVIEWS)
    return f"dataset.path={path}"


@pytest.mark.parametrize(
    "suffix", [".csv", ".CSV", ".tsv", ".jsonl", ".ndjson", ".parquet", ".csv.gz", ".jsonl.gz"]
)
def test_a_row_is_a_text_with_its_class_in_every_format(load: Load, suffix: str) -> None:
    data = load("dataset=table", reviews(suffix), "dataset.group=author")
    assert list(data.inputs) == ["dull, and\nlong", "moving", "witty", "dry"]
    assert list(data.targets) == ["neg", "pos", "pos", "neg"]
    assert data.groups == ["ann", "bob", "ann", "bob"]
    assert data.given == {}
    assert data.treated == {}


def test_columns_by_their_names(load: Load) -> None:
    path = write("body,stars,words\nfine,4,1\nbad film,1.5,2\n")
    data = load("dataset=table", path, "dataset.text=body", "dataset.targets=[stars,words]")
    assert list(data.inputs) == ["fine", "bad film"]
    np.testing.assert_array_equal(data.targets, [[4, 1], [1.5, 2]])
    assert list(data.target_names) == ["stars", "words"]


def test_tables_of_splits_of_their_own(load: Load) -> None:
    write("label,text\na,fourth\n", "dev.csv")
    write("text,label\nfifth,b\nsixth,a\n", "test.csv")
    path = write("text,label\nfirst,a\nsecond,b\nthird,a\n")
    data = load(
        "dataset=table", path, "dataset.validation_path=dev.csv", "dataset.test_path=test.csv"
    )
    texts = {name: data.take(places)[0] for name, places in data.places().items()}
    assert texts == {
        "train": ["first", "second", "third"],
        "validation": ["fourth"],
        "test": ["fifth", "sixth"],
    }
    with pytest.raises(DataError, match=r"dataset.test_path=none.csv: no such file"):
        load("dataset=table", path, "dataset.test_path=none.csv")
    write("text,class\nfifth,b\n", "test.csv")
    with pytest.raises(DataError, match=r"dataset.label=label: test.csv has no such column"):
        load("dataset=table", path, "dataset.test_path=test.csv")


def test_a_row_is_a_sequence_of_one_number_a_step(load: Load) -> None:
    path = write("x1,x2,label,x3,id\n1,2,a,3,9\n4,5.5,b,-6e-1,8\n")
    data = load("dataset=table", path, "dataset.features=x*")
    np.testing.assert_allclose(steps(data), np.array([[[1], [2], [3]], [[4], [5.5], [-0.6]]]))
    assert steps(data)[0].dtype == np.float32
    assert list(data.feature_names) == ["value"]
    # The columns as named, and not as they stand in the table.
    named = load("dataset=table", path, "dataset.features=[x3,x1]")
    np.testing.assert_allclose(steps(named), np.array([[[3], [1]], [[-0.6], [4]]]))
    both = load("dataset=table", path, "dataset.features=[x3,x*]")
    np.testing.assert_allclose(steps(both)[0], np.array([[3], [1], [2]]))
    # A pattern leaves out what is something else.
    every = load("dataset=table", path, "dataset.features=*", "dataset.group=id")
    np.testing.assert_allclose(steps(every), steps(data))


@pytest.mark.parametrize("time", [True, False])
def test_rows_of_one_sequence_are_joined(load: Load, time: bool) -> None:
    when = ("dataset.time=when",) if time else ()
    data = load("dataset=table", write(STEPS), *LONG, *when, "dataset.label=class")
    first, second = steps(data)
    np.testing.assert_allclose(first, [[0.5, 10], [0.6, 11], [0.7, 12]], rtol=1e-6)
    np.testing.assert_allclose(second, [[0.1, 20], [0.2, 21]], rtol=1e-6)
    assert list(data.targets) == ["up", "down"]
    assert list(data.feature_names) == ["x", "y"]
    assert data.treated == {}
    valued = load("dataset=table", write(STEPS), *LONG, "dataset.targets=value")
    np.testing.assert_array_equal(valued.targets, [[1.5], [2.5]])


def test_steps_and_examples_are_put_in_order_of_time_and_counted(load: Load) -> None:
    header, *rows = STEPS.splitlines(keepends=True)
    shuffled = write(header + "".join(rows[i] for i in (4, 1, 0, 3, 2)))
    data = load("dataset=table", shuffled, *LONG, "dataset.time=when", "dataset.label=class")
    np.testing.assert_allclose(steps(data)[0][:, 1], [10, 11, 12])
    # Of a's times 3, 1, 2 one is before the one above it.
    assert data.treated == {"rows out of order of time, sorted": 1}
    later = write(STEPS.replace("a,1", "a,4").replace("a,2", "a,5").replace("a,3", "a,6"))
    data = load("dataset=table", later, *LONG, "dataset.time=when", "dataset.label=class")
    assert list(data.targets) == ["down", "up"]
    np.testing.assert_allclose(steps(data)[0][:, 1], [20, 21])


@pytest.mark.parametrize(
    "times",
    [
        ("1", "2", "10"),
        ("2020-01-31", "2020-02-01", "2021-01-01"),
        ("2020-02", "2020-11", "2021-01"),
        ("2020-01-01T09:00", "2020-01-01T10:00", "2020-01-02T00:30"),
    ],
)
def test_examples_are_split_by_time(load: Load, times: tuple[str, str, str]) -> None:
    early, middle, late = times
    path = write(f"text,label,day\nc,x,{late}\na,y,{early}\nb,x,{middle}\nd,y,{late}\n")
    data = load(
        "dataset=table", path, "dataset.time=day", "dataset.split.by=time",
        "dataset.split.test_fraction=0.25", "dataset.split.validation_fraction=0.25",
    )  # fmt: skip
    # Of one time, the order of the file.
    assert list(data.inputs) == ["a", "b", "c", "d"]
    assert data.treated == {"rows out of order of time, sorted": 1}
    assert data.take(data.places()["test"])[0] == ["d"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("1", "0"), ["1", "0"]),
        (("1.0", "0.0"), ["1", "0"]),
        (("1.0", "x"), ["1.0", "x"]),
        (("1.5", "2.0"), ["1.5", "2.0"]),
        (("007", "7"), ["007", "7"]),
        ((" pos", "neg "), ["pos", "neg"]),
    ],
)
def test_labels_of_numbers_are_plain(
    load: Load, labels: tuple[str, str], classes: list[str]
) -> None:
    path = write(f"text,label\na,{labels[0]}\nb,{labels[1]}\n")
    assert list(load("dataset=table", path).targets) == classes


@pytest.mark.parametrize("kind", [pl.Int64, pl.Float64, pl.Boolean])
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_labels_of_other_types_are_words(load: Load, kind: type[pl.DataType], suffix: str) -> None:
    frame = pl.DataFrame({"text": ["a", "b"], "label": pl.Series([1, 0]).cast(kind)})
    frame.write_parquet("t.parquet")
    frame.write_ndjson("t.jsonl")
    data = load("dataset=table", f"dataset.path=t{suffix}")
    assert list(data.targets) == (["true", "false"] if kind == pl.Boolean else ["1", "0"])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("column", ["text", "label", "author"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_row_that_lacks_something_is_refused_or_counted(
    load: Load, suffix: str, column: str, value: str | None
) -> None:
    frame = pl.read_csv(REVIEWS.encode())
    frame[2, column] = value
    path = f"dataset.path=t{suffix}"
    frame.write_csv("t.csv")
    frame.write_ndjson("t.jsonl")
    frame.write_parquet("t.parquet")
    # The first text has a line break, which counts in CSV.
    place = {".csv": "line 5", ".jsonl": "line 3", ".parquet": "row 3"}[suffix]
    key = {"author": "group"}.get(column, column)
    with pytest.raises(
        DataError,
        match=rf"t{suffix}, {place}: no {key} in the column {column}; .*dataset.missing=drop",
    ):
        load("dataset=table", path, "dataset.group=author")
    data = load("dataset=table", path, "dataset.group=author", "dataset.missing=drop")
    assert list(data.inputs) == ["dull, and\nlong", "moving", "dry"]
    assert list(data.targets) == ["neg", "pos", "neg"]
    assert data.groups == ["ann", "bob", "bob"]
    assert data.treated == {f"rows with no {key} dropped": 1}


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("", "no feature"),
        ("nan", "infinite or undefined feature"),
        ("inf", "infinite or undefined feature"),
        ("-Infinity", "infinite or undefined feature"),
        ("1e39", "infinite or undefined feature"),
    ],
)
def test_a_number_that_is_missing_or_infinite_is_refused_or_counted(
    load: Load, value: str, what: str
) -> None:
    path = write(STEPS.replace("0.6", value))
    options = ("dataset=table", path, *LONG, "dataset.time=when", "dataset.label=class")
    with pytest.raises(DataError, match=rf"t.csv, line 4: {what} in the column x; mend it"):
        load(*options)
    data = load(*options, "dataset.missing=drop")
    np.testing.assert_allclose(steps(data)[0], [[0.5, 10], [0.7, 12]], rtol=1e-6)
    assert data.treated == {f"rows with {what} dropped": 1}


def test_a_sequence_of_which_nothing_is_left_is_counted(load: Load) -> None:
    path = write(STEPS.replace("0.1,", ",").replace("0.2,", ",") + "c,1,1,1,down,3\n")
    options = (*LONG, "dataset.label=class", "dataset.missing=drop")
    data = load("dataset=table", path, *options)
    assert list(data.targets) == ["up", "down"]
    assert data.treated == {
        "rows with no feature dropped": 2, "sequences without a row left dropped": 1,
    }  # fmt: skip


@pytest.mark.parametrize("column", ["x", "y", "value"])
@pytest.mark.parametrize("missing", ["refuse", "drop"])
def test_a_word_where_a_number_should_be_is_always_refused(
    load: Load, column: str, missing: str
) -> None:
    frame = pl.read_csv(STEPS.encode(), infer_schema=False)
    frame[3, column] = "high"
    frame.write_csv("t.csv")
    with pytest.raises(DataError, match=rf"line 5: 'high' in the column {column} is no number"):
        load(
            "dataset=table", "dataset.path=t.csv", *LONG, "dataset.targets=value",
            f"dataset.missing={missing}",
        )  # fmt: skip


def test_empty_lines_are_left_out_and_counted(load: Load) -> None:
    path = write("text,label\n\na,x\n,\n\nb,y\n\n")
    data = load("dataset=table", path)
    assert list(data.inputs) == ["a", "b"]
    assert data.treated == {"empty rows left out": 4}
    with pytest.raises(DataError, match=r"t.csv, line 6: no label"):
        load("dataset=table", write("\n\ntext,label\na,x\n\nb,\n"))
    with pytest.raises(DataError, match=r"t.jsonl, line 4: no label"):
        content = '{"text": "a", "label": "x"}\n\n\n{"text": "b"}\n'
        load("dataset=table", write(content, "t.jsonl"))


def test_constant_features_are_counted(load: Load) -> None:
    path = write("label,x1,x2,x3\na,1,5,2\nb,1,5,3\n")
    assert load("dataset=table", path, "dataset.features=x*").treated == {"constant features": 2}
    long = write("who,x,y,label\n1,7,1,a\n1,7,2,a\n2,7,1,b\n")
    assert load("dataset=table", long, *LONG).treated == {"constant features": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("dataset.text=txt",),
            r"dataset.text=txt: t.csv has .*did you mean text\? \(it has: ",
        ),
        (("dataset.label=lable",), r"dataset.label=lable: .*did you mean label\?"),
        (("dataset.group=zzz",), r"dataset.group=zzz: t.csv has no such column \(it has: id, te"),
        (("dataset.time=date",), r"dataset.time=date: .*no such column"),
        (("dataset.features=[id,lenght]",), r"dataset.features=lenght: t.csv has no such column"),
        (("dataset.features=x*",), r"dataset.features=x\*: t.csv has no such columns \(it has"),
        (("dataset.targets=score",), r"dataset.targets=score: t.csv has no such column"),
        (("dataset.features=id", "dataset.sequence=user"), r"dataset.sequence=user: .*no such"),
        (("dataset.features=author",), r"line 2: 'ann' in the column author is no number"),
        (("dataset.time=author",), r"line 2: 'ann' in the column author is neither a number nor"),
    ],
)
def test_a_column_that_is_not_there_or_something_else(
    load: Load, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load("dataset=table", write(REVIEWS), *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("dataset.text=text", "dataset.features=id"), "an example is one or the other"),
        (("dataset.label=label", "dataset.targets=id"), "a class or values, one of the two"),
        (("dataset.sequence=id",), r"name dataset.features, too"),
        (("dataset.features=[]",), r"dataset.features is empty"),
        (("dataset.targets=[id,id]",), r"a column is named twice"),
        (("dataset.quote=ab",), r"dataset.quote=ab: must be one character"),
        (("dataset.missing=keep",), r"dataset.missing=keep: must be refuse or drop"),
        (("dataset.split.by=size",), r"dataset.split.by=size: must be stratified"),
        (("dataset.features=1.5.x", "dataset.seq=id"), r"dataset.seq"),
    ],
)
def test_options_that_do_not_fit(load: Load, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load("dataset=table", write(REVIEWS), *options)


def test_a_sequence_has_one_class_and_each_time_once(load: Load) -> None:
    options = ("dataset=table", *LONG, "dataset.time=when", "dataset.label=class")
    with pytest.raises(DataError, match=r"line 6: the column class has another value .* before"):
        load(*options, write(STEPS.replace("a,3,0.7,12,up", "a,3,0.7,12,down")))
    with pytest.raises(
        DataError, match=r"line 6: the sequence has this time already \(t.csv, line 4\)"
    ):
        load(*options, write(STEPS.replace("a,3", "a,2")))
    # The same time in another sequence, and without a column of time, is nothing to refuse.
    assert len(load(*options, write(STEPS)).inputs) == 2


@pytest.mark.parametrize("value", ["2020-13-01", "03/04/2020", "yesterday"])
def test_a_time_that_is_none(load: Load, value: str) -> None:
    path = write(f"text,label,day\na,x,2020-01-01\nb,y,{value}\n")
    with pytest.raises(DataError, match=rf"line 3: '{value}' in the column day is n"):
        load("dataset=table", path, "dataset.time=day")
    with pytest.raises(DataError, match=r"line 3: no time in the column day"):
        load("dataset=table", write("text,label,day\na,x,1\nb,y,\n"), "dataset.time=day")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "text,label\na,x\nb,y,z\n", r"t.csv, line 3: .*3 fields, and the header has 2"),
        ("t.csv", 'text,label\na,x\n"b,y\nc,z\n', r"t.csv, after line 2: .*dataset.quote=null"),
        ("t.tsv", 'text\tlabel\n"b" c\ty\n', r"t.tsv, after line 1: .*dataset.quote=null"),
        ("t.csv", "text,label,text\na,x,b\n", r"t.csv, line 1: the column text is there twice"),
        ("t.csv", "text,label\n", r"dataset=table: no examples in it"),
        ("t.csv", "", r"t.csv: empty"),
        ("t.csv", b"PK\0\0", r"t.csv: binary"),
        ("t.csv", b"text,label\nfine,x\ncaf\xe9,y\n", r"t.csv, line 3: byte 4 .*encoding=latin-1"),
        ("t.csv", "text,label\na,x\nb,x\n", r"dataset=table: one class only, 'x'"),
        ("t.jsonl", '{"text": "a"\n', r"t.jsonl, line 1: cannot be read as .jsonl \(Expecting"),
        ("t.jsonl", '{"text": "a"}\n[1]\n', r"t.jsonl, line 2: .*a list, and each line holds"),
        ("t.jsonl", '{"x": 1}\n{"x": NaN}\n', r"t.jsonl, line 2: .*NaN is no JSON; null stands"),
        ("t.jsonl", '{"x": 1}\n{"x": 2}\n{"x": true}\n', r"line 3: .*x is of another type than"),
        ("t.jsonl", '{"text": [1], "label": 1}\n', r"dataset.text=text: holds List.*t.jsonl"),
        ("t.parquet", "text,label\n", r"t.parquet: cannot be read as Parquet"),
        ("t.txt", "text,label\n", r"t.txt: a table's name ends in .csv, .tsv"),
        ("t", "text,label\n", r"t: a table's name ends in .csv, .tsv"),
        ("t.csv.gz", "text,label\n", r"t.csv.gz: ends in .gz, and is not compressed"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_such_table(
    load: Load, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load("dataset=table", write(content, name))


def test_quotes_may_be_part_of_the_text(load: Load) -> None:
    path = write('text\tlabel\n"so" he said\tx\n"twice\ty\n', "t.tsv")
    data = load("dataset=table", path, "dataset.quote=null")
    assert list(data.inputs) == ['"so" he said', '"twice']
    with pytest.raises(DataError, match=r"line 3: no label"):
        load("dataset=table", write('text\tlabel\n"a\tx\nb\t\n', "t.tsv"), "dataset.quote=null")


def test_other_encodings_and_a_byte_order_mark(load: Load) -> None:
    for encoding in ("latin-1", "utf-16"):
        path = write("text,label\ncafé,x\nbar,y\n".encode(encoding))
        data = load("dataset=table", path, f"dataset.encoding={encoding}")
        assert list(data.inputs) == ["café", "bar"]
    data = load("dataset=table", write(b"\xef\xbb\xbftext,label\r\na,x\r\nb,y\r\n"))
    assert list(data.inputs) == ["a", "b"]
    assert list(data.targets) == ["x", "y"]


def test_what_would_be_waited_for_is_refused(load: Load, tmp_path: Path) -> None:
    os.mkfifo("pipe.csv")
    with pytest.raises(DataError, match=r"dataset.path=pipe.csv: a named pipe"):
        load("dataset=table", "dataset.path=pipe.csv")
    with pytest.raises(DataError, match=r"dataset.path=.*: a folder, and a file is needed"):
        load("dataset=table", f"dataset.path={tmp_path}")


def test_many_rows_are_read_and_the_last_one_s_line_is_known(load: Load) -> None:
    rows = 100_000
    lines = [f"text {i},{i % 2},{i // 10}\n" for i in range(rows)]
    data = load("dataset=table", write("text,label,who\n" + "".join(lines)))
    assert len(data.inputs) == rows
    lines[-1] = f",{rows % 2},0\n"
    with pytest.raises(DataError, match=rf"line {rows + 1}: no text"):
        load("dataset=table", write("text,label,who\n" + "".join(lines)))
