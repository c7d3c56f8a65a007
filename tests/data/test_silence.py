"""Values below 0, arrays without a value, and splits by names that mean nothing: none of it passes in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.data.images import FileImages
from convscale.data.typical import notes_on_pixels
from convscale.errors import DataError


def _folders(root: Path, *folders: str) -> Path:
    for index, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        for image in range(6):
            Image.new("L", (8, 8), 20 * index + image).save(root / folder / f"{image}.png")
    return root


@pytest.mark.parametrize("names", [("fold1", "fold2", "fold3"), ("2019", "2020"), ("siteA", "siteB")])
def test_the_same_folders_in_each_could_be_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = _folders(tmp_path, *(f"{name}/{label}" for name in names for label in ("a", "b")))
    with pytest.raises(DataError, match=f"each of {names[0]}, .* the same folders, a, b"):
        cs.open_dataset(root)
    assert cs.open_dataset(root, layout="classes").classes == names


def test_classes_with_folders_of_their_own_are_classes(tmp_path: Path) -> None:
    root = _folders(tmp_path, "cat/old", "cat/new", "dog/summer", "dog/winter")
    assert cs.open_dataset(root).classes == ("cat", "dog")


def test_an_array_without_a_finite_value_cannot_be_read(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", np.full((8, 8), np.nan, np.float32))
    images = FileImages([tmp_path / "0.npy"], np.zeros(1, np.int64))
    with pytest.raises(DataError, match="no finite value"):
        images.image(0)


def test_values_below_0_are_reported_though_8_bits_hold_them(tmp_path: Path) -> None:
    for index in range(4):
        (tmp_path / f"c{index % 2}").mkdir(exist_ok=True)
        np.save(tmp_path / f"c{index % 2}" / f"{index}.npy", np.full((8, 8), -20 - index, np.int8))
    notes = notes_on_pixels(cs.open_dataset(tmp_path).train, channels=1)
    assert any("values -2" in note and "--range -2" in note for note in notes)


@pytest.mark.parametrize("row", ["images/0.png,dog, big", "0.png,dog,,,big", "0.png,dog,big,"])
def test_a_row_of_more_cells_than_columns_is_refused(tmp_path: Path, row: str) -> None:
    _folders(tmp_path, "images")
    table = tmp_path / "labels.csv"
    table.write_text(f"file,label\n{row}\n" + "".join(f"{n}.png,cat\n" for n in range(1, 6)))
    with pytest.raises(DataError, match=r"line 2: \d cells, the first line names 2 columns; beyond them .*big"):
        cs.open_dataset(tmp_path)
    table.write_text("file,label\n" + "".join(f"{n}.png,{'cat' if n % 2 else 'dog'},,\n" for n in range(6)))
    assert cs.open_dataset(tmp_path).classes == ("cat", "dog"), "empty cells at the end are none"


@pytest.mark.parametrize("names", [("Cat", "cat"), ("big dog", "big_dog"), ("big dog", "Big-Dog")])
def test_classes_of_nearly_the_same_name_are_reported(tmp_path: Path, names: tuple[str, str]) -> None:
    data = cs.open_dataset(_folders(tmp_path, *names, "other"))
    assert len(data.classes) == 3
    first, second = sorted(names)
    assert data.notes == (f"classes of nearly the same name are kept apart: {first!r} and {second!r}",)
    assert cs.open_dataset(_folders(tmp_path / "b", "c", "c1", "c2")).notes == ()
