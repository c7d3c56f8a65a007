"""What counts as an image file, links to folders, and what is told of the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data.image_files import NotUsed, describe_unused, is_image_file, scan
from convscale.errors import DataError


def save(path: Path, number: int = 0, kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (number % 250, 80, number // 250)).save(path, kind or "PNG")
    return path


def fill(folder: Path, images: int, start: int = 0, suffix: str = ".png", kind: str | None = None) -> Path:
    for number in range(start, start + images):
        save(folder / f"{number}{suffix}", number, kind)
    return folder


def names(folder: Path) -> list[str]:
    return [image.name for image in scan(folder).images]


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [
        (".jpg", "JPEG"), (".JPG", "JPEG"), (".jfif", "JPEG"), (".jpe", "JPEG"), (".pjpeg", "JPEG"), (".mpo", "JPEG"),
        (".avif", "AVIF"), (".pgm", "PPM"), (".pnm", "PPM"), (".tga", "TGA"), (".jp2", "JPEG2000"), (".ico", "ICO"),
        (".dib", "DIB"), (".apng", "PNG"), (".qoi", "QOI"), (".tif", "TIFF"), ("", "PNG"), ("", "JPEG"), ("", "WEBP"),
        (".jpg?w=300", "JPEG"), (".jpg!large", "JPEG"), (".1", "GIF"), (".image", "BMP"), (".", "PNG"),
    ],
)  # fmt: skip
def test_whatever_pillow_reads_is_an_image(tmp_path: Path, suffix: str, kind: str) -> None:
    fill(tmp_path / "red", 6)
    fill(tmp_path / "green", 6, 20, suffix, kind)
    data = cs.open_dataset(tmp_path)
    assert (data.classes, len(data.train), len(data.test), data.not_used) == (("green", "red"), 10, 2, ())
    rows = "".join(f"green/{number}{suffix},g\n" for number in range(20, 26)) + "red/0.png,r\nred/1.png,r\n"
    (tmp_path / "labels.csv").write_text("file,label\n" + rows)
    assert len(cs.open_dataset(tmp_path).train) == 6  # a CSV that names them finds the same


@pytest.mark.parametrize(
    "name", ["a.txt", "a", "a.heic", "a.mov", "a.dng", "a.png~", "a.jpg.part", "a.csv", "a.unknown"]
)
def test_what_is_no_image_is_none(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(b"P7 some text that is no picture")
    assert not is_image_file(file)
    file.write_bytes(b"")
    assert not is_image_file(file)


def test_a_name_that_says_image_is_believed(tmp_path: Path) -> None:
    """Whether it can be read is seen, and told, when it is."""
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    assert is_image_file(tmp_path / "broken.jpg")


@pytest.fixture
def heic() -> Iterator[None]:
    """A plug-in that reads .heic, as far as a registry can tell."""
    Image.init()
    known = dict(Image.EXTENSION)
    Image.register_extension("HEIF", ".heic")
    Image.OPEN["HEIF"] = Image.OPEN["PNG"]
    yield
    Image.EXTENSION.clear()
    Image.EXTENSION.update(known)
    del Image.OPEN["HEIF"]


def test_heic_is_read_where_a_plugin_can(tmp_path: Path, heic: None) -> None:
    assert names(fill(tmp_path, 3, suffix=".heic")) == ["0.heic", "1.heic", "2.heic"]


def test_all_that_is_not_used_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "red", 4), fill(tmp_path / "blue", 4, 10)
    for number in range(2):
        (tmp_path / "red" / f"{number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    (tmp_path / "green").mkdir()
    (tmp_path / "green" / "film.mov").write_bytes(b"\0" * 30)
    (tmp_path / "empty").mkdir()
    save(tmp_path / "loose.png", 99)
    (tmp_path / "red" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    data = cs.open_dataset(tmp_path)
    assert data.classes == ("blue", "red")
    kinds = {row.kind: (row.count, [Path(name).name for name in row.examples]) for row in data.not_used}
    assert kinds == {
        ".heic": (2, ["0.heic", "1.heic"]),
        ".mov": (1, ["film.mov"]),
        "folder without an image": (2, ["empty", "green"]),
        "image without a label": (1, ["loose.png"]),
        "cannot be opened": (1, ["gone.png"]),
    }
    assert cli_main.run(["data", "check", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "note: 3 files not read: .heic (2), .mov (1); Pillow reads HEIC with pillow-heif" in err
    assert "image without a label: 1" in err and "folder without an image: 2" in err
    report = json.loads(out)
    assert {row["kind"]: row["count"] for row in report["not_used"]} == {kind: n for kind, (n, _) in kinds.items()}
    assert set(report["not_used"][0]) == {"kind", "count", "examples"} and report["splits"] == {"all": 8}
    train = ["train", "small-mbconv", "--resolution", "16", "--epochs", "1", "--batch", "2", "--no-pictures"]
    assert cli_main.run([*train, "--data", str(tmp_path), "-o", str(tmp_path.parent / "run")]) == 0
    assert "3 files not read: .heic (2), .mov (1)" in capsys.readouterr().err
    fit = ["fit", str(tmp_path), "--macs", "300K", "--epochs", "1", "--batch", "2", "-o", str(tmp_path.parent / "fit")]
    assert cli_main.run([*fit, "--max-resolution", "16"]) == 0
    assert capsys.readouterr().err.count("3 files not read: .heic (2), .mov (1)") == 1


def test_unused_in_words() -> None:
    rows = [NotUsed(".heic", 2, ("a.heic", "b.heic")), NotUsed("no suffix", 1, ("c",)), NotUsed("odd", 5, ("d", "e"))]
    first, second = describe_unused(rows)
    assert first == "3 files not read: .heic (2), no suffix (1); Pillow reads HEIC with pillow-heif"
    assert second == "not used, odd: 5 (d, e, ...)" and describe_unused([]) == []
    assert describe_unused([NotUsed(".txt", 1, ("a.txt",))]) == ["1 file not read: .txt (1)"]


def test_what_systems_leave_beside_images_is_none(tmp_path: Path) -> None:
    fill(tmp_path / "red", 3)
    for place in ("@eaDir/0.png", ".ipynb_checkpoints", "__MACOSX", "#recycle", "$RECYCLE.BIN"):
        save(tmp_path / "red" / place / "0.png")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
        save(tmp_path / "red" / name)
    assert scan(tmp_path / "red") == ([tmp_path / "red" / f"{number}.png" for number in range(3)], [])


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "store" / "more" / "deep", 8, 50)
    (tmp_path / "store" / "more" / "link").symlink_to(fill(tmp_path / "elsewhere", 2, 70))
    root = tmp_path / "data"
    fill(root / "red", 4), fill(root / "green", 12, 20)
    (root / "red" / "camera2").symlink_to(tmp_path / "store" / "more")
    data = cs.open_dataset(root)
    assert len(data.train) + len(data.test) == 26
    (root / "blue").mkdir()
    (root / "blue" / "all").symlink_to(tmp_path / "store")
    assert cs.open_dataset(root).classes == ("blue", "green", "red")


def test_a_split_behind_links_has_its_class(tmp_path: Path) -> None:
    fill(tmp_path / "store", 8, 50)
    root = tmp_path / "data"
    fill(root / "train" / "green", 6), fill(root / "test" / "red", 3), fill(root / "test" / "green", 6, 10)
    (root / "train" / "red").mkdir()
    (root / "train" / "red" / "camera2").symlink_to(tmp_path / "store")
    data = cs.open_dataset(root)
    assert (len(data.train), len(data.test), data.classes) == (14, 9, ("green", "red"))


def test_loops_of_links_end_and_count_nothing_twice(tmp_path: Path) -> None:
    red, green = fill(tmp_path / "data" / "red", 4), fill(tmp_path / "data" / "green", 5, 10)
    (red / "self").symlink_to(red)
    (red / "up").symlink_to(tmp_path / "data")
    (red / "above").symlink_to(tmp_path)
    fill(green / "inner", 2, 30)
    (green / "again").symlink_to(green / "inner")
    (green / "inner" / "back").symlink_to(green)
    store = fill(tmp_path / "store", 3, 40)
    (red / "camera").symlink_to(store)
    (store / "home").symlink_to(tmp_path / "data")  # back to where the link was
    (store / "other").symlink_to(store)
    (red / "itself.png").symlink_to("itself.png")
    assert len(scan(red).images) == 7 and len(scan(green).images) == 7
    data = cs.open_dataset(tmp_path / "data")
    assert len(data.train) + len(data.test) == 14
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "data")
    assert len(scan(link / "red").images) == 7


def test_a_special_file_is_not_opened(tmp_path: Path) -> None:
    fill(tmp_path / "red", 2), fill(tmp_path / "blue", 2, 10)
    os.mkfifo(tmp_path / "red" / "pipe.png")
    data = cs.open_dataset(tmp_path)
    assert len(data.train) + len(data.test) == 4 and [row.kind for row in data.not_used] == ["cannot be opened"]


def test_a_folder_of_no_image_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "a.heic").write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(DataError, match=r"no image found, but 1 file not read: .heic \(1\)"):
        cs.open_dataset(tmp_path)
