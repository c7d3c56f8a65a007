"""What does not matter for the pixels of an image never refuses it; what does is still told."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscale.data import FileImages, decode, open_image
from convscale.data.ancillary import pixels_alone
from convscale.data.check import check_data, read_fully
from convscale.errors import DataError

TURNED = "turned by its EXIF orientation"
XMP = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def encoded(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind, **options)
    return file.getvalue()


PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)).resize((48, 32))


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag, kind, count) + value


def exif(*entries: bytes) -> bytes:
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


SIX = entry(0x112, 3, 1, struct.pack("<HH", 6, 0))
TEXT_RESOLUTION = entry(0x11A, 2, 1, b"7\0\0\0")


def jpeg(payload: bytes) -> bytes:
    whole, payload = encoded("JPEG", quality=95), b"Exif\0\0" + payload
    return whole[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + whole[2:]


def chunk(kind: bytes, data: bytes, wrong: int = 0) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)


def png(*chunks: bytes, behind: bool = False) -> bytes:
    """The picture with chunks behind its header, or behind its pixels."""
    whole = encoded("PNG")
    at = len(whole) - 12 if behind else 33
    return whole[:at] + b"".join(chunks) + whole[at:]


ANCILLARY = {
    "eXIf without a TIFF header": chunk(b"eXIf", b"\0\x08\0\2\1\x12\0\3"),
    "iTXt of 1.4 MB": chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(b"a prompt " * 150_000)),
    "iTXt of 1.4 MB as it is": chunk(b"iTXt", b"parameters\0\0\0\0\0" + b"a prompt " * 150_000),
    "XMP of 2 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2_000_000))),
    "zTXt of 2 MB": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2_000_000))),
    "zTXt that is none": chunk(b"zTXt", b"Comment\0\7oops"),
    "iCCP of 2 MB": chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(2_000_000))),
    "tEXt with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", wrong=1),
    "eXIf with a wrong checksum": chunk(b"eXIf", exif(SIX), wrong=1),
    "acTL of 2 bytes": chunk(b"acTL", b"\0\0"),
    "fcTL without acTL": chunk(b"fcTL", b"\0\0"),
    **{f"{kind} of 1 byte": chunk(kind.encode(), b"\0") for kind in ("pHYs", "gAMA", "cHRM", "sRGB", "sBIT", "tIME")},
}
TURNS = {
    "EXIF": lambda: jpeg(exif(SIX)),
    "EXIF and XResolution as text": lambda: jpeg(exif(SIX, TEXT_RESOLUTION)),
    "a PNG's eXIf": lambda: png(chunk(b"eXIf", exif(SIX, TEXT_RESOLUTION))),
    "a PNG's eXIf behind its pixels": lambda: png(chunk(b"eXIf", exif(SIX)), behind=True),
    "a PNG's XMP": lambda: png(chunk(b"iTXt", XMP)),
    "a PNG's XMP behind a broken eXIf": lambda: png(ANCILLARY["eXIf without a TIFF header"], chunk(b"iTXt", XMP)),
    "a WebP's": lambda: encoded("WEBP", lossless=True, exif=exif(SIX, TEXT_RESOLUTION)),
    "a TIFF's": lambda: encoded("TIFF", tiffinfo={0x112: 6}),
    "a compressed TIFF's": lambda: encoded("TIFF", tiffinfo={0x112: 6}, compression="tiff_lzw"),
}  # fmt: skip


def told(content: bytes, suffix: str, folder: Path) -> list[str]:
    """What `data check` says of a file."""
    path = folder / f"image.{suffix}"
    path.write_bytes(content)
    return read_fully(FileImages([path], np.zeros(1, np.int64)), 0)[1]


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("name", ANCILLARY)
def test_a_broken_ancillary_chunk_does_not_matter(name: str, behind: bool, tmp_path: Path) -> None:
    content = png(ANCILLARY[name], behind=behind)
    assert np.array_equal(decode(open_image(content, "x"), 3, "x"), PICTURE)
    assert told(content, "png", tmp_path) == []


@pytest.mark.parametrize("name", TURNS)
def test_orientation_is_read_and_told_wherever_it_stands(name: str, tmp_path: Path) -> None:
    content = TURNS[name]()
    upright = np.asarray(decode(open_image(content, "x"), 3, "x")).astype(int)
    assert np.abs(upright - np.rot90(PICTURE, 3)).mean() < 3  # JPEG changes a little
    assert TURNED in told(content, "jpg", tmp_path)


@pytest.mark.parametrize("value", [struct.pack("<HH", 9, 0), struct.pack("<HH", 0, 0), struct.pack("<HH", 1, 0)])
def test_where_nothing_is_turned_nothing_is_said(value: bytes, tmp_path: Path) -> None:
    for kind in (3, 2):  # a number, and a text
        content = jpeg(exif(entry(0x112, kind, 1, value)))
        assert decode(open_image(content, "x"), 3, "x").size == (48, 32)
        assert told(content, "jpg", tmp_path) == []
    assert told(encoded("TIFF", tiffinfo={0x112: 1}), "tif", tmp_path) == []


def test_a_webp_whose_exif_is_text() -> None:
    content = encoded("WEBP", lossless=True, exif=b"Exif\0\0garbage--")
    assert np.array_equal(decode(open_image(content, "x"), 3, "x"), PICTURE)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_broken_tags_of_a_tiff_do_not_matter(compression: str | None) -> None:
    """Each tag that is not about pixels, with a type, a count and an offset that are wrong."""
    whole = encoded("TIFF", compression=compression, dpi=(72, 72), icc_profile=b"profile")
    start = struct.unpack_from("<I", whole, 4)[0]
    count = struct.unpack_from("<H", whole, start)[0]
    tried = 0
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag = struct.unpack_from("<H", whole, at)[0]
        for wrong in (
            entry(tag, 2, 2, b"7\0\0\0"),
            entry(tag, 5, 1 << 31, b"\xff" * 4),
            entry(tag, 99, 1, b"\xff" * 4),
        ):
            if tag in (282, 283, 296, 34675):
                content = whole[:at] + wrong + whole[at + 12 :]
                assert np.array_equal(decode(open_image(content, "x"), 3, "x"), PICTURE), (tag, wrong)
                tried += 1
    assert tried == 12


def test_broken_segments_of_a_jpeg_do_not_matter() -> None:
    """Every application segment and a comment, with beginnings that decoders know and too little behind them."""
    heads = [b"JFIF\0", b"JFXX\0", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0\1", b"MPF\0II*\0",
             b"Photoshop 3.0\x008BIM\3\xed\xff\xff\xff", b"Adobe", b"FPXR\0", b""]  # fmt: skip
    whole = encoded("JPEG")
    wanted = np.asarray(decode(open_image(whole, "x"), 3, "x"))
    for marker in (*range(0xE0, 0xF0), 0xFE):
        for payload in (head + more for head in heads for more in (b"", b"\xff", bytes(5))):
            segment = bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload
            for content in (whole[:2] + segment + whole[2:], whole[:20] + segment + whole[20:]):
                assert np.array_equal(decode(open_image(content, "x"), 3, "x"), wanted), (hex(marker), payload)


def frames() -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, "PNG", save_all=True, append_images=[PICTURE.rotate(180)], duration=100)
    return file.getvalue()


def test_the_first_frame_of_an_animation_is_still_read_and_told(tmp_path: Path) -> None:
    assert np.array_equal(decode(open_image(frames(), "x"), 3, "x"), PICTURE)
    assert told(frames(), "png", tmp_path) == ["several frames, only the first is read"]


def test_a_file_that_is_all_pixels_is_not_copied() -> None:
    for content in (encoded("PNG"), encoded("JPEG"), encoded("WEBP"), b"", b"\x89PNG\r\n\x1a\n", b"II*\0"):
        assert pixels_alone(content) is content


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_whatever_is_cut_or_changed_ends_in_an_image_or_an_error(kind: str) -> None:
    whole = png(chunk(b"eXIf", exif(SIX)), ANCILLARY["tEXt with a wrong checksum"]) if kind == "PNG" else encoded(kind)
    draw, read = random.Random(0), 0
    for _ in range(400):
        content = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(8, len(content))] = draw.randrange(256)
        cut = bytes(content[: draw.choice((len(content), draw.randrange(len(content))))])
        try:
            decode(open_image(cut, "x"), 3, "x")
            read += 1
        except DataError as error:
            assert error.message.startswith("x: ")
    assert 0 < read < 400


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole.replace(b"IDAT", b"IDAU", 1),
        lambda whole: whole[:60] + bytes([whole[60] ^ 255]) + whole[61:],
        lambda whole: whole[:-40],
        lambda whole: whole[:29] + bytes(4) + whole[33:],  # IHDR's checksum
        lambda whole: whole[:33] + chunk(b"tRNS", b"\0", wrong=1) + whole[33:],
    ],
)
def test_damaged_pixels_stay_errors(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(DataError, match="x: (damaged|not an image)"):
        decode(open_image(damage(encoded("PNG")), "x"), 3, "x")


def test_a_folder_of_such_images_is_all_read(tmp_path: Path) -> None:
    for index, content in enumerate([*map(png, ANCILLARY.values()), *(make() for make in TURNS.values())]):
        path = tmp_path / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    found = check_data(tmp_path, quiet=True)
    assert found.unreadable == () and sum(TURNED in item.reason for item in found.unusual) == len(TURNS)
