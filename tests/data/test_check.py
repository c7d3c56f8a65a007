"""`check_data`: damaged, odd and double images, each told with its reason; lists of images to leave out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import resource
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data import open_dataset
from convscale.data.check import DataCheck, check_data, read_fully
from convscale.data.duplicates import MAX_BITS, Fingerprints, difference_hash, near_components
from convscale.data.exclusions import exclusions, format_exclusions, leave_out, read_exclusions
from convscale.data.images import FileImages
from convscale.data.layouts import read_splits
from convscale.errors import DataError
from convscale.records import flat


def photo(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A picture of soft colours, unlike that of any other seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def folders(root: Path, images: int = 5, classes: tuple[str, ...] = ("cat", "dog"), start: int = 0) -> Path:
    for index, name in enumerate(classes):
        for image in range(images):
            save(root / name / f"{image}.png", photo(start + 1000 * index + image))
    return root


def digests(root: Path) -> dict[Path, str]:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def check(data: str | Path, **options: str) -> DataCheck:
    return check_data(data, quiet=True, **options)


def png_of(width: int, height: int) -> bytes:
    """A white grey-scale PNG of a few kB, whatever its size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((1, 0, 0, 0, 0))
    packer, row = zlib.compressobj(9), b"\0" + b"\xff" * -(-width // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, exif=exif)


def bad_and_odd() -> tuple[dict[str, tuple[bytes, str]], dict[str, tuple[bytes, str]]]:
    """Files by name, with their content and a part of the reason: unreadable ones, and unusual ones."""
    jpeg, png = encoded(photo(900)), encoded(photo(901), "PNG")
    grey16 = Image.fromarray(np.random.default_rng(3).integers(0, 65536, (20, 20)).astype(np.uint16))
    clear = photo(902).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    frames = [photo(seed).quantize() for seed in (903, 904)]
    bad = {
        "empty.jpg": (b"", "empty file"),
        "text.jpg": (b"not here yet\n" * 3, "text, not an image"),
        "page.png": (b"<!DOCTYPE html><html><title>404</title></html>", "a web page"),
        "binary.jpg": (bytes(range(256)) * 4, "not an image that can be read"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), "heic file"),
        "cut2.jpg": (jpeg[: len(jpeg) * 2 // 100], ""),
        "cut30.jpg": (jpeg[: len(jpeg) * 30 // 100], "damaged"),
        "cut90.jpg": (jpeg[: len(jpeg) * 90 // 100], "damaged"),
        "cut99.9.jpg": (jpeg[: len(jpeg) * 999 // 1000], ""),
        "cut99.9.png": (png[: len(png) * 999 // 1000], "cut short"),
        "float.tif": (encoded(Image.new("F", (16, 16), 0.5), "TIFF"), "floating-point"),
        "long.png": (encoded(Image.new("RGB", (2000, 3)), "PNG"), "too long for its width"),
    }
    odd = {
        "other.jpg": (encoded(photo(905), "PNG"), "PNG in a file called .jpg"),
        "cmyk.jpg": (encoded(photo(906).convert("CMYK")), "CMYK"),
        "deep.png": (encoded(grey16, "PNG"), "16 bits per channel"),
        "turned.jpg": (rotated(photo(907)), "turned by its EXIF orientation"),
        "moving.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "several frames"),
        "clear.png": (encoded(clear, "PNG"), "transparent"),
        "tiny.png": (encoded(photo(908, (5, 7)), "PNG"), "very small: 5x7"),
        "wide.png": (encoded(photo(909, (200, 20)), "PNG"), "elongated: 200x20"),
    }
    return bad, odd


def test_every_damaged_and_odd_image_is_told_with_its_reason(tmp_path: Path) -> None:
    bad, odd = bad_and_odd()
    assert len(bad) + len(odd) == 20
    for name, (content, _) in (bad | odd).items():
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / name).write_bytes(content)
    for index in range(180):
        save(tmp_path / ("cat", "dog")[index % 2] / f"{index}.{('jpg', 'png')[index // 90]}", photo(index))
    before = digests(tmp_path)
    found = check(tmp_path)
    assert {Path(item.image).name for item in found.unreadable} == set(bad)
    assert {Path(item.image).name for item in found.unusual} == set(odd)
    for item in (*found.unreadable, *found.unusual):
        expected = (bad | odd)[Path(item.image).name][1]
        assert item.split == "all" and item.reason and expected in item.reason, item
    assert found.images == {"all": 200} and found.duplicates == found.leaks == ()
    assert digests(tmp_path) == before
    data = open_dataset(tmp_path, exclude=write_list(tmp_path.parent / "list.txt", found))
    assert sum(map(len, data.excluded.values())) == 12 and len(data.train) + len(data.test) == 188


def write_list(path: Path, found: DataCheck) -> Path:
    path.write_text(format_exclusions(found), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"exif": True}), ("PNG", {}), ("GIF", {}), ("WEBP", {}),
     ("BMP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("PPM", {})],
)  # fmt: skip
def test_no_cut_goes_unnoticed(tmp_path: Path, kind: str, options: dict[str, object]) -> None:
    if "exif" in options:  # a thumbnail in the headers, whose end is not the image's
        options = {"exif": b"Exif\0\0" + encoded(photo(2, (8, 8)))}
    content = encoded(photo(1, (20, 20)), kind, **options)
    path = tmp_path / "x.img"
    images = FileImages([path], np.zeros(1, np.int64))
    path.write_bytes(content)
    read_fully(images, 0)
    for length in {*range(0, len(content), 7), *range(len(content) - 20, len(content))}:
        path.write_bytes(content[:length])
        with pytest.raises(DataError):
            read_fully(images, 0)


def test_what_follows_the_end_of_an_image_does_no_harm(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG"):
        (tmp_path / "x").write_bytes(encoded(photo(1), kind) + b"\xff\xda" + bytes(5000))
        assert read_fully(FileImages([tmp_path / "x"], np.zeros(1, np.int64)), 0)[1] == []
    opaque = encoded(photo(1).convert("RGBA"), "PNG")
    (tmp_path / "x").write_bytes(opaque)
    assert read_fully(FileImages([tmp_path / "x"], np.zeros(1, np.int64)), 0)[1] == []


def test_decompression_bombs_are_refused_at_once(tmp_path: Path) -> None:
    folders(tmp_path, images=2)
    for name, side in (("400", 20_000), ("169", 13_000)):
        (tmp_path / "cat" / f"{name}.png").write_bytes(png_of(side, side))
        assert (tmp_path / "cat" / f"{name}.png").stat().st_size < 80_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = check(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
    assert [item.reason for item in found.unreadable] == ["more than 89,000,000 pixels"] * 2


def test_odd_names_and_links(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", images=1)
    names: list[str | bytes] = [
        "a b.png", " lead.png", "tail .png", "two\nlines.png", "tab\t.png", "#hash.png", '"quoted".png', "'q'.png",
        "🐈.png", "👩‍👩‍👧.png", "é.png", "e\u0301.png", "日本.png", "\u202eright.png", "[bold]x.png", "-o.png",
        "%41.png", "x" * 251 + ".png", b"\xff\xfe.png", "back\\slash.png",
    ]  # fmt: skip
    assert len(names) == 20
    for index, name in enumerate(names):
        (root / "cat" / os.fsdecode(name)).write_bytes(encoded(photo(50 + index), "PNG"))
    (root / "cat" / "self.png").symlink_to("self.png")
    (root / "cat" / "up").symlink_to("..", target_is_directory=True)
    (root / "dog" / "etc").symlink_to("/etc", target_is_directory=True)
    (root / "dog" / "host.png").symlink_to("/etc/hostname" if Path("/etc/hostname").exists() else "/etc/passwd")
    found = check(root)
    assert found.images == {"all": 23} and [Path(item.image).name for item in found.unreadable] == ["host.png"]
    assert found.unusual == found.duplicates == ()

    listed = [str(root / "cat" / os.fsdecode(name)) for name in names]
    text = format_exclusions(DataCheck(str(root), {}, {}, (), (), (), (), ())) + "\n".join(
        json.dumps(n) for n in listed
    )
    (tmp_path / "list.txt").write_text(text)
    kept, count = leave_out(read_splits(root, "label")[0], tmp_path / "list.txt")
    assert len(count["all"]) == 20 and len(kept["all"]) == 3


def test_a_link_to_the_data_itself_shows_as_copies(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", images=2)
    (root / "loop").symlink_to(root, target_is_directory=True)
    found = check(root)
    assert found.images == {"all": 8} and all(group.contradicts for group in found.duplicates)
    assert len(found.duplicates) == 4


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.08)


def recompressed(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encoded(image, quality=60)))


def half(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


def test_duplicates_contradictions_and_leaks(tmp_path: Path) -> None:
    folders(tmp_path / "train", images=6)
    folders(tmp_path / "test", images=3, start=100)
    copies: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
        "train/cat/same.png": ("train/cat/0.png", lambda image: image),
        "train/dog/wrong.png": ("train/cat/1.png", lambda image: image),
        "train/cat/recompressed.jpg": ("train/cat/2.png", recompressed),
        "train/cat/half.png": ("train/cat/3.png", half),
        "test/dog/leak.png": ("train/dog/0.png", lambda image: image),
        "test/dog/near.png": ("train/dog/1.png", brighter),
    }
    for name, (source, change) in copies.items():
        save(tmp_path / name, change(Image.open(tmp_path / source)))
    found = check(tmp_path)
    pairs = {
        frozenset(str(Path(name).relative_to(tmp_path)) for name in group.images): group for group in found.duplicates
    }
    assert set(pairs) == {frozenset((name, source)) for name, (source, _) in copies.items()}
    kinds = [pairs[frozenset((name, source))].kind for name, (source, _) in copies.items()]
    assert kinds == ["exact", "exact", "near", "near", "exact", "near"]
    assert [group.labels for group in found.duplicates if group.contradicts] == [("cat", "dog")]
    assert len(found.leaks) == 2 and all(set(group.splits) == {"train", "test"} for group in found.leaks)
    assert flat(found.imbalance) == {
        "ratio": 9 / 7, "largest": "cat", "largest_images": 9, "smallest": "dog", "smallest_images": 7,
    }  # fmt: skip
    assert found.classes == {"cat": {"train": 9, "test": 3}, "dog": {"train": 7, "test": 5}}

    leaving = {str(Path(name).relative_to(tmp_path)): reason for name, reason in exclusions(found).items()}
    assert set(leaving) == {
        "train/cat/same.png", "train/cat/1.png", "train/dog/wrong.png", "train/dog/0.png", "train/dog/1.png",
    }  # fmt: skip
    assert leaving["train/cat/1.png"].endswith("conflicting labels: cat, dog")
    assert (
        leaving["train/dog/1.png"].startswith("near duplicate of") and "exact copy of" in leaving["train/cat/same.png"]
    )
    data = open_dataset(tmp_path, exclude=write_list(tmp_path / "leave-out.txt", found))
    assert (len(data.train), len(data.test), sum(map(len, data.excluded.values()))) == (11, 8, 5)


def test_an_exact_copy_of_a_near_duplicate_joins_its_group(tmp_path: Path) -> None:
    folders(tmp_path / "train", images=2)
    folders(tmp_path / "test", images=2, start=100)
    original = Image.open(tmp_path / "train" / "cat" / "0.png")
    save(tmp_path / "test" / "cat" / "same.png", original)
    save(tmp_path / "train" / "cat" / "bright.png", brighter(original))
    exact, near = check(tmp_path).duplicates
    assert (exact.kind, len(exact.images), near.kind, len(near.images)) == ("exact", 2, "near", 3)
    assert near.leaks and "same.png" in exclusions(check(tmp_path))[near.images[1]]


def test_a_list_is_read_back_and_a_wrong_one_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text('# why\r\n\r\n data/cat/0.png \r\n"data/cat/1.png"\r\n', newline="")
    assert read_exclusions(tmp_path / "list.txt") == ["data/cat/0.png", "data/cat/1.png"]
    for data in ("data", tmp_path / "data"):
        assert len(open_dataset(data, exclude="list.txt").train) == 6
    (tmp_path / "list.txt").write_text("data/cat/0.png\ndata/cat/7.png\nother\n")
    with pytest.raises(
        DataError, match=r"list.txt: 2 of its 3 images are not in the data, the first is 'data/cat/7.png'"
    ):
        open_dataset("data", exclude="list.txt")
    (tmp_path / "list.txt").write_bytes(b'"half\n')
    for name in ("list.txt", "none.txt", "data"):
        with pytest.raises(DataError, match=name):
            open_dataset("data", exclude=name)
    (tmp_path / "list.txt").write_text("".join(f"data/cat/{i}.png\n" for i in range(5)))
    with pytest.raises(DataError, match="one class only"):
        open_dataset("data", exclude="list.txt")


def test_flat_and_tiny_images_do_not_collide(tmp_path: Path) -> None:
    colours = [(r, g, b) for r in (0, 120, 250) for g in (0, 120, 250) for b in (0, 120, 250)]
    prints = Fingerprints(len(colours) + 1)
    for index, colour in enumerate(colours):
        prints.add(index, Image.new("RGB", (30, 30), colour))
    assert prints.exact_groups() == prints.near_groups() == []
    prints.add(len(colours), Image.new("RGB", (60, 30), (120, 121, 120)))
    assert prints.near_groups() == [[13, 27]] and prints.exact_groups() == []
    digits = check("digits")
    assert digits.images == {"all": 1797} and not digits.unreadable and not digits.unusual and not digits.leaks
    assert len(digits.duplicates) < 40 and sum(group.contradicts for group in digits.duplicates) == 0


def test_near_duplicates_are_found_as_by_comparing_all_pairs() -> None:
    images = [photo(seed) for seed in range(150)]
    images += [change(image) for image in images[:30] for change in (brighter, half, recompressed)]
    prints = Fingerprints(len(images))
    for index, image in enumerate(images):
        prints.add(index, image.convert("RGB"))
    assert prints.near_groups() == [[i, 150 + 3 * i, 151 + 3 * i, 152 + 3 * i] for i in range(30)]
    assert difference_hash(images[0]) == int(prints.hashes[0])
    bits = [(int(prints.hashes[a]) ^ int(prints.hashes[a // 3 - 50])).bit_count() for a in range(150, 240)]
    assert max(bits) <= MAX_BITS


@pytest.mark.long
@pytest.mark.parametrize("same_hash", [False, True])
def test_sixty_thousand_images_are_compared_in_seconds(same_hash: bool) -> None:
    generator = np.random.default_rng(0)
    n = 10_000 if same_hash else 60_000  # 10 s for 60,000 of one hash
    hashes = np.zeros(n, np.uint64) if same_hash else generator.integers(0, 2**63, n, np.uint64)
    thumbnails = generator.integers(0, 256, (n, 12, 12, 3), np.uint8)
    pairs = ((5_000, 100), (9_999, 4_000))
    for copy, original in pairs:
        hashes[copy] = hashes[original] ^ np.uint64(0b1001)
        thumbnails[copy] = thumbnails[original]
    component = near_components(hashes, thumbnails)
    expected = np.arange(n)
    if not same_hash:  # else the copy's hash lies too far from the original's
        expected[[5_000, 9_999]] = 100, 4_000
    assert np.array_equal(component, expected)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = folders(tmp_path / "data", images=4)
    save(root / "cat" / "copy.png", Image.open(root / "cat" / "0.png"))
    (root / "dog" / "bad.png").write_bytes(b"")
    for index in range(7):
        save(root / "dog" / f"wide{index}.png", photo(500 + index, (120, 20)))
    assert cli_main.run(["data", "check", str(root), "-o", str(tmp_path / "list.txt")]) == 0
    out, err = capsys.readouterr()
    assert "dog/bad.png: empty file" in out and "and 2 more: --json lists all" in out and "exact:" in out
    assert "wrote" in err and "2 images to leave out" in err
    assert "# unreadable: empty file\n" in (tmp_path / "list.txt").read_text()
    assert sum(map(len, open_dataset(root, exclude=tmp_path / "list.txt").excluded.values())) == 2
    assert cli_main.run(["data", "check", str(root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report) == [
        "images",
        "classes",
        "unreadable",
        "unusual",
        "duplicates",
        "leaks",
        "imbalance",
        "not_used",
        "splits",
    ]
    assert report["unreadable"] == [{"image": str(root / "dog/bad.png"), "split": "all", "reason": "empty file"}]
    assert report["duplicates"][0]["kind"] == "exact" and report["duplicates"][0]["labels"] == ["cat", "cat"]
    assert cli_main.run(["data", "check", str(tmp_path / "none")]) == 2
    assert cli_main.run(["data", "check", str(root), "-o", str(tmp_path / "no" / "file")]) == 2
    assert cli_main.run(["data", "--help"]) == 0 and "check" in capsys.readouterr().out


def test_training_on_what_is_left(tmp_path: Path) -> None:
    root = folders(tmp_path / "data", images=12)
    (root / "dog" / "bad.png").write_bytes(b"")
    listed = write_list(tmp_path / "list.txt", check(root))
    network = cs.scale(cs.network("efficientnet-b0"), cs.Scaling(0.2, 0.1, 32 / 224)).with_classes(2)
    data = open_dataset(root, exclude=listed)
    quick = cs.recipe("small-images").with_changes(epochs=1, batch=8)
    _, evaluation = cs.train(network, data, quick, tmp_path / "run", seed=0)
    assert evaluation.n == len(data.test) == 4


@pytest.mark.long
def test_real_images(real_data: Path) -> None:
    found = check(real_data / "cifar10" / "test.parquet")
    assert found.images == {"all": 10_000} and found.imbalance.ratio == 1 and not found.unreadable and not found.unusual
    assert 0 < len(found.duplicates) < 50
    samples = check(real_data / "imagenet-samples", label_column="index")
    assert samples.images == {"all": 1000} and not samples.unreadable and len(samples.duplicates) < 5
