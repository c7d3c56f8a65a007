"""Evaluation: what is counted, by hand on small arrays; sweeps, predictions and pictures, on real digits."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

import convscale as cs
from convscale.data.images import FileImages, Subset
from convscale.data.loader import evaluation_batches
from convscale.errors import ConfigError
from convscale.evaluation import measure, sweep
from convscale.evaluation.evaluator import note_on_numbers
from convscale.evaluation.tally import Tally
from convscale.figures import draw_reliability
from convscale.nn.processes import Processes
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.records import Evaluation, expected_calibration_error
from convscale.runs import Run
from convscale.statistics import mean_per_class, wilson_interval
from tests.images import digit_photos

ABC = ("a", "b", "c")
# Probabilities of three classes, and the true one. Bins of 1/15: 0.97 and 0.95 in the last, 0.7 alone, 0.5 twice.
PROBABILITIES = [[0.97, 0.02, 0.01], [0.03, 0.95, 0.02], [0.2, 0.7, 0.1], [0.3, 0.2, 0.5], [0.5, 0.2, 0.3]]
TRUTH = [0, 0, 1, 2, 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Evaluation]:
    """A network that has seen the digits once."""
    network = cs.network("small-resnet").at_resolution(16)
    network = replace(network, input_channels=1)
    recipe = Recipe(note="a test", epochs=1, batch=64, learning_rate=0.05)
    return cs.train(network, "digits", recipe, tmp_path_factory.mktemp("trained") / "run", pictures=False, quiet=True)


def counted(batches: list[slice]) -> Tally:
    tally = Tally(3)
    for part in batches:
        tally.add(torch.tensor(PROBABILITIES[part]).log(), torch.tensor(TRUTH[part]))
    return tally


def test_counts_by_hand() -> None:
    found = counted([slice(0, 5)]).measured(ABC, ())
    evaluation = found.evaluation
    assert (evaluation.n, evaluation.top1, evaluation.top5) == (5, 0.8, 1.0)
    assert [row.top1 for row in evaluation.per_class] == [2 / 3, 1.0, 1.0]
    assert evaluation.mean_per_class == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert found.confusion is not None and found.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 1]]
    # |1/2 - 0.96| of two images, |1 - 0.7| of one, |1 - 0.5| of two
    assert evaluation.ece == pytest.approx((2 * 0.46 + 0.3 + 2 * 0.5) / 5, abs=1e-6)
    filled = {index: one.n for index, one in enumerate(found.calibration) if one.n}
    assert filled == {7: 2, 10: 1, 14: 2} and len(found.calibration) == 15
    assert found.calibration[14].accuracy == 0.5 and found.calibration[14].confidence == pytest.approx(0.96)
    assert evaluation.top5_interval95 == wilson_interval(5, 5)


def test_an_upper_edge_belongs_to_its_bin() -> None:
    tally = Tally(2)
    tally.add(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), torch.tensor([0, 0]))
    low, high = 7, 14  # 1/2 is inside of 7/15 to 8/15, 1 the upper edge of the last
    assert [one.n for one in tally.measured(("a", "b"), ()).calibration] == [int(i in (low, high)) for i in range(15)]


def test_batches_and_processes_sum_to_the_same() -> None:
    whole, parts = counted([slice(0, 5)]), counted([slice(0, 1), slice(1, 5)])
    parts.sum_over(Processes())
    assert whole.measured(ABC, ()).evaluation == parts.measured(ABC, ()).evaluation


def test_classes_without_images_are_no_part_of_the_mean() -> None:
    mean, (low, high) = mean_per_class([(0.5, 10), (None, 0), (1.0, 40)])
    assert mean == 0.75 and low < 0.75 < high
    assert (low, high) == mean_per_class([(0.5, 10), (1.0, 40)])[1]
    pooled = wilson_interval(0.75 * 32, 32)  # 2^2 / (1/10 + 1/40)
    assert low <= pooled[0] and high >= pooled[1]  # the wider of two at each end
    assert mean_per_class([(0.5, 20), (0.5, 20)])[1] == pytest.approx(wilson_interval(20, 40), abs=0.01)  # top-1's


@pytest.mark.parametrize(("classes", "images"), [(10, 36), (100, 2), (5, 200)])
def test_the_interval_of_the_mean_covers_the_truth(classes: int, images: int) -> None:
    """In at least 93 % of draws; it may be wider than it need be."""
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        truth = generator.beta(6, 2, classes)
        sizes = np.maximum(1, generator.poisson(images, classes))
        right = generator.binomial(sizes, truth)
        low, high = mean_per_class([(k / n, int(n)) for n, k in zip(sizes, right, strict=True)])[1]
        covered.append(low <= truth.mean() <= high)
    assert np.mean(covered) > 0.93


def test_probabilities_that_are_not_finite_have_no_calibration() -> None:
    tally = counted([slice(0, 5)])
    tally.add(torch.tensor([[float("nan")] * 3, [float("inf"), 0.0, 0.0]]), torch.tensor([0, 0]))
    found = tally.measured(ABC, ())
    assert found.evaluation.n == 7 and found.evaluation.ece is None and found.calibration == ()
    json.dumps(found.evaluation.as_dict(), allow_nan=False)


def test_ece_of_a_network_that_says_what_it_knows_is_small() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 4, generator=generator)
    truth = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    tally, sure = Tally(4), Tally(4)
    tally.add(logits, truth)
    sure.add(logits * 3, truth)
    honest, overconfident = (one.measured(("a", "b", "c", "d"), ()).evaluation.ece for one in (tally, sure))
    assert honest is not None and overconfident is not None and honest < 0.02 < 0.2 < overconfident


def test_training_tells_calibration_but_no_speed(trained: tuple[Run, Evaluation]) -> None:
    run, evaluation = trained
    assert run.evaluation() == evaluation and evaluation.ece is not None and evaluation.images_per_second is None
    rates = [row.top1 for row in evaluation.per_class if row.top1 is not None]
    assert evaluation.mean_per_class == pytest.approx(np.mean(rates))
    again = cs.evaluate(run.path, "digits", quiet=True)
    assert again.images_per_second is not None and again.images_per_second > 0
    assert again.ece == pytest.approx(evaluation.ece, abs=1e-3)


def test_evaluations_of_before_are_read(trained: tuple[Run, Evaluation], tmp_path: Path) -> None:
    table = json.loads((trained[0].path / "evaluation.json").read_text())
    before = {key: table[key] for key in ("top1", "top5", "n", "interval95", "per_class", "unreadable")}
    (tmp_path / "evaluation.json").write_text(json.dumps(before))
    old = Run(tmp_path).evaluation()
    assert (old.top1, old.per_class) == (trained[1].top1, trained[1].per_class)
    assert old.mean_per_class is old.ece is old.top5_interval95 is None


def test_a_sweep_changes_the_pixels(trained: tuple[Run, Evaluation]) -> None:
    run, evaluation = trained
    rows = sweep(run.path, "digits", resolutions=[8, 16, 24], crops=[1.0, 0.5], quiet=True)
    assert [(row.resolution, row.crop) for row in rows] == [(r, c) for r in (8, 16, 24) for c in (1.0, 0.5)]
    assert rows[2].evaluation.top1 == pytest.approx(evaluation.top1, abs=1 / 359)  # the network's own 16 px, whole
    assert rows[2].evaluation.top1 > max(row.evaluation.top1 for row in rows if row.crop == 0.5)
    assert len({row.evaluation.ece for row in rows}) == 6
    assert cs.evaluate(run.path, "digits", resolution=24, crop=0.5, quiet=True) == rows[5].evaluation
    assert sweep(run.path, "digits", quiet=True)[0].resolution == 16


def test_a_crop_is_cut_from_the_middle(tmp_path: Path) -> None:
    """What the sweep hands to the loader: size / crop after resizing, then the central size x size."""
    edge = np.zeros((32, 32, 3), np.uint8)
    edge[8:24, 8:24] = 255
    Image.fromarray(edge).save(tmp_path / "edge.png")
    images = FileImages([tmp_path / "edge.png"], np.zeros(1, dtype=np.int64))
    whole, middle = (
        next(evaluation_batches(images, Preprocessing(48).at(16, crop), 1)).pixels[0] for crop in (1.0, 0.5)
    )
    assert whole.shape == middle.shape == (3, 16, 16)
    assert whole.float().mean() == pytest.approx(255 / 4, abs=8) and middle.min() == 255


def test_predictions_agree_with_the_counts(trained: tuple[Run, Evaluation], tmp_path: Path) -> None:
    run = trained[0]
    found = cs.evaluate(run.path, "digits", predictions=tmp_path / "p.parquet", quiet=True, batch=50)
    rows = pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pylist()
    assert list(rows[0]) == ["image", "label", "predicted", "probability", "label_probability", "label_rank"]
    assert len(rows) == found.n == 359
    right = [row["label"] == row["predicted"] for row in rows]
    assert sum(right) / 359 == found.top1 and sum(row["label_rank"] <= 5 for row in rows) / 359 == found.top5
    assert all((row["label_rank"] == 1) == hit for row, hit in zip(rows, right, strict=True))
    assert all(0 < row["label_probability"] <= row["probability"] <= 1 for row in rows)
    for record in found.per_class:
        mine = [row for row in rows if row["label"] == record.name]
        assert len(mine) == record.n and sum(row["predicted"] == record.name for row in mine) / record.n == record.top1
    test = cs.open_dataset("digits").test
    assert [row["image"] for row in rows] == [test.name(index) for index in range(359)]
    assert [int(row["label"]) for row in rows] == test.labels.tolist()


def test_predictions_are_the_same_in_every_kind_of_file(trained: tuple[Run, Evaluation], tmp_path: Path) -> None:
    for name in ("p.parquet", "p.csv", "p.jsonl"):
        cs.evaluate(trained[0].path, "digits", predictions=tmp_path / name, quiet=True, batch=100)
    rows = pyarrow.parquet.read_table(tmp_path / "p.parquet").to_pylist()
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    with (tmp_path / "p.csv").open(newline="") as file:
        values = list(csv.DictReader(file))
    assert len(rows) == len(lines) == len(values) == 359
    for row, line, value in zip(rows, lines, values, strict=True):
        assert list(row) == list(line) == list(value)
        for key, cell in row.items():
            assert line[key] == pytest.approx(cell, abs=1e-8) if isinstance(cell, float) else line[key] == cell
            assert value[key] == str(line[key])


@pytest.mark.parametrize("workers", [0, 1])
def test_predictions_of_files_leave_out_what_cannot_be_read(
    trained: tuple[Run, Evaluation], tmp_path: Path, workers: int
) -> None:
    (tmp_path / "photos").mkdir()
    photos = digit_photos(tmp_path / "photos", 12)
    bad = sorted((photos / "1").iterdir())[3]
    bad.write_bytes(b"no image")
    path = tmp_path / "p.parquet"
    found = cs.evaluate(trained[0].path, photos, predictions=path, quiet=True, batch=5, workers=workers)
    rows = pyarrow.parquet.read_table(path).to_pylist()
    assert len(found.unreadable) == 1 and len(rows) == found.n == 35
    assert {row["image"] for row in rows} == {str(file) for file in photos.glob("*/*") if file != bad}
    assert all(Path(row["image"]).parent.name == row["label"] for row in rows)
    probabilities = {one.image: one.classes[0] for one in cs.predict(trained[0].path, [r["image"] for r in rows])}
    for row in rows:
        name, probability = probabilities[row["image"]]
        assert row["predicted"] == name and row["probability"] == pytest.approx(probability, abs=1e-4)


@pytest.mark.long
def test_pictures_and_the_confusion_matrix(trained: tuple[Run, Evaluation], tmp_path: Path) -> None:
    found = cs.evaluate(trained[0].path, "digits", pictures=tmp_path / "new" / "pictures", quiet=True)
    folder = tmp_path / "new" / "pictures"
    drawn = {
        f"{name}.{ending}" for name in ("reliability", "confusion", "mistakes") for ending in ("png", "svg", "pdf")
    }
    assert {path.name for path in folder.iterdir()} == {*drawn, "confusion.csv"}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 300
    head, *rows = csv.reader((folder / "confusion.csv").read_text().splitlines())
    assert head == ["true class", *"0123456789"] and [row[0] for row in rows] == list("0123456789")
    counts = np.array([row[1:] for row in rows], dtype=int)
    assert counts.sum(1).tolist() == [row.n for row in found.per_class]
    assert counts.trace() / counts.sum() == found.top1


def test_the_reliability_picture_shows_the_bins(tmp_path: Path) -> None:
    bins = counted([slice(0, 5)]).measured(ABC, ()).calibration
    other = [replace(one, accuracy=1 - one.accuracy) for one in bins]
    for name, shown in (("a", bins), ("b", other)):
        draw_reliability(shown, tmp_path / f"{name}.png")
    assert expected_calibration_error(bins) != expected_calibration_error(other)
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_measuring_leaves_the_model_as_it_was() -> None:
    data = cs.open_dataset("digits")
    model = cs.build(replace(cs.network("small-resnet"), input_channels=1), seed=0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    preprocessing = Preprocessing(16, mean=(0.5,), std=(0.5,))
    measured = measure(model, Subset(data.test, np.arange(20)), preprocessing, data.classes)
    assert model.training and measured.evaluation.n == 20
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 0}, "resolution 0 is not allowed .a whole number of pixels, 1 to 16384"),
        ({"resolution": 16.5}, "resolution 16.5 is not allowed"),
        ({"crop": 1.5}, "crop 1.5 is not allowed .0.1 to 1"),
        ({"batch": 0}, "batch 0 is not allowed .at least 1"),
        ({"predictions": "no/such/folder/p.parquet"}, "predictions no/such.*no file can be written there"),
        (
            {"predictions": "."},
            "no file can be written there .name a .csv, .parquet or .jsonl file in an existing folder",
        ),
        ({"pictures": __file__}, "pictures .*cannot create a folder there"),
    ],
)
def test_what_is_not_allowed(trained: tuple[Run, Evaluation], settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        cs.evaluate(trained[0].path, "digits", quiet=True, **settings)  # type: ignore[arg-type]


def test_numbers_without_a_zero_are_told(
    trained: tuple[Run, Evaluation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a network whose classes have names, numbers count from 0: folders 1 and 2 are its second and third class."""
    names = ("blue", "green", "red")
    told = "classes are numbers and 0 is missing: counted from 0, 1 as green, 2 as red; if they count from 1"
    assert note_on_numbers(("1", "2"), names).startswith(told)
    for fine in (("0", "1"), ("00", "01"), ("blue", "red"), ("red", "1")):
        assert note_on_numbers(fine, names) == ""
    assert note_on_numbers(("1", "2"), ("1", "2", "3")) == ""  # numbered names are names
    run, _ = trained
    model, header = cs.load_weights(run.weights)
    named = tmp_path / "named.safetensors"
    cs.save_weights(named, model, replace(header, classes=tuple(f"digit {name}" for name in header.classes)))
    photos = digit_photos(tmp_path / "photos", 4)
    cs.evaluate(named, photos)
    assert "0 is missing" not in capsys.readouterr().err
    (photos / "0").rename(photos / "3")
    cs.evaluate(named, photos)
    assert "0 is missing: counted from 0, 1 as digit 1, 2 as digit 2, 3 as digit 3" in capsys.readouterr().err
    cs.evaluate(named, photos, quiet=True)
    assert capsys.readouterr().err == ""
