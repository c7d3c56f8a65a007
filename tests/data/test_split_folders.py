"""Folders of splits under any name, told from classes by their contents, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import convscale as cs
from convscale.cli import main as cli_main
from convscale.data import open_images
from convscale.data.layouts import Layout
from convscale.data.split_names import split_name
from convscale.errors import DataError
from convscale.runs import Run


def fill(folder: Path, images: int = 2, start: int = 0) -> Path:
    """Images, each unlike the others, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(start, start + images):
        Image.new("RGB", (12, 12), (index % 250, len(folder.name) * 9 % 250, index // 250)).save(
            folder / f"{index}.png"
        )
    return folder


def split_folders(root: Path, *names: str, classes: tuple[str, ...] = ("green", "red")) -> Path:
    for place, name in enumerate(names):
        for each in classes:
            fill(root / name / each, start=10 * place)
    return root


def opened(root: Path, layout: Layout | None = None) -> tuple[tuple[str, ...], int, str]:
    data = cs.open_dataset(root, layout=layout)
    return data.classes, len(data.train), data.held_out


@pytest.mark.parametrize(
    ("train", "other", "held_out"),
    [
        ("train", "test", "test"),
        ("training_set", "test_set", "test"),
        ("train_set", "Test_Set", "test"),
        ("train_data", "test_data", "test"),
        ("trainset", "testset", "test"),
        ("TrainSet", "ValSet", "validation"),
        ("train-images", "test-images", "test"),
        ("train_images", "val_images", "validation"),
        ("seg_train", "seg_test", "test"),
        ("train2017", "val2017", "validation"),
        ("Training Data", "Testing Data", "test"),
        ("train_cropped", "test_cropped", "test"),
        ("tr", "te", "test"),
        ("train ", "test ", "test"),
        ("TRAIN", "Valid", "validation"),
        ("train", "eval", "test"),
        ("train", "evaluation", "test"),
        ("train", "holdout", "test"),
        ("train", "hold-out", "test"),
        ("train", "dev", "validation"),
        ("01_train", "02_validation", "validation"),
        ("train_val", "test", "test"),
    ],
)
def test_splits_under_any_name(tmp_path: Path, train: str, other: str, held_out: str) -> None:
    data = cs.open_dataset(split_folders(tmp_path, train, other))
    assert (data.classes, len(data.train), len(data.test)) == (("green", "red"), 4, 4)
    assert (data.held_out, data.skipped, data.notes) == (held_out, (), ())
    assert all(f"/{train}/" in data.train.name(index) for index in range(4))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name",
    ["notes", "invalid", "trains", "test_train", "untested", "contest", "strain", "devices", "value", "2017", ""],
)
def test_names_that_mean_no_split(name: str) -> None:
    assert split_name(name) is None


@pytest.mark.parametrize(
    ("places", "as_splits"),
    [
        (("bus", "car", "train"), "train: train (images without labels, in no class folder); not used: bus, car"),
        (("train", "test"), "train: train; test: test (images without labels, in no class folder)"),
        (("seg_train", "seg_test"), "train: seg_train; test: seg_test (images"),
        (("train/side", "train/front", "bus/side", "bus/front"), "train: train; not used: bus"),
        (("train/red", "val/red", "validation/red"), "train: train; validation: val, validation"),
        (("train1/red", "train2/red", "test/red"), "train: train1, train2; test: test"),
        (("train/steam", "train/diesel", "test/tube"), "train: train; test: test"),
        (
            ("train station/day", "test track/day", "airport/day"),
            "train: train station; test: test track; not used: air",
        ),
        (("valid", "invalid"), "validation: valid (images without labels, in no class folder); not used: invalid"),
    ],
)
def test_what_could_be_either_is_refused(
    tmp_path: Path, places: tuple[str, ...], as_splits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in places:
        fill(tmp_path / place)
    names = ", ".join(sorted({place.split("/")[0] for place in places}))
    with pytest.raises(DataError) as refused:
        cs.open_dataset(tmp_path)
    assert f"As splits, {as_splits}" in refused.value.message
    assert refused.value.message.endswith(f"As classes, {names}") and "--layout splits" in (refused.value.hint or "")
    with pytest.raises(DataError, match="could be splits or classes"):
        open_images(tmp_path)
    assert cli_main.run(["data", "check", str(tmp_path)]) == 2
    assert "could be splits or classes" in capsys.readouterr().err


def test_the_layout_decides(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        fill(tmp_path / "vehicles" / name)
    assert opened(tmp_path / "vehicles", "classes") == (("bus", "car", "train"), 3, "stratified")
    with pytest.raises(DataError, match="train: no split has class folders, so no image has a label"):
        cs.open_dataset(tmp_path / "vehicles", layout="splits")
    two = split_folders(tmp_path / "two", "train", "val", "validation")
    data = cs.open_dataset(two, layout="splits")
    assert (data.classes, len(data.train), len(data.test)) == (("green", "red"), 4, 8)
    assert data.notes == ("validation: val and validation together",)
    assert opened(two, "classes")[0] == ("train", "val", "validation")
    fill(tmp_path / "plain" / "a"), fill(tmp_path / "plain" / "b")
    with pytest.raises(DataError, match="no folder is named like a split"):
        cs.open_dataset(tmp_path / "plain", layout="splits")
    with pytest.raises(DataError, match="layout 'split' is not allowed"):
        cs.open_dataset(two, layout="split")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="digits: not a folder"):
        cs.open_dataset("digits", layout="classes")


def test_classes_that_only_sound_like_splits_are_classes(tmp_path: Path) -> None:
    for name in ("train station", "airport", "crash_test", "tr", "de"):
        fill(tmp_path / name)
    data = cs.open_dataset(tmp_path)
    assert len(data.classes) == 5 and data.notes == ()


def test_folders_beside_the_splits_are_told(tmp_path: Path) -> None:
    data = cs.open_dataset(split_folders(tmp_path, "train", "test", "extra"))
    assert data.skipped == ("extra",) and (len(data.train), len(data.test)) == (4, 4)
    assert [(row.kind, row.count) for row in data.not_used] == [("image of no split", 4)]
    with pytest.raises(DataError, match="no train split, only test, validation"):
        cs.open_dataset(split_folders(tmp_path / "b", "val", "test", "notes"))


def test_a_test_folder_without_labels_is_told(tmp_path: Path) -> None:
    fill(split_folders(tmp_path, "train") / "test")
    data = cs.open_dataset(tmp_path)
    assert (data.classes, data.held_out, data.skipped) == (("green", "red"), "stratified", ("test",))
    assert data.notes == ("test: not used, its images have no label: they are in no class folder",)


def test_a_class_called_like_a_split_within_splits_is_told(tmp_path: Path) -> None:
    data = cs.open_dataset(split_folders(tmp_path, "train", "test", classes=("bus", "train")))
    assert data.classes == ("bus", "train") and data.notes == ("read as a class: train",)


def test_splits_within_classes_are_refused(tmp_path: Path) -> None:
    for name in ("cat/train", "cat/test", "dog/train", "dog/test"):
        fill(tmp_path / name)
    with pytest.raises(DataError, match=r"each of cat, dog holds folders named like splits.*train/CLASS"):
        cs.open_dataset(tmp_path)
    assert opened(tmp_path, "classes")[0] == ("cat", "dog")


@pytest.mark.parametrize("above", ["mydata", "images", "a/b", "data"])
def test_an_archive_that_lies_deeper_is_opened_with_a_note(tmp_path: Path, above: str) -> None:
    split_folders(tmp_path / above, "train", "val")
    (tmp_path / "README.md").write_text("about")
    data = cs.open_dataset(tmp_path)
    assert (data.classes, len(data.train), data.held_out) == (("green", "red"), 4, "validation")
    assert data.notes == (f"read from {tmp_path / above}, the only folder with images in {tmp_path}",)
    assert cs.open_dataset(data.source).record() == data.record()
    told: list[str] = []
    images, _ = open_images(tmp_path, on_note=told.append)
    assert len(images) == 4 and tuple(told) == data.notes
    fill(tmp_path / "b" / "one" / "cat")
    with pytest.raises(DataError, match=r"one class only \('one'\)"):  # a class whose images lie in a folder of it
        cs.open_dataset(tmp_path / "b")


def test_one_split_alone_is_not_taken_for_an_archive(tmp_path: Path) -> None:
    data = cs.open_dataset(split_folders(tmp_path / "one", "train"))
    assert (len(data.train), len(data.test), data.notes) == (2, 2, ())
    fill(tmp_path / "two" / "train" / "a"), fill(tmp_path / "two" / "train" / "b")
    split_folders(tmp_path / "three" / "train_2020", "train", "test")
    assert opened(tmp_path / "three") == (("green", "red"), 4, "test")


def test_the_layout_is_recorded_and_used_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("bus", "train"):
        fill(tmp_path / "data" / name, images=6)
    data, run = str(tmp_path / "data"), str(tmp_path / "run")
    train = ["train", "small-mbconv", "--resolution", "12", "--epochs", "1", "--batch", "4", "--no-pictures", "--data"]
    assert cli_main.run([*train, data, "-o", run]) == 2
    assert cli_main.run([*train, data, "-o", run, "--layout", "classes"]) == 0
    record = Run(Path(run)).data()
    assert record is not None and record.layout == "classes"
    capsys.readouterr()
    assert cli_main.run(["eval", run, "--data", data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 2
    assert cli_main.run(["eval", f"{run}/weights.safetensors", "--data", data]) == 2
    assert cli_main.run(["eval", f"{run}/weights.safetensors", "--data", data, "--layout", "classes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 12
    assert cli_main.run(["data", "check", data, "--layout", "classes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"] == {"all": 12}


def test_an_unfinished_run_is_resumed_with_its_layout(tmp_path: Path) -> None:
    from convscale.training.resuming import same_data

    for name in ("bus", "train"):
        fill(tmp_path / "data" / name, images=6)
    network = cs.network("small-mbconv").at_resolution(12)
    settings = ["epochs=1", "batch=4"]
    run, _ = cs.train(
        network, tmp_path / "data", "small-images", tmp_path / "run", set=settings, layout="classes", pictures=False,
        quiet=True,
    )  # fmt: skip
    assert same_data(run, None).record() == run.data() == same_data(run, tmp_path / "data").record()
