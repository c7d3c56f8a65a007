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
