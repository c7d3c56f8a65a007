"""More than 8 bits per channel, and more than three channels: read right, and what a network is not shown is told."""

from __future__ import annotations

import io
import itertools
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data import FileImages, decode, open_image
from convscale.data.check import check_data, read_fully
from convscale.data.depth import read_stored
from convscale.data.exclusions import exclusions
from convscale.errors import ConfigError, DataError
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.runs import Run

Array = NDArray[Any]
GREY = np.random.default_rng(0).integers(0, 256, (12, 17, 1))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: Array, *chunks: bytes) -> bytes:
    """(height, width, channels) uint16."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(values: Array, photometric: int = 1, order: str = "<", packed: bool = False, extra: int = 0) -> bytes:
    """(height, width, channels) of any type; photometric 0: white is zero, 1: black is, 2: RGB."""
    height, width, channels = values.shape
    pixels = values.astype(values.dtype.newbyteorder(order)).tobytes()
    pixels = zlib.compress(pixels) if packed else pixels
    pixels += bytes(len(pixels) % 2)
    bits, kind = values.dtype.itemsize * 8, {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    of_channels = struct.pack(f"{order}{channels}H", *[bits] * channels)
    tags: list[tuple[int, str, list[int]]] = [
        (256, "H", [width]), (257, "H", [height]), (258, "H", [bits] * channels), (259, "H", [8 if packed else 1]),
        (262, "H", [photometric]), (273, "I", [8]), (277, "H", [channels]), (278, "H", [height]),
        (279, "I", [len(pixels)]), *([(338, "H", [0] * extra)] if extra else []), (339, "H", [kind] * channels),
    ]  # fmt: skip
    directory = 8 + len(pixels) + len(of_channels)
    entries, behind, later = b"", b"", directory + 2 + 12 * len(tags) + 4
    for tag, code, numbers in tags:
        data = struct.pack(f"{order}{len(numbers)}{code}", *numbers)
        if len(data) > 4:
            data, behind = struct.pack(f"{order}I", later + len(behind)), behind + data
        entries += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[code], len(numbers)) + data.ljust(4, b"\0")
    start = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", directory)
    return start + pixels + of_channels + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + behind


def seen(content: bytes, channels: int = 1, stored_range: tuple[float, float] | None = None) -> Array:
    return np.asarray(decode(open_image(content, "x"), channels, "x", stored_range))


DEEP = (GREY * 257).astype(np.uint16)
SAME_GREY = {
    "PNG": png16(DEEP),
    "TIFF": tiff(DEEP),
    "packed TIFF": tiff(DEEP, packed=True),
    "Motorola's TIFF": tiff(DEEP, order=">"),
    "packed, Motorola's": tiff(DEEP, order=">", packed=True),
    "white is zero": tiff(65535 - DEEP, 0),
    "white is zero, packed": tiff(65535 - DEEP, 0, packed=True),
    "white is zero, 8 bits": tiff((255 - GREY).astype(np.uint8), 0),
    "32 bits, 0 to 255": tiff(GREY.astype(np.uint32)),
    "32 bits with a sign, 0 to 255": tiff(GREY.astype(np.int32)),
}


@pytest.mark.parametrize("kind", SAME_GREY)
def test_all_bits_give_the_same_grey(kind: str) -> None:
    assert np.array_equal(seen(SAME_GREY[kind]), GREY[..., 0])
    assert np.array_equal(seen(SAME_GREY[kind], 3), np.repeat(GREY, 3, axis=2))


@pytest.mark.parametrize("factor", [257, (2**32 - 1) // 255])
def test_more_than_255_in_32_bits_needs_a_range(factor: int) -> None:
    content = tiff((GREY * factor).astype(np.uint32))
    with pytest.raises(DataError, match="x: 32 bits per channel, values .*: it is not clear which value is white"):
        seen(content)
    assert np.array_equal(seen(content, 1, (0, 255 * factor)), GREY[..., 0])


COLOURS = np.random.default_rng(1).integers(0, 65536, (9, 7, 4)).astype(np.uint16)
DEEP_COLOURS = {
    "PNG": (png16(COLOURS[..., :3]), 3),
    "PNG with alpha": (png16(COLOURS), 4),
    "TIFF": (tiff(COLOURS[..., :3], 2), 3),
    "Motorola's TIFF": (tiff(COLOURS[..., :3], 2, ">"), 3),
    "packed TIFF": (tiff(COLOURS[..., :3], 2, packed=True), 3),
    "packed, Motorola's": (tiff(COLOURS[..., :3], 2, ">", packed=True), 3),
    "TIFF with a fourth channel": (tiff(COLOURS, 2, extra=1), 3),
}


@pytest.mark.parametrize("kind", DEEP_COLOURS)
def test_both_bytes_of_colours_are_there(kind: str) -> None:
    content, channels = DEEP_COLOURS[kind]
    stored = read_stored(open_image(content, "x"))
    assert stored is not None and np.array_equal(stored.values, COLOURS[..., :channels])
    if channels == 3:
        wanted = COLOURS[..., :3] / 257
        assert np.abs(seen(content, 3) - wanted).max() <= 1
        ranged = ((COLOURS[..., :3].astype(float) - 985) / (1115 - 985) * 255).clip(0, 255)
        assert np.abs(seen(content, 3, (985, 1115)) - ranged).max() <= 0.5


def test_grey_with_alpha_of_16_bits() -> None:
    values = COLOURS[..., :2].copy()
    stored = read_stored(open_image(png16(values), "x"))
    assert stored is not None and np.array_equal(stored.values, values[..., [0, 0, 0, 1]])


def test_a_range_is_mapped_to_all_of_8_bits() -> None:
    values = np.array([[[0], [985], [1050], [1115], [65535]]], np.uint16).repeat(8, axis=0)
    for content in (png16(values), tiff(values), tiff(65535 - values, 0), tiff(values.astype(np.int32))):
        assert seen(content, 1, (985, 1115))[0].tolist() == [0, 0, 128, 255, 255]
    eight = Image.fromarray(np.array([[0, 10, 20, 30, 255]], np.uint8).repeat(8, axis=0))
    file = io.BytesIO()
    eight.convert("RGB").save(file, "PNG")
    assert seen(file.getvalue(), 1, (10, 30))[0].tolist() == [0, 0, 128, 255, 255]
    floats = tiff(np.array([[[-1.0], [0.0], [0.5], [1.0], [np.nan]]], np.float32).repeat(8, axis=0))
    assert seen(floats, 1, (0, 1))[0].tolist() == [0, 0, 128, 255, 0]
    with pytest.raises(DataError, match="floating-point") as raised:
        seen(floats)
    assert "--range LOW,HIGH" in str(raised.value.hint)


def test_a_transparent_colour_of_16_bits_is_laid_on_white(tmp_path: Path) -> None:
    grey = png16(DEEP, chunk(b"tRNS", struct.pack(">H", int(DEEP[0, 0, 0]))))
    wanted = np.where(GREY[0, 0] == GREY, 255, GREY)[..., 0]
    assert np.array_equal(seen(grey), wanted)
    colour = png16(COLOURS[..., :3], chunk(b"tRNS", COLOURS[2, 3, :3].astype(">u2").tobytes()))
    shown = seen(colour, 3)
    assert shown[2, 3].tolist() == [255] * 3 and np.abs(shown[0] - COLOURS[0, :, :3] / 257).max() <= 1
    for content in (grey, colour):
        (tmp_path / "x.png").write_bytes(content)
        assert any("transparent" in reason for reason in read_fully(images(tmp_path / "x.png"), 0)[1])


def images(*paths: Path) -> FileImages:
    return FileImages(list(paths), np.zeros(len(paths), np.int64))


def counts(root: Path, each: int = 30) -> Path:
    """Two classes told apart by a tenth of their counts, as of a sensor of 12 bits in files of 16."""
    for label, (name, mean) in enumerate((("cold", 1000), ("warm", 1100))):
        (root / name).mkdir(parents=True)
        for index in range(each):
            values = np.random.default_rng(100 * label + index).normal(mean, 4, (24, 24, 1)).clip(985, 1115)
            (root / name / f"{index}.png").write_bytes(png16(values.astype(np.uint16)))
    return root


def test_how_little_of_the_range_is_used_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = counts(tmp_path / "data", 6)
    found = check_data(root, quiet=True)
    low, high = (int(word) for word in found.notes[0].split("--range ")[1].split(","))
    assert found.notes == (
        f"16 bits per channel, values {low} to {high} of 65535: differences between classes may be rounded away; "
        f"--range {low},{high}",
    )
    assert 985 <= low < 1000 and 1100 < high <= 1115
    assert (
        all("16 bits per channel, values " in finding.reason for finding in found.unusual) and len(found.unusual) == 12
    )
    assert found.duplicates == () and exclusions(found) == {}  # though all are 4 of 255
    assert check_data(root, stored_range=(low, high), quiet=True).notes == ()
    assert cli_main.run(["data", "check", str(root), "--range", f"{low + 5},{high}"]) == 0
    assert f"those outside {low + 5} to {high} become 0 or 255" in capsys.readouterr().err
    for wrong in ("5", "9,1", "a,b", "1,nan", "1,2,3"):
        assert cli_main.run(["data", "check", str(root), "--range", wrong]) == 2
    with pytest.raises(ConfigError, match="stored_range"):
        check_data(root, stored_range=(5, 5))


def test_no_word_where_enough_is_used(tmp_path: Path) -> None:
    for index, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        values = np.random.default_rng(index).integers(0, 40000, (9, 9, 1)).astype(np.uint16)
        (tmp_path / name / "x.png").write_bytes(png16(values))
    assert check_data(tmp_path, quiet=True).notes == ()


def test_32_bits_are_never_scaled_by_the_image(tmp_path: Path) -> None:
    """A dark image of a set whose others are brighter: all by one range, or not at all."""
    for name, most in (("a", 200), ("b", 900)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.tif").write_bytes(tiff(np.linspace(0, most, 81).reshape(9, 9, 1).astype(np.uint32)))
    found = check_data(tmp_path, quiet=True)
    assert any("--range 0,900" in note for note in found.notes)
    assert [Path(one.image).parent.name for one in found.unreadable] == ["b"] and "white" in found.unreadable[0].reason
    assert check_data(tmp_path, quiet=True, stored_range=(0, 900)).unreadable == ()


@pytest.mark.parametrize(
    ("channels", "kind", "told"),
    [
        (5, np.float64, r"5 channels of 64 bits \(floating point\)"),
        (1, np.float64, r"1 channel of 64 bits \(floating point\)"),
    ],
)
def test_a_tiff_of_a_kind_that_cannot_be_read_is_called_so(channels: int, kind: Any, told: str, tmp_path: Path) -> None:
    content = tiff(np.zeros((9, 9, channels), kind), 2 if channels == 3 else 1, extra=max(0, channels - 3))
    with pytest.raises(DataError, match=f"x: a TIFF of {told}, of a kind that cannot be read"):
        open_image(content, "x")
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(DataError, match=f"a TIFF of {told}"):
        read_fully(images(tmp_path / "x.tif"), 0)


@pytest.mark.parametrize(("channels", "photometric", "told"), [(2, 1, "2 channels, 1 is"), (6, 2, "6 channels, 3 are")])
def test_channels_that_are_not_read_are_told(channels: int, photometric: int, told: str, tmp_path: Path) -> None:
    extra = channels - (3 if photometric == 2 else 1)
    (tmp_path / "x.tif").write_bytes(tiff(np.zeros((9, 9, channels), np.uint8), photometric, extra=extra))
    assert read_fully(images(tmp_path / "x.tif"), 0)[1] == [f"{told} read"]


def test_exact_copies_are_those_of_what_is_stored(tmp_path: Path) -> None:
    """One that differs in the last of its bits is none; the same values in another kind of file are."""
    other = COLOURS[..., :3].copy()
    other[0, 0, 0] ^= 1
    contents = {"a.png": png16(COLOURS[..., :3]), "b.tif": tiff(COLOURS[..., :3], 2), "c.png": png16(other)}
    for name, content in contents.items():
        path = tmp_path / name[0] / name
        path.parent.mkdir()
        path.write_bytes(content)
    exact = [group.images for group in check_data(tmp_path, quiet=True).duplicates if group.kind == "exact"]
    assert [[Path(image).name for image in group] for group in exact] == [["a.png", "b.tif"]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_fourth_channel_is_told(kind: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for (label, name), index in itertools.product(enumerate(("dry", "green")), range(6)):
        (tmp_path / "data" / name).mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(index).integers(0, 256, (24, 24, 4)).astype(kind)
        values[..., 3] = (30, 220)[label]
        (tmp_path / "data" / name / f"{index}.tif").write_bytes(tiff(values, 2, extra=1))
    found = check_data(tmp_path / "data", quiet=True)
    told = "4 channels, 3 are read: in 12 of 12 images; a network of input_channels = 4 reads all"
    assert found.notes[0] == told
    assert all("4 channels, 3 are read" in finding.reason for finding in found.unusual) and len(found.unusual) == 12
    assert all(group.kind == "near" for group in found.duplicates) and exclusions(found) == {}
    recipe = Recipe(note="a test", epochs=1, batch=5, learning_rate=0.05)
    network = cs.network("small-mbconv").at_resolution(24)
    cs.train(network, tmp_path / "data", recipe, tmp_path / "run", pictures=False)
    assert "4 channels, 3 are read" in capsys.readouterr().err


@pytest.mark.long
def test_a_range_trains_and_travels_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is rounded away otherwise is learned, by the command, and evaluated and predicted alike."""
    root, run = counts(tmp_path / "data"), tmp_path / "run"
    common = ["train", "small-resnet", "--resolution", "16", "--data", str(root), "--epochs", "8", "--batch", "12",
              "--set", "norm_momentum=0.5", "--no-pictures"]  # fmt: skip
    assert cli_main.run([*common, "-o", str(tmp_path / "blind")]) == 0
    assert "differences between classes may be rounded away; --range" in capsys.readouterr().err
    assert Run(tmp_path / "blind").result().top1 == 0.5
    assert cli_main.run([*common, "-o", str(run), "--range", "985,1115"]) == 0
    assert "rounded away" not in capsys.readouterr().err
    assert Run(run).preprocessing().stored_range == Run(run).settings().stored_range == (985, 1115)
    assert Run(run).result().top1 == 1.0 and cs.evaluate(run / "weights.safetensors", root, quiet=True).top1 == 1.0
    assert cli_main.run(["predict", str(run), str(root / "warm" / "3.png"), "--json"]) == 0
    assert '"warm"' in json.dumps(json.loads(capsys.readouterr().out))
    assert [cs.predict(run, root / name / "0.png", top=1)[0].classes[0][0] for name in ("cold", "warm")] == [
        "cold",
        "warm",
    ]
    assert "985 to 1115 as 0 to 255" in Run(run).preprocessing().in_words()


def test_preprocessing_of_before_has_no_range() -> None:
    assert Preprocessing(8).stored_range is None and "0 to 255" not in Preprocessing(8).in_words()
    with pytest.raises(ConfigError, match=r"stored_range \[9, 3\]"):
        Preprocessing(8, stored_range=(9, 3))
