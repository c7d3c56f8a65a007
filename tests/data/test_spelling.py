"""A name is one class however its accents are stored, and a class or an image of which nothing is seen is told."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

from convscale.data import open_dataset
from convscale.data.check import check_data
from convscale.errors import DataError
from convscale.evaluation.evaluator import match_classes

COMPOSED, APART = (normalize(form, "café") for form in ("NFC", "NFD"))


def save(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 9, 3)).astype(np.uint8)).save(path)


@pytest.mark.parametrize(("train", "test"), [(COMPOSED, APART), (APART, COMPOSED)])
def test_splits_may_spell_a_class_in_two_ways(train: str, test: str, tmp_path: Path) -> None:
    for split, name in (("train", train), ("val", test)):
        for index in range(3):
            save(tmp_path / split / name / f"{index}.png", index)
            save(tmp_path / split / "tea" / f"{index}.png", 10 + index)
    data = open_dataset(tmp_path)
    assert data.classes == (train, "tea")
    assert [np.bincount(part.labels).tolist() for part in (data.train, data.test)] == [[3, 3], [3, 3]]  # type: ignore[union-attr]
    (tmp_path / "val" / "milk").mkdir()
    save(tmp_path / "val" / "milk" / "0.png")
    with pytest.raises(DataError, match="class folders that train does not have: milk"):
        open_dataset(tmp_path)


def test_a_table_may_spell_a_class_in_two_ways(tmp_path: Path) -> None:
    labels = [COMPOSED, APART, "tea", COMPOSED, APART, "tea"]
    for index in range(6):
        save(tmp_path / f"{index}.png", index)
    rows = [f"{index}.png,{label}" for index, label in enumerate(labels)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *rows]) + "\n")
    data = open_dataset(tmp_path)
    assert len(data.classes) == 2 and len(data.train) + len(data.test) == 6
    assert sorted(np.bincount(np.concatenate([data.train.labels, data.test.labels])).tolist()) == [2, 4]  # type: ignore[union-attr]


def test_a_network_knows_its_classes_in_either_spelling() -> None:
    assert match_classes(("tea", APART), (COMPOSED, "tea")).tolist() == [1, 0]
    assert match_classes((APART, COMPOSED), (COMPOSED, APART)).tolist() == [1, 0]  # of a network that tells them apart
    with pytest.raises(DataError, match="a class 'milk' that the network does not know"):
        match_classes((APART, "milk"), (COMPOSED, "tea"))


def test_a_class_without_a_readable_image_is_told(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / "a" / f"{index}.png", index)
    (tmp_path / "b").mkdir()
    for index in range(2):
        (tmp_path / "b" / f"{index}.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert check_data(tmp_path, quiet=True).notes == ("no image of class b can be read",)


@pytest.mark.parametrize(("opacity", "told"), [(0, ["fully transparent, placed on a white background"]), (255, [])])
def test_an_image_that_is_transparent_all_over_is_called_so(opacity: int, told: list[str], tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        pixels = np.full((9, 9, 4), opacity, np.uint8)
        pixels[..., :3] = np.random.default_rng(ord(name)).integers(0, 256, (9, 9, 3))
        Image.fromarray(pixels).save(tmp_path / name / "x.png")
    assert [one.reason for one in check_data(tmp_path, quiet=True).unusual] == told * 2
