"""Recipes, runs, training, evaluation, prediction and fit: the road's second half, on real digits."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import convscale as cs
from convscale.catalog import read_network
from convscale.data.images import Subset
from convscale.errors import ConfigError, DataError, RunError, TrainingError
from convscale.evaluation.evaluator import match_classes
from convscale.fitting import Fit, choose
from convscale.headers import WeightsHeader, read_header
from convscale.networks import Stem
from convscale.preprocessing import Preprocessing
from convscale.recipes import SGD, AdamW, Augmentation, Constant, Recipe, RMSProp
from convscale.runs import Run, Settings, next_run_path, open_run
from convscale.schema import to_table
from convscale.statistics import wilson_interval
from tests.training.small_runs import FULL

TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(note="a test", epochs=2, batch=32, learning_rate=0.05)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    """A network fitted to the digits: what the demo does, for a few epochs."""
    path = tmp_path_factory.mktemp("fit") / "run"
    return cs.fit("digits", cs.Budget(macs="1M", params="100k"), epochs=4, output=path, quiet=True)


def digit_files(folder: Path, count: int = 4) -> list[Path]:
    data = cs.open_dataset("digits")
    paths = []
    for index in range(count):
        paths.append(folder / f"{index}.png")
        data.test.image(index).save(paths[-1])
    return paths


@pytest.mark.long
def test_fit_goes_the_whole_way(fitted: Fit) -> None:
    run = fitted.run.path
    assert {path.name for path in run.iterdir()} == {
        "weights.safetensors", "network.toml", "recipe.toml", "preprocessing.toml", "data.json", "metrics.jsonl",
        "evaluation.json", "details.json", "environment.json", "best.safetensors", "settings.json", "result.json",
        "pictures", "lock", "fit.json", "story.json", "plan.json", "progress.json", "README.md",
    }  # fmt: skip
    assert max(fitted.plan.chosen.used.values()) <= 1
    assert fitted.evaluation.top1 > 0.9 and fitted.evaluation.n == 359
    low, high = fitted.evaluation.interval95
    assert low < fitted.evaluation.top1 < high
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4] and lines[-1]["top1"] == fitted.evaluation.top1
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]
    assert read_network(run / "network.toml") == fitted.plan.network
    assert cs.recipe(run / "recipe.toml") == fitted.recipe
    summary = fitted.summary()
    assert len(summary) == 10 and "images are about 8 px" in summary[1] and str(run) in summary[7]


def test_fit_says_its_plan_before_it_trains(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is minutes away otherwise: data, network, budget, and where the run is."""
    result = cs.fit(photos, cs.Budget(macs="60k"), epochs=1, output=tmp_path / "run")
    lines = capsys.readouterr().err.splitlines()
    first = [*result.summary()[:5], f"run        {tmp_path / 'run'}"]
    assert lines[: len(first)] == first and any(line.startswith("epoch 1/1") for line in lines[len(first) :])
    assert ": small-mbconv made " in first[2] and " times smaller (MACs): " in first[2]


@pytest.mark.skipif(not FULL, reason="`make faults`: a minute and a half")
def test_the_demo_reaches_98_per_cent(tmp_path: Path) -> None:
    result = cs.fit("digits", cs.Budget(macs="5M"), output=tmp_path / "run", quiet=True)
    assert result.evaluation.top1 > 0.98 and result.plan.binding == ("macs",)


def test_the_weights_file_alone_serves_eval_and_predict(fitted: Fit, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(fitted.run.weights.read_bytes())
    header = read_header(alone)
    assert header.network == fitted.plan.network and header.classes == tuple("0123456789")
    images = digit_files(tmp_path)
    assert cs.predict(alone, images) == cs.predict(fitted.run.path, images)
    # the file does not know which images were held out: it is measured on all of them
    assert cs.evaluate(alone, "digits").n == 1797


def test_the_weights_file_is_as_large_as_its_cost_says(fitted: Fit) -> None:
    size, estimate = fitted.run.weights.stat().st_size, cs.cost(fitted.plan.network).file_bytes
    assert size <= estimate <= size * 1.01 + 4096


def test_eval_counts_only_what_was_held_out(fitted: Fit) -> None:
    evaluation = cs.evaluate(fitted.run.path, "digits")
    assert evaluation.n == 359 and evaluation.top1 == pytest.approx(fitted.evaluation.top1, abs=1 / 359)
    assert evaluation.top5 >= evaluation.top1
    assert sum(row.n for row in evaluation.per_class) == 359
    weighted = sum(row.n * (row.top1 or 0) for row in evaluation.per_class) / 359
    assert weighted == pytest.approx(evaluation.top1)


def test_predict(fitted: Fit, tmp_path: Path) -> None:
    images = digit_files(tmp_path)
    predictions = cs.predict(fitted.run.path, images, top=3)
    assert [p.image for p in predictions] == [str(path) for path in images]
    for prediction in predictions:
        probabilities = [probability for _, probability in prediction.classes]
        assert len(probabilities) == 3 and probabilities == sorted(probabilities, reverse=True)
        assert 0 < sum(probabilities) <= 1 + 1e-6
    with pytest.raises(DataError, match="no such image file"):
        cs.predict(fitted.run.path, [tmp_path / "none.png"])
    with pytest.raises(DataError, match="no image given"):
        cs.predict(fitted.run.path, [])
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(DataError, match=r"bad.png: not an image"):
        cs.predict(fitted.run.path, [tmp_path / "bad.png"])


@pytest.mark.long
def test_training_repeats_by_its_seed(tmp_path: Path) -> None:
    states = []
    for index, (seed, workers) in enumerate(((1, 0), (1, 1), (2, 0))):
        recipe_ = replace(QUICK, epochs=1, augmentation=Augmentation(crop="shift"), drop_path=0.2, dropout=0.1)
        run, _ = cs.train(
            TINY, "digits", recipe_, tmp_path / str(index), seed=seed, workers=workers, pictures=False, quiet=True
        )
        states.append(cs.load_weights(run.weights)[0].state_dict())
    equal = [all(torch.equal(states[0][key], other[key]) for key in states[0]) for other in states[1:]]
    assert equal == [True, False]


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 0.04}, {"optimizer": SGD(momentum=0.8)}, {"optimizer": SGD(nesterov=False)},
     {"optimizer": RMSProp()}, {"optimizer": AdamW()}, {"schedule": Constant()}, {"weight_decay": 0.1},
     {"label_smoothing": 0.2}, {"gradient_clip": 0.1}, {"warmup_epochs": 1.0}, {"dropout": 0.5}, {"drop_path": 0.5},
     {"ema_decay": 0.9}, {"accumulation": 2}, {"norm_momentum": 0.05}, {"precision": "bf16"}, {"batch": 33},
     *({"augmentation": Augmentation(**change)} for change in (
         {"crop": "shift"}, {"crop": "resized"}, {"flip": True}, {"policy": "autoaugment"}, {"policy": "randaugment"},
         {"erasing": 1.0}, {"mixup": 0.5}, {"cutmix": 0.5}))],
    ids=str,
)  # fmt: skip
def test_every_part_of_a_recipe_reaches_the_weights(tmp_path: Path, change: dict[str, object]) -> None:
    data = cs.open_dataset("digits")
    few = replace(data, train=Subset(data.train, np.arange(130)), test=Subset(data.test, np.arange(10)))
    base = replace(QUICK, epochs=1)
    runs = []
    for name, recipe_ in (("a", base), ("b", replace(base, **change))):  # type: ignore[arg-type]
        run, _ = cs.train(TINY, few, recipe_, tmp_path / name, fresh_statistics_steps=0, pictures=False, quiet=True)
        runs.append(cs.load_weights(run.weights)[0].state_dict())
    assert any(not torch.equal(value, runs[1][key]) for key, value in runs[0].items())


@pytest.mark.long
def test_training_from_files_of_other_layouts(tmp_path: Path) -> None:
    digits = cs.open_dataset("digits").train
    for label, name in ((0, "zero"), (1, "one")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in np.flatnonzero(digits.labels == label)[:60]:
            digits.image(int(index)).resize((20, 26)).convert("RGB").save(tmp_path / "data" / name / f"{index}.png")
    network = cs.network("small-mobilenet-v2").at_resolution(16)
    lively = Augmentation(crop="resized", flip=True, scale_min=0.7)
    recipe_ = replace(QUICK, epochs=12, batch=16, label_smoothing=0.1, gradient_clip=1.0, augmentation=lively)
    run, evaluation = cs.train(network, tmp_path / "data", recipe_, tmp_path / "run", pictures=False, quiet=True)
    assert evaluation.top1 > 0.9 and evaluation.top5 == 1
    assert read_header(run.weights).network.num_classes == 2


def test_a_loss_that_diverges_stops(tmp_path: Path) -> None:
    wild = replace(QUICK, learning_rate=1000.0, optimizer=SGD(momentum=0.99))
    plain = replace(TINY, norm_eps=1e-5)
    with pytest.raises(TrainingError, match="(nan|inf|overflow).* in step .*learning rate"):
        cs.train(plain, "digits", replace(wild, epochs=30), tmp_path / "run", pictures=False, quiet=True)
    with pytest.raises(RunError, match="no weights yet.*convscale resume"):
        open_run(tmp_path / "run")


def test_a_run_without_a_finished_epoch_leaves_its_name_free(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(4):
            (tmp_path / "data" / name / f"{index}.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="training images cannot be read, more than"):
        cs.train(cs.network("small-resnet"), tmp_path / "data", QUICK, tmp_path / "run", pictures=False, quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_evaluation_matches_classes_of_another_order(fitted: Fit, tmp_path: Path) -> None:
    digits = cs.open_dataset("digits").test
    for label in (3, 7):
        (tmp_path / str(label)).mkdir()
        for index in np.flatnonzero(digits.labels == label)[:20]:
            digits.image(int(index)).save(tmp_path / str(label) / f"{index}.png")
    evaluation = cs.evaluate(fitted.run.path, tmp_path, quiet=True)
    assert evaluation.n == 40 and evaluation.top1 > 0.8  # "3" and "7" are classes 0 and 1 of the folder


def test_eval_refuses_data_that_changed_since(tmp_path: Path) -> None:
    digits = cs.open_dataset("digits").train
    for label in (0, 1):
        (tmp_path / "data" / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.labels == label)[:10]:
            digits.image(int(index)).save(tmp_path / "data" / str(label) / f"{index}.png")
    run, _ = cs.train(
        TINY, tmp_path / "data", replace(QUICK, epochs=1, batch=4), tmp_path / "run", pictures=False, quiet=True
    )
    assert cs.evaluate(run.path, tmp_path / "data", quiet=True).n == 4
    digits.image(0).save(tmp_path / "data" / "0" / "new.png")
    with pytest.raises(DataError, match="20 images when .* was trained, now 21"):
        cs.evaluate(run.path, tmp_path / "data", quiet=True)
    (run.path / "data.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"data.json.*missing"):
        cs.evaluate(run.path, tmp_path / "data", quiet=True)
    (run.path / "data.json").unlink()
    assert cs.evaluate(run.path, tmp_path / "data", quiet=True).n == 21


def test_a_run_records_its_seed_and_threads(fitted: Fit) -> None:
    environment = json.loads((fitted.run.path / "environment.json").read_text())
    settings = fitted.run.settings()
    assert settings == Settings(seed=0, changed=settings.changed) and settings.changed[0] == "epochs 16 -> 4"
    assert environment["torch_threads"] >= 1 and environment["device"]
    assert not any("PATH" in key or "HOME" in key for key in environment)


def test_a_run_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty.*-o"):
        cs.train(TINY, "digits", QUICK, tmp_path, pictures=False, quiet=True)
    assert (tmp_path / "notes.txt").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(RunError, match="cannot be written|0B are free"):
        cs.train(TINY, "digits", QUICK, "/proc/nowhere/run", pictures=False, quiet=True)
    (tmp_path / "a-1").mkdir()
    assert next_run_path(tmp_path, "a") == tmp_path / "a-2"


def test_networks_that_cannot_see_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"digits\[0\]: 1 channel, the network has 5"):
        cs.train(replace(TINY, input_channels=5), "digits", QUICK, tmp_path / "run", pictures=False, quiet=True)
    assert not (tmp_path / "run").exists()


def damaged(source: Path, target: Path, **metadata: str | None) -> Path:
    """A copy of a weights file with other metadata."""
    content = source.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    kept = header["__metadata__"] | metadata
    header["__metadata__"] = {key: value for key, value in kept.items() if value is not None}
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    return target


def test_weights_that_cannot_be_used(fitted: Fit, tmp_path: Path) -> None:
    weights, path = fitted.run.weights, tmp_path / "w.safetensors"

    def refused(match: str) -> None:
        with pytest.raises(RunError, match=match):
            cs.load_weights(path)

    damaged(weights, path, format_version="99")
    refused("format version 99 is newer.*upgrade")
    damaged(weights, path, format_version="x")
    refused("not one of Convscale's")
    damaged(weights, path, format_version=None)
    refused("without Convscale's header")
    damaged(weights, path, network="{}")
    refused("header is damaged.*network")
    damaged(weights, path, classes='["a"]')
    refused("1 class names for a network of 10 classes")
    damaged(weights, path, preprocessing=None)
    refused("header is damaged")
    damaged(weights, path, preprocessing='{"size": 20}')
    refused("preprocessing of 3 channels for a network of 1")
    damaged(weights, path, preprocessing='{"size": 1000000000}')
    refused("header is damaged.*size 1000000000")
    damaged(weights, path, format_version="\u00b2")
    refused("not one of Convscale's")
    damaged(weights, path, classes=json.dumps(["a"] * 10))
    refused("named twice")
    damaged(weights, path, network="[" * 5000)
    refused("header is damaged")
    tensors = safetensors.torch.load_file(weights)
    header = read_header(weights).as_metadata()
    safetensors.torch.save_file({k: v.half() for k, v in tensors.items()}, path, header)
    refused("is torch.float16, not float32")
    wider = json.dumps(to_table(replace(fitted.plan.network, stem=Stem(24, stride=1))))
    damaged(weights, path, network=wider)
    refused("tensors do not fit its network, the first is 'stages.0.0.depthwise.conv.weight'")
    for cut in (0, 4, 100, 5000, weights.stat().st_size - 1):
        path.write_bytes(weights.read_bytes()[:cut])
        refused("cut short|damaged")
    path.write_bytes(b"\xff" * 100)
    refused("cut short|damaged")
    with pytest.raises(RunError, match="cannot be read"):
        cs.load_weights(tmp_path / "none.safetensors")


def test_weights_with_nan_are_refused(tmp_path: Path) -> None:
    model = cs.build(TINY)
    with torch.no_grad():
        model.get_parameter("stem.conv.conv.weight")[0] = math.nan
    header = WeightsHeader(TINY, Preprocessing(8, mean=(0.5,), std=(0.2,)), tuple("0123456789"))
    cs.save_weights(tmp_path / "w.safetensors", model, header)
    with pytest.raises(RunError, match=r"stem.conv.conv.weight holds NaN"):
        cs.load_weights(tmp_path / "w.safetensors")


def test_weights_read_back_exactly(tmp_path: Path) -> None:
    model = cs.build(TINY).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    header = WeightsHeader(TINY, Preprocessing(8, mean=(0.5,), std=(0.2,)), tuple("012345678é"))
    cs.save_weights(tmp_path / "w.safetensors", model, header)
    back, read = cs.load_weights(tmp_path / "w.safetensors")
    assert read == header and not back.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), back.parameters(), strict=True))


def test_run_folders_that_cannot_be_used(fitted: Fit, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        open_run(tmp_path / "none")
    with pytest.raises(RunError, match="not a run folder"):
        open_run(tmp_path)
    with pytest.raises(RunError, match="no such run folder or weights file"):
        cs.predict(tmp_path / "none", digit_files(tmp_path, 1))
    (tmp_path / "environment.json").write_text('{"format_version": 99}')
    with pytest.raises(RunError, match="format version 99 is newer"):
        open_run(tmp_path)
    assert open_run(fitted.run.path) == Run(fitted.run.path)


def test_classes_are_matched_by_name_or_number() -> None:
    assert match_classes(("b", "a"), ("a", "b", "c")).tolist() == [1, 0]
    assert match_classes(("0", "2"), ("cat", "cow", "dog")).tolist() == [0, 2]
    with pytest.raises(DataError, match="class 'z' that the network does not know.*begin with a, b"):
        match_classes(("a", "z"), ("a", "b"))
    with pytest.raises(DataError, match="class '3'"):
        match_classes(("0", "3"), ("a", "b"))
    with pytest.raises(DataError, match="class '0'"):
        match_classes(("0", "1"), ("1", "2", "3"))  # numbered names are names


def test_every_kind_of_images_gets_a_sensible_baseline(tmp_path: Path) -> None:
    def choice(side: int, mode: str) -> tuple[str, int, int, str]:
        for name in ("a", "b"):
            folder = tmp_path / f"{side}{mode}" / name
            folder.mkdir(parents=True)
            for index in range(3):
                Image.new(mode, (side + 20, side)).save(folder / f"{index}.png")
        chosen = choose(cs.open_dataset(tmp_path / f"{side}{mode}"))
        network = chosen.baseline
        assert network.num_classes == 2 and chosen.reason.startswith(f"images are about {side} px")
        return network.name, network.resolution, network.input_channels, chosen.recipe_name

    assert choice(8, "L") == ("small-mbconv-16px", 16, 1, "digits")
    assert choice(32, "RGB") == ("small-mbconv", 32, 3, "small-images")
    assert choice(500, "RGB") == ("efficientnet-b0", 224, 3, "photos")
    given = choose(cs.open_dataset("digits"), "small-resnet")
    assert (given.baseline.name, given.baseline.input_channels, given.reason) == ("small-resnet", 1, "as asked")


def test_wilson_interval() -> None:
    assert wilson_interval(0, 0) == (0, 1)
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    low, high = wilson_interval(10, 10)
    assert low == pytest.approx(0.7225, abs=1e-4) and high == pytest.approx(1)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 0},
        {"crop": 0.0},
        {"crop": 1.1},
        {"std": (0.0, 1.0, 1.0)},
        {"mean": (0.5,)},
        {"mean": (0.1,) * 3, "std": (math.nan,) * 3},
    ],
)
def test_preprocessing_that_makes_no_sense(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Preprocessing(**({"size": 8} | changes))  # type: ignore[arg-type]
