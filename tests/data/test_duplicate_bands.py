"""Duplicates among images of other channels than grey or RGB are judged by all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convscale.data.check import check_data
from tests.data.drawn_images import smooth_image
from tests.data.test_depth import tiff

Array = np.ndarray[Any, Any]


def bands(count: int, seed: int) -> Array:
    """(32, 32, count): smooth bands, each of its own."""
    return np.dstack([np.asarray(smooth_image(32, 32, "L", 100 * seed + band)) for band in range(count)])


def brighter(array: Array) -> Array:
    return np.minimum(array.astype(int) + 3, 255).astype(array.dtype)


def as_npy(path: Path, array: Array) -> None:
    np.save(path.with_suffix(".npy"), array)


def as_tiff(path: Path, array: Array) -> None:
    path.with_suffix(".tif").write_bytes(tiff(array, 2, extra=array.shape[2] - 3))


def near(folder: Path, write: Callable[[Path, Array], None], **images: Array) -> list[set[str]]:
    """The groups of near duplicates, by the names of the images."""
    for index, (name, array) in enumerate(images.items()):
        (folder / f"class{index % 2}").mkdir(exist_ok=True)
        write(folder / f"class{index % 2}" / name, array)
    found = check_data(folder, quiet=True)
    assert found.unreadable == ()
    return [{Path(name).stem for name in group.images} for group in found.duplicates if group.kind == "near"]


CASES = [(as_npy, 4, np.uint8), (as_npy, 6, np.uint8), (as_npy, 5, np.uint16), (as_tiff, 4, np.uint8),
         (as_tiff, 6, np.uint16)]  # fmt: skip


@pytest.mark.parametrize(("write", "count", "kind"), CASES)
def test_images_that_differ_in_the_last_band_alone_are_no_duplicates(
    write: Callable[[Path, Array], None], count: int, kind: Any, tmp_path: Path
) -> None:
    one = bands(count, 1).astype(kind)
    other = one.copy()
    other[..., -1] = bands(count, 2)[..., -1]
    assert near(tmp_path, write, one=one, other=other, like=brighter(one)) == [{"one", "like"}]


def test_two_bands_count_both(tmp_path: Path) -> None:
    one = bands(2, 1)
    other = one.copy()
    other[..., 1] = bands(2, 2)[..., 1]
    assert near(tmp_path, as_npy, one=one, other=other, like=brighter(one)) == [{"one", "like"}]


def test_images_of_as_many_channels_are_compared(tmp_path: Path) -> None:
    four = bands(4, 1)
    three, grey = four[..., :3], four[..., 0]
    images = {
        "four": four,
        "three": three,
        "grey": grey,
        "like": brighter(four),
        "alike": brighter(three),
    }
    found = near(tmp_path, as_npy, **images)
    assert len(found) == 2 and {"four", "like"} in found and {"three", "alike"} in found


def test_a_flat_image_and_one_of_another_level(tmp_path: Path) -> None:
    flat = np.full((16, 16, 4), 50, np.uint8)
    other = flat.copy()
    other[..., 3] = 200
    assert near(tmp_path, as_npy, flat=flat, other=other) == []
