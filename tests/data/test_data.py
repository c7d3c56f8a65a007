"""Data sets and images: every layout, every mode, and what is wrong with them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import convscale as cs
from convscale.data import decode, open_images, read_image, stratified_split
from convscale.data.loader import evaluation_batches, training_batches
from convscale.data.transforms import evaluation_view_of, training_view_of
from convscale.errors import DataError
from convscale.preprocessing import Preprocessing, default_preprocessing
from convscale.recipes import Augmentation
from tests.images import digit_photos

GREY = Preprocessing(8, mean=(0.5,), std=(0.25,))


def save(path: Path, colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def folders(root: Path, classes: tuple[str, ...] = ("cat", "dog"), images: int = 5) -> Path:
    for index, name in enumerate(classes):
        for image in range(images):
            save(root / name / f"{image}.png", (40 * index, 10 * image, 0))
    return root


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def encoded(colour: int) -> dict[str, object]:
    return {"bytes": png(Image.new("RGB", (10, 10), (colour, 0, 0))), "path": None}


def parquet(path: Path, labels: list[object], names: list[str] | None = None, column: str = "label") -> Path:
    table = pa.table({"image": [encoded(i) for i in range(len(labels))], column: labels})
    if names:
        info = {"info": {"features": {column: {"_type": "ClassLabel", "names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path)
    return path


def test_digits() -> None:
    data = cs.open_dataset("digits")
    assert len(data.train) + len(data.test) == 1797 and data.held_out == "stratified"
    assert data.classes == tuple("0123456789")
    counts = np.bincount(data.test.labels)
    assert counts.min() >= 34 and counts.max() <= 37
    assert np.asarray(data.train.image(0)).shape == (8, 8) and np.asarray(data.train.image(3)).max() > 200


def test_folder_of_classes(tmp_path: Path) -> None:
    data = cs.open_dataset(folders(tmp_path))
    assert data.classes == ("cat", "dog") and (len(data.train), len(data.test)) == (8, 2)
    again = cs.open_dataset(tmp_path)
    other = cs.open_dataset(tmp_path, seed=1)
    names = [[d.test.name(i) for i in range(2)] for d in (data, again, other)]
    assert names[0] == names[1] != names[2]


def test_folder_with_splits(tmp_path: Path) -> None:
    folders(tmp_path / "train", images=4)
    folders(tmp_path / "val", images=2)
    folders(tmp_path / "extra", images=1)
    data = cs.open_dataset(tmp_path)
    assert (len(data.train), len(data.test), data.held_out) == (8, 4, "validation")
    assert data.skipped == ("extra",)
    folders(tmp_path / "test", images=1)
    assert cs.open_dataset(tmp_path).held_out == "test"
    assert len(open_images(tmp_path)[0]) == 2


def test_images_beside_a_csv(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / "images" / f"{index}.jpg", (index, 0, 0))
    rows = "".join(f"{i}.jpg,{'ab'[i % 2]},{i % 2 + 10}\n" for i in range(6))
    (tmp_path / "labels.csv").write_text("file,label,number\n" + rows)
    data = cs.open_dataset(tmp_path)
    assert data.classes == ("a", "b") and len(data.train) == 4
    assert cs.open_dataset(tmp_path, label_column="number").classes == ("10", "11")
    with pytest.raises(DataError, match=r"no column 'kind' among file, label, number.*--label-column"):
        cs.open_dataset(tmp_path, label_column="kind")
    (tmp_path / "labels.csv").write_text("file,label\n0.jpg,a\n9.jpg,b\n")
    with pytest.raises(DataError, match=r"line 3: no such image '9.jpg'"):
        cs.open_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\n0.jpg,a\n1.jpg,\n")
    with pytest.raises(DataError, match="row 1 has no label"):
        cs.open_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\n")
    with pytest.raises(DataError, match="no row"):
        cs.open_dataset(tmp_path)
    (tmp_path / "more.csv").write_text("")
    with pytest.raises(DataError, match="2 CSV files"):
        cs.open_dataset(tmp_path)


def test_parquet(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", [0, 1, 2, 0], ["x", "y", "z"])
    parquet(tmp_path / "test.parquet", [2, 1], ["x", "y", "z"])
    parquet(tmp_path / "other.parquet", [2, 1])
    data = cs.open_dataset(tmp_path)
    assert data.classes == ("x", "y", "z") and data.held_out == "test" and data.skipped == ("other.parquet",)
    assert data.train.labels.tolist() == [0, 1, 2, 0] and data.test.labels.tolist() == [2, 1]
    assert data.test.image(1).convert("RGB").getpixel((0, 0)) == (1, 0, 0)
    single = parquet(tmp_path / "words.parquet", ["b", "a", "b", "a"])
    assert cs.open_dataset(single).classes == ("a", "b")
    assert open_images(parquet(tmp_path / "sparse.parquet", [7, 700, 7]))[1] == ("7", "700")


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1 has label 9, out of range.*labels 0 to 1"):
        cs.open_dataset(parquet(tmp_path / "a.parquet", [0, 9], ["x", "y"]))
    with pytest.raises(DataError, match="no column 'label', only image, kind"):
        cs.open_dataset(parquet(tmp_path / "b.parquet", [0, 1], column="kind"))
    with pytest.raises(DataError, match="row 1 has no label"):
        cs.open_dataset(parquet(tmp_path / "c.parquet", [0, None]))
    (tmp_path / "d.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match=r"d.parquet: not readable as parquet"):
        cs.open_dataset(tmp_path / "d.parquet")
    with pytest.raises(DataError, match="which is which"):
        cs.open_dataset(tmp_path)


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder.*'digits'"):
        cs.open_dataset(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no image found.*one subfolder per class"):
        cs.open_dataset(tmp_path)
    folders(tmp_path / "one", ("cat",))
    with pytest.raises(DataError, match=r"one class only \('cat'\)"):
        cs.open_dataset(tmp_path / "one")
    folders(tmp_path / "two" / "train")
    folders(tmp_path / "two" / "test", ("cat", "cow"))
    with pytest.raises(DataError, match="train does not have: cow"):
        cs.open_dataset(tmp_path / "two")
    folders(tmp_path / "single", images=1)
    with pytest.raises(DataError, match="single image"):
        cs.open_dataset(tmp_path / "single")
    with pytest.raises(DataError, match="not a parquet file"):
        cs.open_dataset(save(tmp_path / "image.png"))


def test_stratified_split_is_fair_and_complete() -> None:
    labels = np.array([0] * 50 + [1] * 10 + [2] * 2)
    kept, held = stratified_split(labels, 0.2, seed=3)
    assert sorted([*kept, *held]) == list(range(62))
    assert np.bincount(labels[held]).tolist() == [10, 2, 1]


def test_modes_become_what_the_network_sees() -> None:
    def pixel(image: Image.Image, channels: int = 3) -> object:
        return decode(image, channels, "x").getpixel((0, 0))

    assert pixel(Image.new("L", (2, 2), 77)) == (77, 77, 77)
    assert pixel(Image.new("RGB", (2, 2), (255, 0, 0)), 1) == 76
    assert pixel(Image.new("RGBA", (2, 2), (255, 0, 0, 0))) == (255, 255, 255)
    assert pixel(Image.new("LA", (2, 2), (0, 128))) == (127, 127, 127)
    assert pixel(Image.new("CMYK", (2, 2), (0, 255, 255, 0))) == (255, 0, 0)
    assert pixel(Image.new("1", (2, 2), 1)) == (255, 255, 255)
    assert pixel(Image.fromarray(np.full((2, 2), 65535, np.uint16))) == (255, 255, 255)
    assert pixel(Image.fromarray(np.full((2, 2), 257 * 100, np.uint16)), 1) == 100
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert pixel(palette) == (10, 20, 30)


def test_rotation_and_animation(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(read_image(tmp_path / "turned.jpg"), 3, "x").size == (2, 4)
    frames = [Image.new("RGB", (4, 4), (index, 0, 0)) for index in (0, 255)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert decode(read_image(tmp_path / "moving.gif"), 3, "x").getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_image_is_named(tmp_path: Path, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"cut.jpg"):
        decode(read_image(tmp_path / "cut.jpg"), 3, "cut.jpg")


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(DataError, match=r"page.jpg: not an image"):
        read_image(tmp_path / "page.jpg")


def test_a_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    Image.new("1", (13_000, 13_000)).save(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 100_000
    with pytest.raises(DataError, match="more than 89,000,000 pixels"):
        read_image(tmp_path / "bomb.png")


def test_evaluation_resizes_the_shorter_side_and_cuts_the_centre() -> None:
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (15, 0, 25, 20))
    pixels = evaluation_view_of(png(image), "x", Preprocessing(10, crop=1.0, interpolation="bilinear"))
    assert pixels.shape == (3, 10, 10) and pixels.dtype == np.uint8
    assert pixels[:, :, 4].min() > 200 and pixels[:, :, 0].max() < 60
    assert evaluation_view_of(png(Image.new("L", (7, 9))), "x", GREY).shape == (1, 8, 8)
    assert default_preprocessing(224, 3).resize == 256 and default_preprocessing(32, 1).channels == 1


@pytest.mark.parametrize("crop", ["none", "shift", "resized"])
def test_random_views_repeat_by_their_seed(crop: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    augmentation = Augmentation(crop=crop, flip=True)  # type: ignore[arg-type]
    image, size = png(Image.fromarray(noise)), Preprocessing(16)
    views = [training_view_of(image, "x", size, augmentation, np.random.default_rng(seed)) for seed in (1, 1, 2, 3)]
    assert all(view.shape == (3, 16, 16) for view in views)
    assert np.array_equal(views[0], views[1])
    assert any(not np.array_equal(views[0], view) for view in views[2:])


def test_batches_do_not_depend_on_workers() -> None:
    data = cs.open_dataset("digits")
    augmentation = Augmentation(crop="shift")
    epochs = [
        list(training_batches(data.train, GREY, augmentation, 100, seed=1, epoch=epoch, workers=workers))
        for epoch, workers in ((0, 0), (0, 2), (1, 0))
    ]
    assert len(epochs[0]) == 14 and epochs[0][0][0].shape == (100, 1, 8, 8)
    for one, other in zip(epochs[0], epochs[1], strict=True):
        assert one.pixels.equal(other.pixels) and one.labels.equal(other.labels)
    assert not epochs[0][0][1].equal(epochs[2][0][1])
    whole = list(evaluation_batches(data.test, GREY, 100))
    assert [len(batch.labels) for batch in whole] == [100, 100, 100, 59]


def test_a_worker_names_the_bad_image(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "cat" / "0.png").write_bytes(b"nothing")
    data = cs.open_dataset(tmp_path)
    bad = [
        images for images in (data.train, data.test) if "cat/0.png" in str([images.name(i) for i in range(len(images))])
    ]
    for workers in (0, 1):
        batches = list(evaluation_batches(bad[0], Preprocessing(8), 4, workers))
        (name, reason), *others = [item for batch in batches for item in batch.missing]
        assert reason == f"{name}: not an image that can be read" and name.endswith("cat/0.png") and not others
        assert sum(len(batch.labels) for batch in batches) == len(bad[0]) - 1


def test_two_images_of_one_name_or_with_two_labels_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        save(tmp_path / folder / "0.png")
        save(tmp_path / folder / f"{folder}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,x\na.png,y\n")
    with pytest.raises(DataError, match=r"line 2: several images are called '0.png'"):
        cs.open_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label\na/0.png, x \nb/0.png,x\na.png,y\na.png,x\n")
    with pytest.raises(DataError, match=r"line 5: 'a.png' has two labels"):
        cs.open_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("file,label,label\na.png,x,y\n")
    with pytest.raises(DataError, match="2 columns 'label'"):
        cs.open_dataset(tmp_path)
    (tmp_path / "labels.csv").write_bytes("file,label\na.png,caf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8"):
        cs.open_dataset(tmp_path)


def test_parquet_splits_keep_their_own_class_order(tmp_path: Path) -> None:
    parquet(tmp_path / "train.parquet", [0, 1, 0], ["x", "y"])
    parquet(tmp_path / "test.parquet", [0, 1], ["y", "x"])
    data = cs.open_dataset(tmp_path)
    assert data.classes == ("y", "x")
    assert [data.classes[i] for i in data.train.labels] == ["x", "y", "x"]
    assert [data.classes[i] for i in data.test.labels] == ["y", "x"]
    parquet(tmp_path / "test.parquet", [0, 1], ["y", "z"])
    with pytest.raises(DataError, match="different classes"):
        cs.open_dataset(tmp_path)


def test_parquet_as_on_the_hub(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for shard in range(2):
        parquet(tmp_path / "data" / f"train-0000{shard}-of-00002.parquet", [0, 1, shard], ["x", "y"])
    parquet(tmp_path / "data" / "test-00000-of-00001.parquet", [1], ["x", "y"])
    data = cs.open_dataset(tmp_path)
    assert data.train.labels.tolist() == [0, 1, 0, 0, 1, 1] and len(data.test) == 1
    assert data.train.image(4).size == (10, 10)


@pytest.mark.parametrize("labels", [[-1, 0], [0.5, 1.0], [[0], [1]], ["1", "01"]])
def test_labels_that_make_no_sense(tmp_path: Path, labels: list[object]) -> None:
    with pytest.raises(DataError, match="label|two ways"):
        cs.open_dataset(parquet(tmp_path / "x.parquet", labels))


def test_parquet_of_other_shapes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"x"], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"column image holds binary.*\{bytes, path\}"):
        cs.open_dataset(tmp_path / "a.parquet")
    pq.write_table(parquet_schema().slice(0, 0), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="no row"):
        cs.open_dataset(tmp_path / "b.parquet")


def parquet_schema() -> pa.Table:
    return pa.table({"image": [encoded(1)], "label": [1]})


def test_splits_without_train_and_hidden_files(tmp_path: Path) -> None:
    folders(tmp_path / "only" / "val")
    folders(tmp_path / "only" / "test")
    with pytest.raises(DataError, match="no train split, only"):
        cs.open_dataset(tmp_path / "only")
    assert open_images(tmp_path / "only")[1] == ("cat", "dog")
    folders(tmp_path / "hidden")
    save(tmp_path / "hidden" / "cat" / ".checkpoints" / "0.png")
    (tmp_path / "hidden" / "cat" / "folder.png").mkdir()
    data = cs.open_dataset(tmp_path / "hidden")
    assert len(data.train) + len(data.test) == 10
    save(tmp_path / "flat" / "0.png")
    with pytest.raises(DataError, match="images without labels"):
        cs.open_dataset(tmp_path / "flat")
    with pytest.raises(DataError, match="seed -1"):
        cs.open_dataset("digits", seed=-1)


def test_images_that_are_refused_for_their_shape_or_range(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1x5000 is too long"):
        read_image(save(tmp_path / "thin.png", size=(1, 5000)))
    with pytest.raises(DataError, match="floating-point"):
        decode(Image.new("F", (4, 4), 0.5), 3, "x")


def test_user_files_are_left_alone(tmp_path: Path) -> None:
    folders(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    data = cs.open_dataset(tmp_path / "data")
    list(evaluation_batches(data.train, Preprocessing(8), 4))
    files = [p.relative_to(tmp_path / "copy") for p in (tmp_path / "copy").rglob("*")]
    assert sorted(files) == sorted(p.relative_to(tmp_path / "data") for p in (tmp_path / "data").rglob("*"))
    assert all((tmp_path / "copy" / f).read_bytes() == (tmp_path / "data" / f).read_bytes() for f in files if f.suffix)


def test_real_parquet(real_data: Path) -> None:
    cifar = cs.open_dataset(real_data / "cifar10")
    assert (len(cifar.train), len(cifar.test), cifar.classes[0]) == (50_000, 10_000, "airplane")
    images, classes = open_images(real_data / "imagenette144" / "ilsvrc_val500_224.parquet")
    assert len(images) == 500 and len(classes) == 10 and images.image(0).size == (224, 224)
    samples, names = open_images(real_data / "imagenet-samples", label_column="index")
    assert len(samples) == 1000 and names[:2] == ("0", "1") and samples.labels[5] == 5


def test_data_named_from_the_working_folder_is_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run records where its data is from the root on, and `resume` opens that."""
    (tmp_path / "photos").mkdir()
    digit_photos(tmp_path / "photos", 4)
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "./photos/", Path("photos"), "link", tmp_path / "photos"):
        data = cs.open_dataset(name)
        assert data.source == str(tmp_path / "photos") and data.train.name(0).startswith(data.source)
        assert cs.open_dataset(data.source).record() == data.record()
    for wrong in ("foto", ""):  # no name is not the working folder
        with pytest.raises(DataError, match=f"^{wrong}: no such file or folder"):
            cs.open_dataset(wrong)
