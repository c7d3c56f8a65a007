"""Images of any number of channels: arrays and TIFFs, read right whatever their layout, and refused with reasons."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from convscale.cli import main as cli_main
from convscale.data import FileImages, decode, fit_to_images, open_dataset, open_image
from convscale.data.check import check_data
from convscale.data.image_files import is_image_file
from convscale.data.reading import decode_channels
from convscale.data.transforms import evaluation_view_of, training_view_of
from convscale.data.typical import input_channels
from convscale.errors import DataError
from convscale.networks import ConvNet
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation
from tests.data.test_depth import png16, tiff

Array = NDArray[Any]
CHANCE = np.random.default_rng(5)


def values(channels: int, kind: Any = np.uint8, height: int = 20, width: int = 33) -> Array:
    most = 256 if kind == np.uint8 else 65536
    return CHANCE.integers(0, most, (height, width, channels)).astype(kind)


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def seen(content: bytes, channels: int, stored_range: tuple[float, float] | None = None) -> Array:
    return np.dstack(
        [np.asarray(one) for one in decode_channels(open_image(content, "x"), channels, "x", stored_range)]
    )


def saved(pages: list[Array], **how: Any) -> bytes:
    file = io.BytesIO()
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(file, "TIFF", save_all=bool(rest), append_images=rest, **how)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "photometric"), [(2, 1), (4, 1), (4, 2), (5, 1), (6, 2), (13, 1)])
def test_every_channel_of_a_tiff(channels: int, photometric: int, kind: Any, packed: bool, order: str) -> None:
    stored = values(channels, kind)
    content = tiff(stored, photometric, order, packed, extra=channels - (3 if photometric == 2 else 1))
    wanted = stored if kind == np.uint8 else (stored / 257).round()
    assert np.array_equal(seen(content, channels), wanted)
    assert np.array_equal(seen(npy(stored), channels), wanted)


def relaid(stored: Array, tags: dict[int, tuple[int, ...]], parts: list[Array], packed: bool = True) -> bytes:
    """A TIFF of these strips or tiles; `tags` say how they lie."""
    height, width, channels = stored.shape
    chunks = [part.tobytes() for part in parts]
    chunks = [zlib.compress(chunk) for chunk in chunks] if packed else chunks
    starts = 8 + np.cumsum([0, *map(len, chunks)])
    bits = stored.dtype.itemsize * 8
    where = (324, 325) if 322 in tags else (273, 279)
    plain = {256: (width,), 257: (height,), 258: (bits,) * channels, 259: (8 if packed else 1,), 262: (1,),
             277: (channels,), 339: (1,) * channels}  # fmt: skip
    lie = {where[0]: tuple(map(int, starts[:-1])), where[1]: tuple(map(len, chunks))}
    table = plain | lie | tags
    end, entries, behind = int(starts[-1]), b"", b""
    for tag, numbers in sorted(table.items()):
        code = "I" if tag in lie else "H"
        data = struct.pack(f"<{len(numbers)}{code}", *numbers)
        if len(data) > 4:
            at = end + 2 + 12 * len(table) + 4 + len(behind)
            data, behind = struct.pack("<I", at), behind + data
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[code], len(numbers)) + data.ljust(4, b"\0")
    body = b"II*\0" + struct.pack("<I", end) + b"".join(chunks)
    return body + struct.pack("<H", len(table)) + entries + bytes(4) + behind


def differences(stored: Array) -> Array:
    return np.concatenate([stored[:, :1], stored[:, 1:] - stored[:, :-1]], axis=1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_every_way_that_channels_lie(channels: int, kind: Any) -> None:
    """In strips, in tiles, in planes; as differences; compressed or not."""
    stored = values(channels, kind, 32, 48)
    strips = np.split(stored, [8, 16, 24])
    tiles = [stored[top : top + 16, left : left + 16] for top in (0, 16) for left in (0, 16, 32)]
    planes = [np.ascontiguousarray(stored[top : top + 16, :, one]) for one in range(channels) for top in (0, 16)]
    plane_differences = [differences(plane) for plane in planes]
    ways = {
        "strips": ({278: (8,)}, strips),
        "differences": ({278: (8,), 317: (2,)}, [differences(strip) for strip in strips]),
        "tiles": ({322: (16,), 323: (16,)}, tiles),
        "tiles of differences": ({322: (16,), 323: (16,), 317: (2,)}, [differences(tile) for tile in tiles]),
        "planes": ({278: (16,), 284: (2,)}, planes),
        "planes of differences": ({278: (16,), 284: (2,), 317: (2,)}, plane_differences),
    }
    wanted = stored if kind == np.uint8 else (stored / 257).round()
    for name, (tags, parts) in ways.items():
        for packed in (True, False):
            if packed or 317 not in tags:
                assert np.array_equal(seen(relaid(stored, tags, parts, packed), channels), wanted), (name, packed)


@pytest.mark.parametrize("how", ["tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "lzma", "raw"])
def test_compressions_of_pillow(how: str) -> None:
    four = values(4)
    assert np.array_equal(seen(saved([four], compression=how), 4), four)  # RGBA: transparency is a channel here
    with_differences = saved([four], compression="tiff_lzw", tiffinfo={317: 2})
    assert np.array_equal(seen(with_differences, 4), four)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pillow_turns(orientation: int) -> None:
    four = values(4)
    content = saved([four], tiffinfo={274: orientation})
    image = Image.open(io.BytesIO(content))
    image.load()
    assert np.array_equal(seen(content, 4), np.asarray(image))


def test_pages_of_one_size_are_channels_for_a_network_of_as_many() -> None:
    pages = [values(1)[..., 0] for _ in range(4)]
    content = saved(pages)
    assert np.array_equal(seen(content, 4), np.dstack(pages))
    deep = saved([page.astype(np.uint16) * 257 for page in pages], compression="tiff_lzw")
    assert np.array_equal(seen(deep, 4), np.dstack(pages))
    assert np.array_equal(seen(content, 1)[..., 0], pages[0])  # as before
    for channels in (2, 5):
        with pytest.raises(DataError, match=f"1 channel, the network has {channels}"):
            seen(content, channels)
    other = saved([*pages[:3], values(1, height=9)[..., 0]])
    with pytest.raises(DataError, match="1 channel, the network has 4"):
        seen(other, 4)


def test_transparency_is_a_channel_for_a_network_of_four() -> None:
    four = values(4, np.uint16)
    assert np.array_equal(seen(png16(four), 4), (four / 257).round())
    two = Image.merge("LA", [Image.fromarray(values(1)[..., 0])] * 2)
    assert seen(saved_as(two, "PNG"), 2).shape == (20, 33, 2)
    with pytest.raises(DataError, match="3 channels, the network has 4"):
        seen(saved_as(Image.fromarray(values(3)), "PNG"), 4)
    with pytest.raises(DataError, match="3 channels, the network has 4"):
        seen(saved_as(Image.fromarray(values(3)), "JPEG"), 4)


def saved_as(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 3)])
def test_arrays_of_grey_and_rgb_are_images_as_others(shape: tuple[int, ...]) -> None:
    array = CHANCE.integers(0, 256, shape).astype(np.uint8)
    png = saved_as(Image.fromarray(array.squeeze()), "PNG")
    for channels in (1, 3):
        assert np.array_equal(seen(npy(array), channels), seen(png, channels))
        assert np.array_equal(np.asarray(decode(open_image(npy(np.asfortranarray(array)), "x"), channels, "x")),
                              np.asarray(decode(open_image(png, "x"), channels, "x")))  # fmt: skip


TYPES: list[tuple[Any, float, tuple[float, float] | None]] = [
    (bool, 1, None), (np.uint8, 255, None), (np.int8, 127, None), (np.uint16, 65535, None), (np.int16, 32767, None),
    (">u2", 65535, None), (np.int64, 255, None), (np.int32, 65535, (0, 65535)), (np.uint32, 2**32 - 1, (0, 2**32 - 1)),
    (np.float32, 0.5, (0, 0.5)), (np.float64, 3.0, (0, 3)), (np.float16, 1.0, (0, 1)), (np.uint16, 900, (0, 900)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "top", "stored_range"), TYPES)
def test_numbers_of_any_type(kind: Any, top: float, stored_range: tuple[float, float] | None) -> None:
    """0, a half and all of what a type holds, or a range names."""
    array = np.zeros((8, 8, 4), kind)
    array[:4, :, 1], array[:, :, 2] = top, top / 2
    shown = seen(npy(array), 4, stored_range)
    assert shown[0, 0, 0] == 0 and shown[0, 0, 1] == 255 and shown[7, 0, 1] == 0
    assert shown[0, 0, 2] in ((255,) if kind is bool else (126, 127, 128))
    if np.dtype(kind).kind == "f":
        with pytest.raises(DataError, match="floating-point pixels") as raised:
            seen(npy(array), 4)
        assert "--range LOW,HIGH" in str(raised.value.hint)


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.uint64])
def test_more_than_255_in_32_bits_needs_a_range(kind: Any) -> None:
    for shape in ((8, 8), (8, 8, 3), (8, 8, 5)):
        content, channels = npy(np.full(shape, 256, kind)), 5 if shape[-1] == 5 else 3
        with pytest.raises(DataError, match="not clear which value is white") as raised:
            seen(content, channels)
        assert "--range LOW,HIGH" in str(raised.value.hint)
        assert (seen(content, channels, (0, 512)) == 128).all()


REFUSED: list[tuple[bytes, str, str]] = [
    (npy(np.zeros((4, 32, 32), np.uint8)), r"shape \(4, 32, 32\): its first axis looks like channels", "moveaxis"),
    (npy(np.zeros(9)), r"an array of shape \(9,\), not an image", "one image per file"),
    (npy(np.zeros((2, 9, 9, 3))), "not an image", "one image per file"),
    (npy(np.zeros((0, 9))), "not an image", "one image per file"),
    (npy(np.zeros((9, 9), complex)), "an array of complex128", "whole or floating-point"),
    (npy(np.array([["a", "b"]])), "an array of <U1", "whole or floating-point"),
    (npy(np.zeros((9, 9)))[:-1], "not as long as its header says", "numpy.save"),
    (npy(np.zeros((9, 9)))[:20], "x: damaged", "numpy.save"),
    (b"\x93NUMPY\x09\x00", "x: damaged", "numpy.save"),
    (npy(np.zeros((9, 9, 9), np.uint8)).replace(b"(9, 9, 9)", b"(9, 9, 8)"), "not as long", "numpy.save"),
    (npy(np.zeros((20000, 5000, 1), bool)), "more than 89,000,000 pixels", "shrink"),
    (tiff(values(5, np.float64, 9, 9)), "a TIFF of 5 channels of 64 bits .*, of a kind that cannot be read", ".npy"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message", "hint"), REFUSED)
def test_what_is_refused_says_what_to_do(content: bytes, message: str, hint: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        seen(content, 4)
    assert hint in str(raised.value.hint)


def test_objects_are_never_unpickled() -> None:
    file = io.BytesIO()
    np.save(file, np.array([[{"a": 1}]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="an array of object, not an image"):
        open_image(file.getvalue(), "x")


def test_views_of_channels_are_those_of_each_as_grey() -> None:
    array = values(5, height=40, width=56)
    five = Preprocessing(16, mean=(0.5,) * 5, std=(0.25,) * 5, crop=0.8)
    one = Preprocessing(16, mean=(0.5,), std=(0.25,), crop=0.8)
    whole = evaluation_view_of(npy(array), "x", five)
    assert whole.shape == (5, 16, 16) and whole.flags.c_contiguous
    for crop in ("resized", "shift"):
        how = Augmentation(crop=crop, flip=True)  # type: ignore[arg-type]
        view = training_view_of(npy(array), "x", five, how, np.random.default_rng(1))
        assert view.shape == (5, 16, 16)
        for index in range(5):
            alone = npy(array[..., index])
            assert np.array_equal(whole[index : index + 1], evaluation_view_of(alone, "x", one))
            grey = training_view_of(alone, "x", one, how, np.random.default_rng(1))
            assert np.abs(view[index : index + 1].astype(int) - grey).max() <= 1


def folder(root: Path, contents: dict[str, list[bytes]], suffix: str = "npy") -> Path:
    for name, files in contents.items():
        (root / name).mkdir(parents=True)
        for index, content in enumerate(files):
            (root / name / f"{index}.{suffix}").write_bytes(content)
    return root


def test_what_is_an_image_file(tmp_path: Path) -> None:
    for name, content, is_one in (
        ("a.npy", npy(values(4)), True), ("b.NPY", npy(values(1)[..., 0]), True), ("c.npy", npy(np.zeros(9)), False),
        ("d.npy", npy(np.zeros((2, 9, 9, 3))), False), ("e.npy", b"", True), ("f.npz", npy(values(3)), False),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(content)
        assert is_image_file(tmp_path / name) == is_one, name


def test_the_channels_that_a_network_needs(tmp_path: Path) -> None:
    def needed(*contents: bytes) -> int:
        paths = [tmp_path / f"{index}" for index in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        return input_channels(FileImages(paths, np.zeros(len(paths), np.int64)))

    grey, rgb, four = npy(values(1)), npy(values(3)), npy(values(4))
    assert needed(grey, grey) == 1 and needed(grey, rgb) == 3 and needed(four, four) == 4
    assert needed(tiff(values(4), 2, extra=1)) == needed(saved([values(3)])) + 1 == 4
    assert needed(saved_as(Image.fromarray(values(4)), "PNG")) == 3  # transparency
    assert needed(tiff(values(4), 2, extra=1), saved([values(3)])) == 3  # the three that Pillow reads of it
    with pytest.raises(DataError, match="images of 3 and 4 channels: a network takes one number"):
        needed(four, rgb)


def test_a_check_of_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = values(4)
    other = same.copy()
    other[..., 3] ^= 1
    root = folder(tmp_path / "x", {"a": [npy(same), npy(values(4)), b"x"], "b": [npy(other), npy(values(2))]})
    (root / "a" / "labels.npy").write_bytes(npy(np.zeros(7)))
    found = check_data(root, quiet=True)
    assert found.images == {"all": 5} and [Path(one.image).name for one in found.unreadable] == ["2.npy"]
    assert all(group.kind == "near" for group in found.duplicates)  # the fourth channel tells them apart
    assert {one.reason for one in found.unusual} == {"4 channels", "2 channels"}
    assert cli_main.run(["data", "check", str(root)]) in (0, 1)
    assert "1 file not read: .npy (1)" in capsys.readouterr().err
    assert fit_to_images(tiny(), open_dataset(folder(tmp_path / "y", {"a": [npy(same)] * 2, "b": [npy(other)] * 2}))
                         ).input_channels == 4  # fmt: skip


def tiny() -> ConvNet:
    from convscale.catalog import network

    return network("small-mbconv")
