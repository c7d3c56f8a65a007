"""Published data sets by name: figures, splits, notes about copies, and the metric from training to what is printed."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data import open_images
from convscale.data.dataset import source_of
from convscale.data.images import ArrayImages, Joined, Kept, Subset
from convscale.data.loader import evaluation_batches
from convscale.data.named import NAMED_SETS, find_copy
from convscale.errors import DataError, TrainingStopped
from convscale.preprocessing import Preprocessing
from convscale.records import DataRecord, flat
from convscale.runs import Run
from convscale.schema import from_table
from convscale.training.step import Outcome, Stepper
from convscale.trials.trial import data_choice

TINY = replace(cs.network("small-mbconv"), resolution=12)


def png(index: int) -> bytes:
    """An image that no other index has."""
    file = io.BytesIO()
    Image.new("RGB", (12, 12), (index % 251, index // 251, 90)).save(file, "PNG")
    return file.getvalue()


def folders(root: Path, classes: int, splits: Mapping[str, int]) -> Path:
    """A folder of class folders for each split, with so many images a class."""
    index = 0
    for split, images in splits.items():
        for label in range(classes):
            folder = root / split / f"class {label:03d}"
            folder.mkdir(parents=True)
            for image in range(images):
                (folder / f"{image}.png").write_bytes(png(index))
                index += 1
    return root


def parquet(root: Path, classes: int, splits: Mapping[str, int], column: str = "label") -> Path:
    """A parquet file for each split, with so many images a class, or with images that have no label where it is 0."""
    root.mkdir(parents=True)
    for split, images in splits.items():
        labels = list(range(classes)) * images or [-1, -1]
        stored = [{"bytes": png(index), "path": None} for index in range(len(labels))]
        table = pa.table({"image": stored, column: labels})
        names = {"info": {"features": {column: {"_type": "ClassLabel", "names": [f"c{k}" for k in range(classes)]}}}}
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), root / f"{split}.parquet")
    return root


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli_main.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 classes, two images of each to train on and one to test on."""
    return folders(tmp_path_factory.mktemp("pets"), 37, {"train": 2, "test": 1})


def test_the_figures() -> None:
    figures = {row.name: (row.train_images, row.test_images, row.classes) for row in NAMED_SETS.values()}
    assert figures == {
        "cifar10": (50_000, 10_000, 10), "cifar100": (50_000, 10_000, 100), "birdsnap": (47_386, 2_443, 500),
        "stanford-cars": (8_144, 8_041, 196), "flowers102": (2_040, 6_149, 102), "fgvc-aircraft": (6_667, 3_333, 100),
        "oxford-pets": (3_680, 3_669, 37), "food101": (75_750, 25_250, 101), "imagenet": (1_281_167, 50_000, 1000),
    }  # fmt: skip
    by_class = {name for name, row in NAMED_SETS.items() if row.metric == "mean_per_class"}
    assert by_class == {"fgvc-aircraft", "oxford-pets", "flowers102"}
    three = ("train", "validation", "test")
    roles = {name: row.roles(three) for name, row in NAMED_SETS.items()}
    assert roles.pop("imagenet") == (("train",), "validation")
    assert roles.pop("flowers102") == roles.pop("fgvc-aircraft") == (("train", "validation"), "test")
    assert set(roles.values()) == {(("train",), "test")}
    assert NAMED_SETS["food101"].roles(("train", "validation")) == (("train",), "validation")  # as on the hub


def test_a_copy_in_folders(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = cs.open_dataset(f"oxford-pets@{pets}")
    assert (len(data.train), len(data.test), len(data.classes), data.held_out) == (74, 37, 37, "test")
    assert (data.source, data.published, data.metric) == (f"oxford-pets@{pets}", "oxford-pets", "mean_per_class")
    assert data.notes == (
        "oxford-pets: 74 training images here, 3,680 published; 37 test images here, 3,669 published",
    )
    monkeypatch.chdir(pets.parent)
    near = cs.open_dataset(f"oxford-pets@{pets.name}")
    assert near.record() == data.record() and cs.open_dataset(data.source).record() == data.record()
    assert data_choice(f"oxford-pets@{pets.name}").source == source_of(f"oxford-pets@{pets.name}") == data.source
    images, classes = open_images(f"oxford-pets@{pets}")
    assert len(images) == 37 and classes == data.classes
    moved = pets.rename(pets.parent / "moved")
    assert cs.open_dataset(f"oxford-pets@{moved}").record().fingerprint == data.record().fingerprint
    moved.rename(pets)


def test_a_copy_in_parquet_and_one_without_splits(tmp_path: Path) -> None:
    data = cs.open_dataset(f"cifar100@{parquet(tmp_path / 'both', 100, {'train': 2, 'test': 1})}")
    assert (len(data.train), len(data.test), data.metric, len(data.notes)) == (200, 100, "top1", 1)
    whole = cs.open_dataset(f"cifar10@{parquet(tmp_path / 'one', 10, {'all': 5}) / 'all.parquet'}")
    assert (whole.held_out, len(whole.train), len(whole.test)) == ("stratified", 40, 10)
    assert whole.notes == ("cifar10: 50 training images here, 50,000 published; 0 test images here, 10,000 published",)
    other = parquet(tmp_path / "column", 10, {"train": 2, "test": 1}, "kind")
    assert cs.open_dataset(f"cifar10@{other}", label_column="kind").label_column == "kind"


def test_splits_that_are_joined(tmp_path: Path) -> None:
    root = folders(tmp_path / "flowers", 102, {"train": 1, "val": 1, "test": 1})
    data = cs.open_dataset(f"flowers102@{root}")
    assert (len(data.train), len(data.test), data.skipped) == (204, 102, ())
    assert isinstance(data.train, Joined)
    assert data.train.labels.tolist() == [*range(102), *range(102)]
    assert [data.train.name(index) for index in (101, 102)] == [
        str(root / split / folder / "0.png") for split, folder in (("train", "class 101"), ("val", "class 000"))
    ]
    assert data.train.content(203) == png(203) and data.train.image(203).getpixel((0, 0)) == (203, 0, 90)
    (tmp_path / "gone.txt").write_text(f"{root / 'val' / 'class 001' / '0.png'}\n")
    less = cs.open_dataset(f"flowers102@{root}", exclude=tmp_path / "gone.txt")
    assert less.excluded == {"train": (103,)} and len(less.train) == 203 and less.notes == data.notes
    assert cs.open_dataset(less.source, exclude=less.excluded).record() == less.record()
    already = folders(tmp_path / "joined", 102, {"train": 2, "test": 1})
    assert len(cs.open_dataset(f"flowers102@{already}").train) == 204


def test_joined_images_in_batches_parts_and_memory() -> None:
    shades = np.arange(7, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    parts = [ArrayImages(shades[a:b], np.arange(a, b), f"part {a}") for a, b in ((0, 3), (3, 4), (4, 7))]
    joined = Joined(parts)
    assert [joined.name(index) for index in (2, 3, 4)] == ["part 0[2]", "part 3[0]", "part 4[0]"]
    assert joined.content(0) is None and np.asarray(joined.image(6)).max() == 6
    some = Subset(Joined([joined, parts[0]]), np.array([9, 3]))
    assert some.labels.tolist() == [2, 3] and some.name(0) == "part 0[2]"
    grey = Preprocessing(8, mean=(0.5,), std=(0.25,))
    for images in (joined, Kept(joined, 2**20)):
        for workers in (0, 2):
            batches = list(evaluation_batches(images, grey, 2, workers))
            assert [int(label) for batch in batches for label in batch.labels] == [*range(7)]
            assert [float(image.float().mean()) for batch in batches for image in batch.pixels] == [*range(7)]
    with pytest.raises(IndexError):
        joined.image(7)


def test_of_imagenet_the_validation_split_counts(tmp_path: Path) -> None:
    root = parquet(tmp_path / "hub", 1000, {"train": 1, "validation": 1, "test": 0})
    data = cs.open_dataset(f"imagenet@{root}")  # its test split has no labels, and is not looked at
    assert data.held_out == "validation" and len(data.test) == 1000 and data.skipped == ("test.parquet",)
    assert len(open_images(f"imagenet@{root}")[0]) == 1000
    (root / "validation.parquet").unlink()
    parquet(tmp_path / "labelled", 1000, {"test": 1})
    (tmp_path / "labelled" / "test.parquet").replace(root / "test.parquet")
    assert cs.open_dataset(f"imagenet@{root}").held_out == "test"


def test_a_folder_of_the_name_is_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path / "cifar10", 3, {"train": 2, "test": 1})
    folders(tmp_path / "cifar10@home", 3, {"train": 1, "test": 1})
    folders(tmp_path / "me@work", 3, {"train": 1, "test": 1})
    monkeypatch.chdir(tmp_path)
    for place in ("cifar10", "cifar10@home", "me@work"):
        data = cs.open_dataset(place)
        assert data.source == str(tmp_path / place) and data.published is None and len(data.classes) == 3
        assert find_copy(place) is None


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ("birdsnap", "birdsnap: not on the Hugging Face hub", "birdsnap@FOLDER"),
        ("cifar10@", "cifar10@: nothing after the @", "cifar10@FOLDER"),
        ("cifar10@hf-stream:uoft-cs/cifar10", "a named set cannot be streamed", "cifar10@FOLDER"),
        ("cifar10@nowhere", "nowhere: no such file or folder", "convscale data sets"),
        ("cifra10", "cifra10: no such file or folder", "convscale data sets"),
    ],
)
def test_names_that_lead_nowhere(
    data: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        cs.open_dataset(data)
    assert message in caught.value.message and hint in (caught.value.hint or "")


def test_another_number_of_classes_is_refused(pets: Path) -> None:
    for read in (cs.open_dataset, open_images):
        with pytest.raises(DataError, match=rf"cifar10@{pets}: 37 classes, but cifar10 has 10.*omit the name: {pets}"):
            read(f"cifar10@{pets}")


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets` without the hub, and with its cache in `tmp_path`."""
    package = pytest.importorskip("datasets")
    monkeypatch.setattr("convscale.data.hub_source._hub_answers", lambda: False)
    monkeypatch.setattr(package.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return package


def table(hub: Any, classes: int, images: int, columns: tuple[str, ...]) -> Any:
    names = hub.ClassLabel(names=[f"c{label}" for label in range(classes)])
    features = hub.Features({"img": hub.Image()} | dict.fromkeys(columns, names))
    stored = [{"bytes": png(index), "path": None} for index in range(classes * images)]
    labels = list(range(classes)) * images
    return hub.Dataset.from_dict({"img": stored} | dict.fromkeys(columns, labels), features=features)


def test_the_hub_by_name(away: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be reached.*'uoft-cs/cifar10'.*download it and give cifar10@FOLDER"):
        cs.open_dataset("cifar10")
    assert source_of("cifar10") == "cifar10@hf:uoft-cs/cifar10"
    files = tmp_path / "cifar10"
    files.mkdir()
    for split, images in (("train", 2), ("test", 1)):
        table(away, 10, images, ("label",)).to_parquet(files / f"{split}-00000-of-00001.parquet")
    local = cs.open_dataset(f"cifar10@hf:{files}")
    (made,) = (folder for folder in (tmp_path / "cache").glob("cifar10/default/*/*") if folder.is_dir())
    cached = tmp_path / "cache" / "uoft-cs___cifar10" / made.relative_to(tmp_path / "cache" / "cifar10")
    cached.parent.mkdir(parents=True)
    made.rename(cached)
    data = cs.open_dataset("cifar10")
    assert (len(data.train), len(data.test), data.source) == (20, 10, "cifar10@hf:uoft-cs/cifar10")
    assert cs.open_dataset(data.source).record() == data.record()
    assert local.record().fingerprint == data.record().fingerprint


def test_a_saved_copy_has_the_columns_of_the_hub(away: Any, tmp_path: Path) -> None:
    splits = {name: table(away, 100, 1, ("fine_label", "coarse_label")) for name in ("train", "test")}
    away.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    data = cs.open_dataset(f"cifar100@hf:{tmp_path / 'saved'}")
    assert (len(data.train), len(data.classes), data.label_column) == (100, 100, "label")


@pytest.mark.long
def test_the_metric_is_recorded_and_comes_first(pets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("train", "small-mbconv", "--data", f"oxford-pets@{pets}", "--epochs", 1, "-o", tmp_path / "run")
    code, out, err = run(capsys, *arguments)
    assert code == 0 and out.startswith("mean per class 0.") and ", top-1 0." in out and "on 37 images" in out
    note = "note: oxford-pets: 74 training images here, 3,680 published"
    assert note in err and note in run(capsys, "data", "check", f"oxford-pets@{pets}")[2]
    record = Run(tmp_path / "run").data()
    assert record is not None
    assert (record.source, record.published, record.metric) == (f"oxford-pets@{pets}", "oxford-pets", "mean_per_class")
    code, out, err = run(capsys, "eval", tmp_path / "run", "--data", f"oxford-pets@{pets}")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith("mean per class 0.") and lines[0].endswith("on 37 images")
    assert lines[2].startswith("top-1 0.") and err.count("note: oxford-pets: 37 test images here, 3,669 published") == 1
    code, out, err = run(capsys, "eval", tmp_path / "run", "--data", pets)
    assert code == 0 and out.startswith("top-1 0.") and "published" not in err


def test_records_of_before_are_read(pets: Path) -> None:
    written = flat(cs.open_dataset(pets).record())
    old = {key: value for key, value in written.items() if key not in ("published", "metric")}
    assert from_table(DataRecord, old) == from_table(DataRecord, written) == cs.open_dataset(pets).record()


def test_a_run_on_a_named_set_is_resumed(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = cs.recipe("small-images").with_changes(epochs=2, batch=16)
    named = f"oxford-pets@{pets}"
    cs.train(TINY, named, recipe, tmp_path / "whole", pictures=False, quiet=True)
    take, steps = Stepper.take, iter(range(100))

    def stopping(self: Stepper, batch: Any) -> Outcome:
        if next(steps) == 2:
            signal.raise_signal(signal.SIGTERM)
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", stopping)
    with pytest.raises(TrainingStopped):
        cs.train(TINY, named, recipe, tmp_path / "stopped", pictures=False, quiet=True)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    cs.resume(tmp_path / "stopped", quiet=True)
    ends = [Run(tmp_path / name).result() for name in ("whole", "stopped")]
    assert ends[0] is not None and ends[1] is not None and ends[0].state_sha256 == ends[1].state_sha256


def test_the_sets_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "data", "sets", "--json")
    rows = json.loads(out)["sets"]
    assert code == 0 and [row["name"] for row in rows] == list(NAMED_SETS)
    assert rows[4] == {
        "name": "flowers102", "classes": 102, "train_images": 2040, "test_images": 6149, "metric": "mean_per_class",
        "hub": "dpdl-benchmark/oxford_flowers102", "label_column": "label", "train": ["train", "validation"],
        "held_out": ["test", "validation"],
    }  # fmt: skip
    code, out, _ = run(capsys, "data", "sets")
    assert code == 0 and "1,281,167" in out and "mean per class" in out and "local copies only" in out


def test_the_real_cifar10(real_data: Path) -> None:
    data = cs.open_dataset(f"cifar10@{real_data / 'cifar10'}")
    assert (len(data.train), len(data.test), len(data.classes), data.notes) == (50_000, 10_000, 10, ())
