"""What a data set's images are like: unreadable ones are skipped as training skips them, and named once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data import FileImages, fit_to_images, typical_image
from convscale.data.check import check_data
from convscale.data.duplicates import Fingerprints
from convscale.errors import DataError

NETWORK = cs.network("small-mbconv")


def folders(root: Path, count: int, bad: tuple[int, ...]) -> Path:
    """Two classes of `count` images of 24 x 16 pixels each, those numbered in `bad` unreadable."""
    draw = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for index in range(count):
            path = root / label / f"{index}.png"
            Image.fromarray(draw.integers(0, 256, (16, 24, 3), np.uint8)).save(path)
            if index in bad:
                path.write_bytes(b"oops")
    return root


@pytest.mark.parametrize("bad", [(0,), (7, 19), tuple(range(1, 20))])
def test_unreadable_images_are_skipped_and_named_once(
    bad: tuple[int, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = cs.open_dataset(folders(tmp_path / "data", 20, bad))
    assert typical_image(dataset.train) == (16, False) and capsys.readouterr().err == ""
    unreadable = [name for name in map(dataset.train.name, range(len(dataset.train))) if int(Path(name).stem) in bad]
    for _ in range(2):
        assert fit_to_images(NETWORK, dataset).input_channels == 3
    err = capsys.readouterr().err
    assert all(err.count(f"unreadable, skipped: {name}: not an image") == 1 for name in unreadable)
    assert err.count("unreadable, skipped") == len(unreadable) > 0


def test_where_none_can_be_read_they_are_listed(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", 10, tuple(range(10)))
    with pytest.raises(DataError, match="none of the 16 sampled images can be read") as raised:
        typical_image(cs.open_dataset(root).train)
    assert raised.value.message.count(str(root)) == 10 and "and 6 more" in raised.value.message
    paths = sorted((root / "cat").iterdir())[:2]
    with pytest.raises(DataError) as raised:
        typical_image(FileImages(paths, np.zeros(2, np.int64)))
    assert all(str(path) in raised.value.message for path in paths) and "more" not in raised.value.message


@pytest.mark.parametrize("mode", ["L", "LA", "I;16", "I;16B", "RGB"])
def test_what_is_grey(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.new("I;16B" if mode == "I;16B" else mode, (9, 7)).save(path)
    assert typical_image(FileImages([path], np.zeros(1, np.int64))) == (7, mode != "RGB")


@pytest.mark.long
def test_fit_and_coefficients_go_on_as_train_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folders(tmp_path / "data", 50, (1,))
    fit = ["fit", str(root), "--macs", "1M", "--epochs", "1", "-o", str(tmp_path / "run")]
    assert cli_main.run(fit) == 0
    assert capsys.readouterr().err.count("unreadable, skipped") <= 4  # two images, in training or held out
    search = ["coefficients", "small-mbconv", "--data", str(root), "--dry-run"]
    assert cli_main.run([*search, "-o", str(tmp_path / "search")]) == 0
    assert "unreadable, skipped" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b"\0\0\0\x18ftypheic", b""])
def test_a_folder_where_no_image_can_be_read_is_listed(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(12):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[index % 2] / f"{index}.jpg").write_bytes(content)
    found = check_data(tmp_path, quiet=True)
    assert len(found.unreadable) == 12 and found.duplicates == found.unusual == ()
    assert cli_main.run(["data", "check", str(tmp_path), "-o", str(tmp_path / "list.txt")]) == 0
    assert "12 images to leave out" in capsys.readouterr().err
    Image.new("RGB", (24, 16), "red").save(tmp_path / "a" / "good.png")
    assert len(check_data(tmp_path, quiet=True).unreadable) == 12
    assert Fingerprints(0).near_groups() == Fingerprints(3).near_groups() == Fingerprints(3).exact_groups() == []
