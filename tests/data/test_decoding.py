"""Decoding no more than a view needs: as PIL and its exact resize, to stated tolerances; damage always told."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convscale as cs
from convscale.data import FileImages, decode, decoding, open_image
from convscale.data.decoding import Picture
from convscale.data.images import ArrayImages, ParquetImages, Subset
from convscale.data.transforms import (
    evaluation_view,
    evaluation_view_of,
    random_box,
    training_view,
    training_view_of,
)
from convscale.errors import DataError
from convscale.preprocessing import Preprocessing
from convscale.recipes import Augmentation

RESIZED = Augmentation(crop="resized", flip=True)
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def photograph(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth noise with some detail."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (8, 10, 3), np.uint8)).resize((width, height), 3)
    fine = generator.normal(0, 8, (height, width, 3))
    return Image.fromarray((np.asarray(coarse) + fine).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def rotated(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def exact(picture: Picture, box: decoding.Box, size: int, interpolation: str) -> np.ndarray:
    image = picture.images[0].crop(box).resize((size, size), RESAMPLING[interpolation])
    return np.array(image).reshape(size, size, -1).transpose(2, 0, 1).astype(int)


def make_all_go_through_pil(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "_plain_size", lambda content, channels, name: None)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_a_part_is_nearly_the_exact_resize_of_its_box(interpolation: str, mode: str, channels: int) -> None:
    """At full size but for rounding; at 1/2 and 1/4, the box being whole at that scale, half a step of 255 in the
    mean; at 1/8 one and a half."""
    content = encoded(photograph(333, 250).convert(mode), quality=90)
    for size, divisor, mean, highest in ((64, 2, 0.6, 6), (30, 4, 0.6, 6), (15, 8, 1.6, 12), (200, 1, 0.02, 2)):
        picture = Picture(content, channels, "x")
        assert picture.is_plain and picture.size == (333, 250)
        box = (16, 8, 16 + 232, 8 + 240)
        assert picture.divisor(box, size) == divisor
        part = picture.part(box, size, interpolation)  # type: ignore[arg-type]
        assert picture.is_plain and part.shape == (channels, size, size) and part.flags.c_contiguous
        apart = np.abs(part - exact(picture, box, size, interpolation))
        assert apart.mean() <= mean and apart.max() <= highest, (size, apart.mean(), apart.max())


@pytest.mark.parametrize(
    "options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 20}]
)
def test_a_whole_jpeg_is_decoded_as_pil_does_it(options: dict[str, object]) -> None:
    for image in (photograph(50, 37), photograph(64, 64).convert("L")):
        content = encoded(image, **options)
        picture = Picture(content, 3 if image.mode == "RGB" else 1, "x")
        assert picture.is_plain
        assert np.array_equal(picture.pixels().squeeze(), np.asarray(open_image(content, "x")))


def test_views_are_those_of_pil_flipped_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    content, preprocessing = encoded(photograph(90, 70)), Preprocessing(48)
    augmentations = [RESIZED, Augmentation(crop="shift", flip=True), Augmentation(flip=True)]

    def views() -> list[np.ndarray]:
        pairs = [(augmentation, seed) for augmentation in augmentations for seed in range(8)]
        return [training_view_of(content, "x", preprocessing, a, np.random.default_rng(seed)) for a, seed in pairs]

    ours, plain = views(), evaluation_view_of(content, "x", preprocessing)
    assert all(view.flags.c_contiguous and view.shape == (3, 48, 48) for view in ours)
    mirrored = [np.array_equal(view, plain[:, :, ::-1]) for view in ours[16:]]
    assert mirrored == [not np.array_equal(view, plain) for view in ours[16:]] and 0 < sum(mirrored) < 8
    make_all_go_through_pil(monkeypatch)
    assert all(np.array_equal(a, b) for a, b in zip(ours, views(), strict=True))


def test_evaluation_is_pils_resize_exactly() -> None:
    content = encoded(photograph(120, 90))
    image = open_image(content, "x").resize((85, 64), RESAMPLING["bicubic"]).crop((14, 4, 70, 60))
    pixels = evaluation_view_of(content, "x", Preprocessing(56, crop=0.875))
    assert np.array_equal(pixels, np.asarray(image).transpose(2, 0, 1)) and pixels.flags.c_contiguous
    small = encoded(photograph(32, 32))
    assert np.array_equal(
        evaluation_view_of(small, "x", Preprocessing(32)), np.asarray(open_image(small, "x")).transpose(2, 0, 1)
    )


def stumbling(content: bytes) -> bytes:
    """A restart marker where none belongs: decoders complain and go on."""
    middle = len(content) // 2
    return content[:middle] + b"\xff\xd0" + content[middle + 2 :]


UNUSUAL = {
    "png": (encoded(photograph(80, 60), "PNG"), 3),
    "webp": (encoded(photograph(80, 60), "WEBP"), 3),
    "cmyk": (encoded(photograph(80, 60).convert("CMYK")), 3),
    "grey for colour": (encoded(photograph(80, 60).convert("L")), 3),
    "colour for grey": (encoded(photograph(80, 60)), 1),
    "stored as RGB": (encoded(photograph(80, 60), keep_rgb=True), 3),
    **{f"rotated {n}": (encoded(photograph(80, 60), exif=rotated(n)), 3) for n in range(2, 9)},
    "warning": (stumbling(encoded(photograph(80, 60))), 3),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_unusual_is_what_pil_makes_of_it(kind: str) -> None:
    content, channels = UNUSUAL[kind]
    size = Preprocessing(20, mean=(0.5,) * channels, std=(0.2,) * channels)
    picture = Picture(content, channels, "x")
    pil = decode(open_image(content, "x"), channels, "x")
    assert picture.size == pil.size
    assert np.array_equal(picture.pixels().squeeze(), np.asarray(pil)) and not picture.is_plain
    box = random_box(pil.size, RESIZED.scale_min, np.random.default_rng(3))
    view = training_view_of(content, "x", size, Augmentation(crop="resized"), np.random.default_rng(3))
    apart = np.abs(view - exact(Picture(pil, channels, "x"), box, 20, "bicubic"))
    assert apart.mean() < 0.05 and apart.max() <= 2


def test_boxes_stay_whole_at_any_scale() -> None:
    """No box of `divisor` * size pixels or more is ever rounded to fewer than size."""
    for divisor in (2, 4, 8):
        for left in range(2 * divisor):
            box = decoding.rounded((left, left, left + 3 * divisor, left + 3 * divisor + 1), divisor)
            assert box[2] - box[0] == 3 and box[3] - box[1] >= 3
    picture = Picture(encoded(photograph(9, 11)), 3, "x")
    for left in range(2):
        assert picture.part((left, 0, left + 8, 8), 1, "bicubic").shape == (3, 1, 1)


def test_exif_that_says_upright_stays_fast() -> None:
    assert Picture(encoded(photograph(40, 30), exif=rotated(1)), 3, "x").is_plain
    assert not Picture(encoded(photograph(40, 30), exif=rotated(3)), 3, "x").is_plain
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    turned = Picture(encoded(photograph(40, 30), xmp=xmp), 3, "x")
    assert not turned.is_plain and turned.size == decode(open_image(turned.source, "x"), 3, "x").size


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_cut_jpeg_is_told_and_never_seen(share: float, progressive: bool) -> None:
    content = encoded(photograph(640, 480), progressive=progressive)
    cut = content[: int(len(content) * share)]
    for size in (32, 224, 400):  # decoded at 1/8 or less, and whole
        for augmentation in (RESIZED, Augmentation(crop="shift"), Augmentation()):
            with pytest.raises(DataError, match=r"photos/cut\.jpg: (damaged|not an image)"):
                training_view_of(cut, "photos/cut.jpg", Preprocessing(size), augmentation, np.random.default_rng(0))
        with pytest.raises(DataError, match=r"photos/cut\.jpg: (damaged|not an image)"):
            evaluation_view_of(cut, "photos/cut.jpg", Preprocessing(size))


def test_a_cut_jpeg_of_the_networks_size_and_a_text_are_told() -> None:
    content = encoded(photograph(32, 32))
    for bad in (content[:-20], content[:3], b"<html>not here</html>", b"\xff\xd8\xff\xe1", b"\xff\xd8"):
        with pytest.raises(DataError, match="x: (damaged|not an image)"):
            evaluation_view_of(bad, "x", Preprocessing(32))


def test_flipped_bytes_give_what_pil_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens to a file: the fast way gives PIL's pixels or PIL's error."""
    whole = encoded(photograph(48, 40), quality=60)
    generator = np.random.default_rng(0)

    def outcome(content: bytes) -> bytes | str:
        try:
            return training_view_of(content, "x", Preprocessing(36), RESIZED, np.random.default_rng(1)).tobytes()
        except DataError as error:
            return str(error)

    damaged = []
    for _ in range(300):
        content = bytearray(whole)
        for position in generator.integers(2, len(content), generator.integers(1, 4)):
            content[position] = generator.integers(256)
        damaged.append(bytes(content))
    ours = [outcome(content) for content in damaged]
    make_all_go_through_pil(monkeypatch)
    pils = [outcome(content) for content in damaged]
    assert len(set(ours)) > 50
    assert [index for index in range(300) if ours[index] != pils[index]] == []


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    content = encoded(photograph(64, 64))
    size = content.index(b"\xff\xc0") + 5  # height and width follow marker, length and precision
    for height, width, why in ((65_000, 65_000, "more than 89,000,000 pixels"), (64, 6_500, "too long")):
        bomb = content[:size] + height.to_bytes(2) + width.to_bytes(2) + content[size + 4 :]
        with pytest.raises(DataError, match=f"bomb.jpg: .*{why}"):
            training_view_of(bomb, "bomb.jpg", Preprocessing(32), RESIZED, np.random.default_rng(0))


def digest(threads: int) -> str:
    """Of views of all kinds, decoded at several scales."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    sums = hashlib.sha256()
    contents = [encoded(photograph(640, 480)), encoded(photograph(80, 60), "PNG"), encoded(photograph(32, 32))]
    for augmentation in (RESIZED, Augmentation(crop="shift", flip=True, policy="randaugment", erasing=0.5)):
        for seed, content in enumerate(contents * 2):
            for size in (32, 150):
                generator = np.random.default_rng((1, seed))
                sums.update(training_view_of(content, "x", Preprocessing(size), augmentation, generator).tobytes())
    torch.set_num_threads(before)
    return sums.hexdigest()


@pytest.mark.long
def test_views_do_not_depend_on_process_or_threads() -> None:
    here = digest(1)
    assert digest(4) == here
    code = "from tests.data.test_decoding import digest; print(digest(2))"
    root = Path(__file__).parents[2]
    fresh = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == here


def test_importing_the_data_loads_no_torch() -> None:
    code = "import sys, convscale.data; assert 'torch' not in sys.modules and 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_collection_gives_its_bytes(tmp_path: Path) -> None:
    import pyarrow as pa

    content = encoded(photograph(40, 30))
    (tmp_path / "0.jpg").write_bytes(content)
    labels = np.zeros(1, np.int64)
    files = FileImages([tmp_path / "0.jpg"], labels)
    rows = pa.chunked_array([[{"path": "a", "bytes": content}], [{"path": "b", "bytes": None}, None]])
    parquet = ParquetImages(tmp_path / "x.parquet", rows, np.zeros(3, np.int64))
    assert files.content(0) == parquet.content(0) == Subset(parquet, labels).content(0) == content
    for row in (1, 2):
        with pytest.raises(DataError, match=rf"x.parquet\[{row}\]: no image bytes"):
            parquet.content(row)
    (tmp_path / "0.jpg").unlink()
    with pytest.raises(DataError, match=r"0.jpg: cannot be read"):
        files.content(0)


def test_pixels_in_memory_have_views_too() -> None:
    data = cs.open_dataset("digits")
    grey = Preprocessing(16, mean=(0.5,), std=(0.25,))
    assert (
        isinstance(data.train, Subset) and isinstance(data.train.whole, ArrayImages) and data.train.content(0) is None
    )
    for augmentation in (RESIZED, Augmentation(crop="shift")):
        assert training_view(data.train, 0, grey, augmentation, np.random.default_rng(0)).shape == (1, 16, 16)
    assert evaluation_view(data.train, 0, grey).dtype == np.uint8


def test_real_photographs(real_data: Path) -> None:
    """All of them take the fast way, and scaled decoding is near the exact resize of the same box."""
    paths = sorted((real_data / "imagenet-samples" / "images").iterdir())[::50]
    means = []
    for path in paths:
        picture = Picture(path.read_bytes(), 3, str(path))
        assert picture.is_plain
        assert np.array_equal(picture.pixels(), np.asarray(picture.images[0]))
        width, height = (side // 8 * 8 for side in picture.size)
        box = (0, 0, width, height)
        means.append(np.abs(picture.part(box, 64, "bicubic") - exact(picture, box, 64, "bicubic")).mean())
    assert np.mean(means) < 2 and max(means) < 4
