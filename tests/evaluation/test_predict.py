"""Predicting as people do it: files, folders, patterns, stdin and images in memory; answers as text, JSON and files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import convscale as cs
from convscale.errors import ConfigError, DataError
from convscale.preprocessing import default_preprocessing
from convscale.records import Prediction, PredictionSet, read_record
from convscale.records.files import write_record
from tests.cli.calling import run, run_json

CLASSES = ("cat", 'a "b", c', "Übersee ναυς 犬")
NETWORK = cs.network("small-mbconv").at_resolution(16).with_classes(3)


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights as they are drawn; what they say depends on the pixels all the same."""
    file = tmp_path_factory.mktemp("net") / "net.safetensors"
    torch.manual_seed(0)
    model = cs.build(NETWORK, seed=0)
    torch.nn.init.normal_(model.head.get_submodule("classifier.linear").weight)
    cs.save_weights(file, model, cs.WeightsHeader(NETWORK, default_preprocessing(16, 3), CLASSES))
    return file


def pixels(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, shape or (20, 24, 3), dtype=np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images in a folder, one of them in a folder below, and what is none."""
    folder = tmp_path / "photos"
    for index, name in enumerate(("b/deep.PNG", "a.png", "b 1.webp", "c.jfif", "z[1].png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        kind = {".jfif": "jpeg", ".webp": "webp"}.get(Path(name).suffix, "png")
        Image.fromarray(pixels(index)).save(folder / name, format=kind)
    for name in (".hidden.png", ".cache/x.png", "notes.txt", "b/more.txt", "README"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("no image")
    return folder


def names(predictions: list[Prediction], folder: Path) -> list[str]:
    return [Path(one.image).relative_to(folder).as_posix() for one in predictions]


IN_FOLDER = ["a.png", "b/deep.PNG", "b 1.webp", "c.jfif", "z[1].png"]


def test_a_folder_is_every_image_below_it(
    net: Path, photos: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = cs.predict(net, photos)
    assert names(found, photos) == sorted(IN_FOLDER, key=lambda name: Path(name).parts)
    assert "not recognised as images: .txt (2), no suffix (1)" in capsys.readouterr().err
    assert [one.classes for one in found] == [cs.predict(net, one.image)[0].classes for one in found]
    assert found == cs.predict(net, photos, batch=2, workers=1, quiet=True)
    assert len({one.classes[0][1] for one in found}) == 5 and capsys.readouterr().err == ""
    (tmp_path / "linked").symlink_to(photos)
    (photos / "b" / "round").symlink_to(photos)
    (photos / "gone.png").symlink_to("nowhere")
    linked = cs.predict(net, tmp_path / "linked", on_unreadable="keep", quiet=True)
    assert [one.error for one in linked].count("no such image file") == 1 and len(linked) == 6


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.png", ["a.png", "z[1].png"]),
        ("z[1].png", ["z[1].png"]),  # a file is called so
        ("[ac].*", ["a.png", "c.jfif"]),
        ("*", ["a.png", "b/deep.PNG", "b 1.webp", "c.jfif", "z[1].png"]),
        ("**", ["a.png", "b/deep.PNG", "b 1.webp", "c.jfif", "z[1].png"]),
        ("**/*.PNG", ["b/deep.PNG"]),
    ],
)
def test_patterns(net: Path, photos: Path, pattern: str, wanted: list[str]) -> None:
    assert sorted(names(cs.predict(net, str(photos / pattern), quiet=True), photos)) == sorted(wanted)


def test_what_cannot_be_read_takes_no_answer_away(net: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "bad.png").write_bytes(b"oops")
    (photos / "cut.png").write_bytes((photos / "a.png").read_bytes()[:300])
    images = [photos / name for name in ("bad.png", "a.png", "none.png", "cut.png", "a.png", "z[1].png")]
    code, out, err = run(capsys, "predict", net, *images, "--batch", 2, "--top", 2)
    lines = out.splitlines()
    assert code == 1 and len(lines) == 6 and [line.split(": ")[0] for line in lines] == [str(path) for path in images]
    assert lines[0].endswith("bad.png: not an image that can be read") and "none.png: no such image file" in lines[2]
    assert "damaged" in lines[3] and lines[1] == lines[4] and lines[1] != lines[5] and " cat 0." in lines[1]
    assert f"3 of 6 images cannot be read; the first: {images[0]}: not an image" in err and "Traceback" not in err
    code, out, _ = run(capsys, "predict", net, *images, "--json", "--batch", 1)
    rows = json.loads(out)["predictions"]
    assert code == 1 and [row["error"] is None for row in rows] == [False, True, False, False, True, True]
    assert [len(row["classes"]) for row in rows] == [0, 3, 0, 0, 3, 3]
    with pytest.raises(DataError, match=r"bad.png: not an image that can be read"):
        cs.predict(net, images)


def test_only_unreadable_images(net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.png").write_bytes(b"")
    code, out, _ = run(capsys, "predict", net, tmp_path / "bad.png", "-o", tmp_path / "p.csv")
    assert code == 1 and out == "" and "not an image that can be read" in (tmp_path / "p.csv").read_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.png", "nowhere.png: no such image file"),
        ("no*.png", "no*.png: no such image file"),
        ("empty", "empty: no image in this folder"),
        ("texts", "texts: no image in this folder, only .txt (2), no suffix (1)"),
        ("texts/*", "texts/*: matches no image, only .txt (2), no suffix (1)"),
        ("", "no such image file"),
    ],
)
def test_where_there_is_no_image(
    net: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("empty/.x.png", "texts/a.txt", "texts/b.TXT", "texts/c"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    code, out, err = run(capsys, "predict", net, "--", given)
    assert (code, out) == ((2, "")) and message in err.replace("no image given", "no such image file")


@pytest.mark.long
def test_a_list_on_stdin(
    net: Path, photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{photos / 'b 1.webp'}\r\n\n{photos / 'b'}\n{photos}/*.jfif".encode()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    rows = run_json(capsys, "predict", net, photos / "a.png", "-")["predictions"]
    assert [Path(row["image"]).name for row in rows] == ["a.png", "b 1.webp", "deep.PNG", "c.jfif"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    code, _, err = run(capsys, "predict", net, "-")
    assert code == 2 and "no image given" in err


def test_images_in_memory_are_seen_as_their_files(net: Path, tmp_path: Path) -> None:
    shapes = [(20, 24), (20, 24, 1), (20, 24, 3), (20, 24, 4)]
    arrays = [pixels(index, *shape) for index, shape in enumerate(shapes)]
    files = [tmp_path / f"{index}.png" for index in range(4)]
    for array, file in zip(arrays, files, strict=True):
        Image.fromarray(array.squeeze()).save(file)
    wanted = [one.classes for one in cs.predict(net, files)]
    opened = [Image.open(file) for file in files]
    for given in (arrays, [file.read_bytes() for file in files], opened, opened, (array for array in arrays)):
        found = cs.predict(net, given)  # type: ignore[arg-type]
        assert [one.image for one in found] == [f"images[{index}]" for index in range(4)]
        assert [one.classes for one in found] == wanted
    assert cs.predict(net, arrays[0])[0].classes == cs.predict(net, files[0].read_bytes())[0].classes == wanted[0]
    mixed = cs.predict(net, [files[0], arrays[1], b"no", opened[3]], on_unreadable="keep")
    assert [one.error for one in mixed] == [None, None, "not an image that can be read", None]
    assert [one.image for one in mixed] == [str(files[0]), "images[1]", "images[2]", "images[3]"]
    assert torch.allclose(cs.features(net, arrays), cs.features(net, files))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "images.0.: floating-point pixels"),
        ([np.zeros((2, 4, 4, 3), np.uint8)], "several as a list"),
        (np.zeros((4, 4, 2), np.uint8), "images.0.: 2 channels, the network has 3"),
        (np.full((4, 4), "x"), "an array of <U1, not an image"),
        (np.zeros(4, np.uint8), "is not an image"),
        (np.zeros((0, 4), np.uint8), "an image without pixels"),
        (Image.new("RGB", (0, 0)), "an image without pixels"),
        ([Image.new("L", (4, 4)), 3], r"images.1.: int is not an image .a path, bytes"),
        ([torch.zeros(4, 4)], "Tensor is not an image"),
        (Image.new("L", (2, 300)), "images.0.: 2x300 is too long"),
        ([], "no image given"),
    ],
)
def test_what_is_no_image_in_memory(net: Path, given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cs.predict(net, given)  # type: ignore[arg-type]


def rows_of(file: Path) -> list[dict[str, object]]:
    match file.suffix.lower():
        case ".csv":
            with file.open(newline="", encoding="utf-8") as text:
                read: list[dict[str, object]] = list(csv.DictReader(text))  # type: ignore[arg-type]
            return [
                {key: None if value == "" else float(str(value)) if "probability" in key else value
                 for key, value in row.items()}
                for row in read
            ]  # fmt: skip
        case ".parquet":
            return list(pyarrow.parquet.read_table(file).to_pylist())
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "p.jsonl", "P.CSV"])
def test_files_hold_a_row_an_image(
    net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (photos / "b,ad.png").write_bytes(b"oops")
    code, out, err = run(capsys, "predict", net, photos, "-o", tmp_path / name, "--top", 2)
    assert code == 1 and out == "" and f"wrote {tmp_path / name}: 6 images" in err
    rows, wanted = rows_of(tmp_path / name), cs.predict(net, photos, top=2, on_unreadable="keep", quiet=True)
    assert list(rows[0]) == ["image", "predicted", "probability", "predicted_2", "probability_2", "error"]
    for row, one in zip(rows, wanted, strict=True):
        assert (row["image"], row["error"]) == (one.image, one.error)
        named = [(row["predicted"], row["probability"]), (row["predicted_2"], row["probability_2"])]
        if one.error is not None:
            assert named == [(None, None)] * 2
            continue
        assert [name for name, _ in named] == [name for name, _ in one.classes]
        assert [value for _, value in named] == pytest.approx([value for _, value in one.classes], abs=1e-8)
    both = run(capsys, "predict", net, photos / "a.png", "-o", tmp_path / name, "--json")[1]
    assert len(json.loads(both)["predictions"]) == 1 and len(rows_of(tmp_path / name)) == 1


@pytest.mark.parametrize("name", ["p.txt", "p", "p.csv.gz", "p.json", ".csv"])
def test_a_file_of_another_kind_is_refused(
    net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for words in (
        ("predict", net, photos / "a.png", "-o"),
        ("eval", net, "--data", photos, "--predictions"),
    ):
        code, out, err = run(capsys, *words, tmp_path / name)
        assert code == 2 and out == "" and ".csv, .parquet or .jsonl" in err and not (tmp_path / name).exists()


def test_what_is_not_allowed(net: Path, photos: Path) -> None:
    for settings in ({"top": 0}, {"batch": 0}, {"on_unreadable": "skip"}, {"output": "no/such/p.csv"}):
        with pytest.raises(ConfigError, match="is not allowed|no file can be written there"):
            cs.predict(net, photos, **settings)  # type: ignore[arg-type]


def test_predictions_read_back(tmp_path: Path) -> None:
    whole = PredictionSet((Prediction("a", (("x", 0.5),)), Prediction("b", (), "damaged")))
    write_record(tmp_path / "predictions.json", whole)
    assert read_record(tmp_path / "predictions.json") == whole
    before = {"kind": "predictions", "predictions": [{"image": "a", "classes": [["x", 0.5]]}]}
    (tmp_path / "before.json").write_text(json.dumps(before))
    assert read_record(tmp_path / "before.json").predictions == whole.predictions[:1]


@pytest.mark.parametrize(
    "written",
    [
        "\ufeff{0}\r\n{1}\r\n", "{0}\r\r\n{1}", '"{0}"\n"{1}"\n', "'{0}'\r\n'{1}'", "  {0}  \n\t{1}", "{0}\0{1}\0",
        "{0}\n\n \n{1}", "\ufeff\"{0}\"\n \"{1}\" ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_every_line_on_stdin_names_its_file(
    written: str, encoding: str, net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Lists as editors, spreadsheets, shells and Windows write them."""
    names = [tmp_path / name for name in ("a b.png", "Größe [1].png")]
    for index, name in enumerate(names):
        Image.fromarray(pixels(index, 20, 24, 3)).save(name)
    text = written.removeprefix("\ufeff" if encoding == "utf-16" else "").format(*names).encode(encoding)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    rows = run_json(capsys, "predict", net, "-")["predictions"]
    assert [row["image"] for row in rows] == list(map(str, names))


def test_names_with_blanks_and_quotes_of_their_own_come_first(
    net: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for index, name in enumerate(("a.png", " a.png", '"a.png"')):
        Image.fromarray(pixels(index, 20, 24, 3)).save(tmp_path / name, format="PNG")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'a.png\n a.png\n"a.png"\n')))
    rows = run_json(capsys, "predict", net, "-")["predictions"]
    assert [row["image"] for row in rows] == ["a.png", " a.png", '"a.png"']
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'a.png\n "b.png"\n')))
    code, out, err = run(capsys, "predict", net, "-")
    assert code == 1 and '"b.png": no such image file' in out and "1 of 2 images cannot be read" in err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfea")))
    code, _, err = run(capsys, "predict", net, "-")
    assert code == 2 and "the list on stdin is not text" in err
