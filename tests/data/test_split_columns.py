"""Columns that say which split a row is of: what is empty or unclear is never trained on in silence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

import convscale as cs
from convscale.data.dataset import open_images
from convscale.data.split_columns import column_splits
from convscale.errors import DataError
from tests.cli.calling import run

BLANK = ["", " ", "NaN", "none", "-", "null", "N/A", "\u2013", "\u00a0"]


def split_by(values: list[str], column: str = "split", otherwise: str = "all") -> tuple[list[str | None], list[str]]:
    cells = [value.strip() for value in values]
    return column_splits({column: cells}, len(cells), otherwise, "labels.csv")


@pytest.mark.parametrize("blank", BLANK)
@pytest.mark.parametrize("named", ["test", "val", "Testing"])
def test_blank_is_train_where_all_else_is_named(blank: str, named: str) -> None:
    splits, notes = split_by([blank, named, blank])
    held_out = "validation" if named == "val" else "test"
    assert splits == ["train", held_out, "train"]
    assert notes[0] == "labels.csv: splits by column 'split'"
    assert notes[1].endswith(f"{blank.strip() or '(empty)'} is read as train")


def test_several_kinds_of_blank_are_named_once() -> None:
    splits, notes = split_by(["", "test", "NaN", "val"])
    assert splits == ["train", "test", "train", "validation"] and "(empty), NaN is read as train" in notes[1]


@pytest.mark.parametrize("other", ["extra", "0", "unknown"])
def test_other_names_are_refused_with_both_readings(other: str) -> None:
    with pytest.raises(DataError, match=rf"2 rows are test, and 2 are of no known split: \(empty\), {other}") as caught:
        split_by(["test", "test", other, ""])
    assert caught.value.hint and "write train" in caught.value.hint and "rename the column" in caught.value.hint


def test_named_rows_alone_are_what_they_say() -> None:
    assert split_by(["val", "val"])[0] == ["validation", "validation"]
    assert split_by(["val", "test"])[0] == ["validation", "test"]
    assert split_by(["test", ""], otherwise="validation")[0] == ["test", "validation"], "of a CSV called val.csv"


def test_blank_beside_train_is_of_no_split() -> None:
    assert split_by(["train", "test", ""])[0] == ["train", "test", None]


def test_a_column_of_something_else_is_not_used_and_shown() -> None:
    splits, notes = split_by(["a", "", "b"], "set")
    assert splits == ["all"] * 3 and notes == [
        "labels.csv: column 'set' not used: it names no train split, only (empty), a, b"
    ]
    splits, notes = split_by(["imagenet-val", "cifar"], "dataset")
    assert splits == ["all"] * 2 and "not used" in notes[0], "a word that is no plain split"


@pytest.mark.parametrize("blank", BLANK)
def test_flags_without_a_value_are_not_raised(blank: str) -> None:
    splits, notes = split_by([blank, "1", blank], "is_test")
    assert splits == ["train", "test", "train"] and "is read as false" in notes[0]


@pytest.mark.parametrize("values", [["0", "1", ""], ["True", "False", "maybe"], ["1", "2"]])
def test_flags_that_are_neither_true_nor_false_are_refused(values: list[str]) -> None:
    with pytest.raises(DataError, match="neither true nor false"):
        split_by(values, "is_test")


def test_a_flag_of_something_else_is_not_used() -> None:
    splits, notes = split_by(["a", "b"], "is_test")
    assert splits == ["all"] * 2 and "not used" in notes[0]
    assert split_by(["", ""], "is_test") == (["all"] * 2, [])


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), 9 * number).save(file, format="PNG")
    return file.getvalue()


def test_a_csv_with_blank_train_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    rows = [f"{number}.png;{'ab'[number % 2]};{'' if number < 8 else 'test'}" for number in range(12)]
    (tmp_path / "labels.csv").write_text("\n".join(["file;label;split", *rows]))
    data = cs.open_dataset(tmp_path)
    assert (len(data.train), len(data.test), data.held_out) == (8, 4, "test")
    assert "labels.csv: column 'split': (empty) is read as train" in data.notes
    (tmp_path / "labels.csv").write_text("\n".join(["file;label;split", *rows[1:], "0.png;a;other"]))
    code, _, err = run(capsys, "data", "check", tmp_path)
    assert code == 2 and "of no known split: (empty), other" in err and "write train" in err


def write_table(path: Path, column: str, values: list[Any]) -> Path:
    images = [{"bytes": png(number), "path": None} for number in range(len(values))]
    labels = ["ab"[number % 2] for number in range(len(values))]
    pyarrow.parquet.write_table(pa.table({"image": images, "label": labels, column: values}), path)
    return path


@pytest.mark.parametrize("prefix", ["", "hf:"])
@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("split", [None] * 8 + ["test"] * 4),
        ("split", ["train"] * 8 + ["test"] * 4),
        ("is_test", [False] * 8 + [True] * 4),
        ("is_test", [None] * 8 + [1] * 4),
    ],
)
def test_parquet_is_divided_as_its_column_says(tmp_path: Path, prefix: str, column: str, values: list[Any]) -> None:
    if prefix:
        pytest.importorskip("datasets")
    file = write_table(tmp_path / "data.parquet", column, values)
    data = cs.open_dataset(f"{prefix}{file}")
    assert (len(data.train), len(data.test), data.held_out) == (8, 4, "test")
    assert any(f"splits by column {column!r}" in note for note in data.notes)
    assert data.test.name(0).endswith("[8]") and data.test.content(0) == png(8)  # type: ignore[union-attr]
    assert data.test.labels.tolist() == [0, 1, 0, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(("column", "values"), [("split", ["train"] * 4 + ["test"] * 2), ("is_test", [None, 1] * 3)])
def test_a_stream_that_a_column_divides_is_refused(tmp_path: Path, column: str, values: list[Any]) -> None:
    """Evaluated whole, it would count the images that were trained on."""
    pytest.importorskip("datasets")
    file = write_table(tmp_path / "data.parquet", column, values)
    with pytest.raises(DataError, match=f"splits by column '{column}'.* a stream cannot be divided.*hf:{file}"):
        open_images(f"hf-stream:{file}")
    file = write_table(tmp_path / "data.parquet", "dataset", ["photos", "scans"] * 3)
    images, classes = open_images(f"hf-stream:{file}")
    assert (len(images), classes) == (6, ("a", "b"))


@pytest.mark.parametrize("prefix", ["", "hf:"])
def test_parquet_that_is_unclear_is_refused(tmp_path: Path, prefix: str) -> None:
    if prefix:
        pytest.importorskip("datasets")
    file = write_table(tmp_path / "data.parquet", "split", [None, "extra"] * 4 + ["test"] * 4)
    with pytest.raises(DataError, match=r"4 rows are test, and 8 are of no known split: \(empty\), extra"):
        cs.open_dataset(f"{prefix}{file}")
    file = write_table(tmp_path / "data.parquet", "split", ["train"] * 6 + ["test"] * 4 + [None] * 2)
    data = cs.open_dataset(f"{prefix}{file}")
    assert (len(data.train), len(data.test)) == (6, 4)
    assert any("rows of no split: 2" in note for note in data.notes)
