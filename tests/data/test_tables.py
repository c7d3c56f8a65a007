"""Images beside CSVs as people have them: splits in a column or a file each, ids, paths of other machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import convscale as cs
from convscale.data import Dataset
from convscale.errors import DataError

NAMES = [f"{kind}{number}.png" for kind in ("red", "green") for number in range(12)]


def save(path: Path, number: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 12), (number * 7 % 250, 80, 0)).save(path)
    return path


def label(name: str) -> str:
    return "red" if name.startswith("red") else "green"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """24 images of two classes in one folder."""
    for number, name in enumerate(NAMES):
        save(tmp_path / name, number)
    return tmp_path


def write(folder: Path, text: str, name: str = "labels.csv") -> Dataset:
    (folder / name).write_text(text)
    return cs.open_dataset(folder)


def sizes(data: Dataset) -> tuple[int, int, str]:
    return len(data.train), len(data.test), data.held_out


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("file,label", "{name},{label}"),
        ("id,label", "{stem},{label}"),
        ("label,other,id", "{label},7,{stem}"),
        ("file,label", "/content/data/{name},{label}"),
        ("file,label", "/content/data/{stem},{label}"),
        ("file,label", "C:\\Users\\me\\{name},{label}"),
        ("file,label", "gs://bucket/{name},{label}"),
        ("file,label", ".\\{name},{label}"),
        ("file,label", "./{name},{label}"),
        ("file;label", "{name};{label}"),
        ("file\tlabel", "{name}\t{label}"),
        ("file|label", "{name}|{label}"),
        ("file;label;size", "{name};{label};1,5"),
        ("file, label", "{name}, {label}"),
        ('"file","label"', '"{name}","{label}"'),
    ],
)
@pytest.mark.parametrize("end", ["", ",\n", "\n,,\n \n"])
def test_the_same_images_however_they_are_written(images: Path, header: str, row: str, end: str) -> None:
    separator = next(mark for mark in "\t;|," if mark in header)
    rows = [row.format(name=name, stem=name[:-4], label=label(name)) for name in NAMES]
    data = write(images, "\n".join([header, *rows, ""]) + end.replace(",", separator))
    assert data.classes == ("green", "red") and sizes(data) == (20, 4, "stratified") and data.not_used == ()
    for part in (data.train, data.test):
        found = [Path(part.name(index)).name for index in range(len(part))]  # type: ignore[union-attr]
        assert [data.classes[number] for number in part.labels] == [label(name) for name in found]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("column", "values", "held_out"),
    [
        ("split", ("train", "valid"), "validation"),
        ("data set", ("Training", "Testing"), "test"),
        ("Subset", ("TRAIN", "test_set"), "test"),
        ("partition", ("tr", "te"), "test"),
        ("fold", ("train", "dev"), "validation"),
        ("is_valid", ("False", "True"), "validation"),
        ("is_valid", ("0", "1"), "validation"),
        ("isTest", ("no", "yes"), "test"),
        ("is_train", ("1", "0"), "test"),
    ],
)
def test_a_column_of_splits_is_used_and_told(images: Path, column: str, values: tuple[str, str], held_out: str) -> None:
    rows = "".join(f"{name},{label(name)},{values[place % 4 == 0]}\n" for place, name in enumerate(NAMES))
    data = write(images, f"file,label,{column}\n{rows}")
    assert sizes(data) == (18, 6, held_out) and data.notes == (f"labels.csv: splits by column {column!r}",)
    held = {Path(data.test.name(index)).name for index in range(6)}  # type: ignore[union-attr]
    assert held == set(NAMES[::4])


def test_columns_that_say_no_split_are_told(images: Path) -> None:
    rows = "".join(f"{name},{label(name)},{place % 5}\n" for place, name in enumerate(NAMES))
    data = write(images, f"file,label,fold\n{rows}")
    assert sizes(data) == (20, 4, "stratified")
    assert data.notes == ("labels.csv: column 'fold' not used: it names no train split, only 0, 1, 2, 3, 4",)
    some = "".join(
        f"{name},{label(name)},{('train', 'test', 'extra')[place % 3]}\n" for place, name in enumerate(NAMES)
    )
    data = write(images, f"file,label,split\n{some}")
    assert sizes(data) == (8, 8, "test")
    assert {row.kind: row.count for row in data.not_used} == {"row of no split": 8, "image without a label": 8}
    both = "".join(f"{name},{label(name)},{place % 4 == 0},{place % 4 == 1}\n" for place, name in enumerate(NAMES))
    data = write(images, f"file,label,is_valid,is_test\n{both}")
    assert sizes(data) == (12, 6, "test")


def test_an_image_in_two_splits_is_refused(images: Path) -> None:
    rows = "red0.png,a,train\ngreen0.png,b,train\nred0.png,a,test\n"
    with pytest.raises(DataError, match=r"line 4: 'red0.png' is in two splits"):
        write(images, f"file,label,split\n{rows}")


def test_a_csv_a_split(images: Path) -> None:
    for name, part in (("train.csv", NAMES[:8] + NAMES[12:20]), ("test_labels.csv", NAMES[8:10] + NAMES[20:22])):
        (images / name).write_text("file,label\n" + "".join(f"{each},{label(each)}\n" for each in part))
    data = cs.open_dataset(images)
    assert sizes(data) == (16, 4, "test") and data.classes == ("green", "red")
    rest = [*NAMES[10:12], *NAMES[22:]]
    data = write(images, "file,label\n" + "".join(f"{each},{label(each)}\n" for each in rest), "validation.csv")
    assert sizes(data) == (16, 4, "test") and data.not_used == ()
    with pytest.raises(DataError, match=r"4 CSV files .*train.csv, validation.csv and test.csv"):
        write(images, "file,label\nred0.png,red\n", "val.csv")


def test_csvs_without_labels_are_told(images: Path) -> None:
    (images / "train.csv").write_text("id,label\n" + "".join(f"{each[:-4]},{label(each)}\n" for each in NAMES[:20]))
    (images / "test.csv").write_text("id\n" + "".join(f"{each[:-4]}\n" for each in NAMES[20:]))
    data = write(images, "id,label\n" + "".join(f"{each[:-4]},red\n" for each in NAMES[20:]), "sample_submission.csv")
    assert sizes(data) == (16, 4, "stratified") and len(data.classes) == 2
    assert data.notes == (
        "sample_submission.csv: not used, not named like a split",
        "test.csv: not used, no column 'label' among id",
    )
    (images / "train.csv").write_text("id,kind\nred0,a\n")
    with pytest.raises(DataError, match=r"train.csv: no column 'label' among id, kind"):
        cs.open_dataset(images)


def split_folders(root: Path) -> Path:
    for split, start, count in (("train", 0, 12), ("test", 100, 4)):
        for kind in ("red", "green"):
            for number in range(start, start + count):
                save(root / split / kind / f"{kind}{number}.png", number)
    return root


def test_a_csv_of_something_else_leaves_the_folders_alone(tmp_path: Path) -> None:
    data = write(split_folders(tmp_path), "class,colour\nred,warm\ngreen,cold\n", "notes.csv")
    assert sizes(data) == (24, 8, "test") and data.classes == ("green", "red")
    assert data.notes == ("notes.csv: not used, no column names an image or is 'label'",)
    (tmp_path / "notes.csv").unlink()
    with pytest.raises(DataError, match=r"no column names an image in .*--layout reads class folders instead"):
        write(tmp_path, "file,label\nnowhere.png,a\n")  # labels of images that are missed are not passed over


def test_a_csv_beside_folders_of_splits_keeps_these(tmp_path: Path) -> None:
    split_folders(tmp_path)
    files = sorted(tmp_path.rglob("*.png"))
    rows = [(file.relative_to(tmp_path), file.parent.name, file.parts[-3]) for file in files]
    table = "filepaths,label,data set\n" + "".join(f"{place},{kind},{split}\n" for place, kind, split in rows)
    data = write(tmp_path, table)
    assert sizes(data) == (24, 8, "test") and data.notes == ("labels.csv: splits by column 'data set'",)
    finer = "".join(f"{place},{kind} {number % 2}\n" for number, (place, kind, _) in enumerate(rows))
    data = write(tmp_path, f"file,label\n{finer}")
    assert sizes(data) == (24, 8, "test") and len(data.classes) == 4
    assert data.notes == ("splits by the folders that the images are in: test, train",)
    data = cs.open_dataset(tmp_path, layout="splits")
    assert (data.classes, [row.kind for row in data.not_used]) == (("green", "red"), [".csv"])


def test_a_csv_of_the_images_without_labels_says_what_would_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'label' among file, width.*--label-column; --layout reads folders"):
        write(split_folders(tmp_path), "file,width\ntrain/red/red0.png,12\n")


def test_images_behind_a_link_are_found_by_name(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        save(tmp_path / "store" / name, number)
    root = tmp_path / "data"
    root.mkdir()
    (root / "images").symlink_to(tmp_path / "store")
    data = write(root, "file,label\n" + "".join(f"{each},{label(each)}\n" for each in NAMES))
    assert sizes(data) == (20, 4, "stratified")


def test_a_guess_needs_exactly_one(tmp_path: Path) -> None:
    for number, place in enumerate(("train/x.png", "test/x.png", "a.jpg", "a.png", "y.png")):
        save(tmp_path / place, number)

    def fails(*rows: str) -> str:
        with pytest.raises(DataError) as refused:
            write(tmp_path, "\n".join(["file,label", "y.png,a", *rows, ""]))
        return refused.value.message

    assert "line 3: several images are called 'a'" in fails("a,b")
    assert "line 3: several images are called '/far/x.png'" in fails("/far/x.png,b")
    assert "line 3: no such image 'other/y.png'" in fails("other/y.png,b")  # a relative path is meant as it stands
    assert "line 3: '/b/y.png' and 'y.png' mean the same image" in fails("/b/y.png,a")
    assert "line 3: no such image 'notes.txt'" in fails("notes.txt,b")
    data = write(tmp_path, "file,label\n/far/train/x.png,a\n/far/test/x.png,b\na.jpg,a\na.png,b\n")
    assert len(data.train) == 2 and data.train.labels.tolist().count(0) == 1  # type: ignore[union-attr]


def test_a_folder_named_in_front_of_its_own_paths(tmp_path: Path) -> None:
    root = tmp_path / "mydata"
    for number, name in enumerate(NAMES):
        save(root / "images" / name, number)
    data = write(root, "file,label\n" + "".join(f"mydata/images/{each},{label(each)}\n" for each in NAMES))
    assert sizes(data) == (20, 4, "stratified")


def test_what_tables_do_not_use_is_told(images: Path) -> None:
    (images / "readme.md").write_text("about")
    data = write(images, "file,label\n" + "".join(f"{each},{label(each)}\n" for each in NAMES[2:]))
    assert [(row.kind, row.count) for row in data.not_used] == [("image without a label", 2), (".md", 1)]


def test_parquet_called_as_splits(tmp_path: Path) -> None:
    from tests.data.test_data import parquet

    parquet(tmp_path / "training_set.parquet", [0, 1, 0], ["x", "y"])
    parquet(tmp_path / "eval.parquet", [0, 1], ["x", "y"])
    (tmp_path / "README.md").write_text("about")
    data = cs.open_dataset(tmp_path)
    assert sizes(data) == (3, 2, "test") and [row.kind for row in data.not_used] == [".md"]
    parquet(tmp_path / "test.parquet", [0, 1], ["x", "y"])
    with pytest.raises(DataError, match="two splits mean test: eval.parquet, test.parquet"):
        cs.open_dataset(tmp_path)
