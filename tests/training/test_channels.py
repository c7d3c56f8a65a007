"""Networks of two and of four channels, from images to predictions."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import convscale as cs
from convscale.cli import main as cli_main
from convscale.errors import DataError
from convscale.files import write_toml
from convscale.preprocessing import IMAGENET_MEAN
from convscale.recipes import Augmentation, Recipe
from convscale.runs import Run
from convscale.schema import to_table
from convscale.training.setup import make_job
from tests.data.test_depth import tiff
from tests.training.small_runs import forked, killing_itself, same_weights, state_of

SMALL = cs.network("small-mbconv")
RECIPE = Recipe(note="a test", epochs=2, batch=8, learning_rate=0.02, norm_momentum=0.5,
                augmentation=Augmentation(crop="resized", flip=True, erasing=0.2, mixup=0.2, cutmix=0.5))  # fmt: skip


def network(channels: int) -> cs.ConvNet:
    return replace(SMALL, resolution=12, input_channels=channels, stages=SMALL.stages[:2])


def picture(channels: int, label: int, index: int, kind: Any = np.uint8) -> NDArray[Any]:
    """Noise of which the last channel alone tells the class."""
    values = np.random.default_rng(index).integers(0, 256, (16, 16, channels)).astype(kind)
    values[..., -1] = (30, 220)[label]
    return values


def pictures(root: Path, channels: int, suffix: str, kind: Any = np.uint8, each: int = 12) -> Path:
    for label, name in enumerate(("dry", "green")):
        (root / name).mkdir(parents=True)
        for index in range(each):
            values, file = picture(channels, label, index, kind), root / name / f"{index}.{suffix}"
            if suffix == "npy":
                np.save(file, values)
            else:
                photometric = 2 if channels > 2 else 1
                file.write_bytes(tiff(values, photometric, extra=channels - (3 if photometric == 2 else 1)))
    return root


@pytest.mark.long
@pytest.mark.parametrize(("channels", "suffix"), [(4, "tif"), (2, "npy")])
def test_from_images_to_predictions(
    channels: int, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = pictures(tmp_path / "data", channels, suffix), tmp_path / "run"
    recipe = replace(RECIPE, epochs=12, augmentation=Augmentation(flip=True))
    evaluation = cs.train(network(channels), data, recipe, run)[1]
    told = capsys.readouterr().err
    assert f"note: {channels} channels, measured on training images: 12 px" in told and "are read" not in told
    assert evaluation.top1 == 1.0 and (run / "pictures" / "first-batch.png").exists()
    preprocessing = Run(run).preprocessing()
    assert len(preprocessing.mean) == channels and preprocessing.mean[-1] == pytest.approx(125 / 255, abs=0.01)
    assert preprocessing.std[-1] == pytest.approx(95 / 255, abs=0.01)
    assert cs.evaluate(run, data, quiet=True, pictures=tmp_path / "drawn").top1 == 1.0
    assert cs.read_header(run / "weights.safetensors").preprocessing == preprocessing
    files = [data / name / f"3.{suffix}" for name in ("dry", "green")]
    given: list[Any] = [picture(channels, label, 3) for label in range(2)]
    for images in (files, given, [file.read_bytes() for file in files]):
        assert [one.classes[0][0] for one in cs.predict(run, images, quiet=True)] == ["dry", "green"]
    assert len(cs.predict(run, data, quiet=True)) == 24
    finer = cs.train(network(channels), data, RECIPE, tmp_path / "finer", quiet=True, weights=str(run))[0]
    assert finer.preprocessing() == preprocessing


@pytest.mark.long
def test_killed_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", 4, "npy")
    whole, run = tmp_path / "whole", tmp_path / "run"
    cs.train(network(4), data, RECIPE, whole, quiet=True, pictures=False)

    def work() -> None:
        cs.train(network(4), data, RECIPE, run, quiet=True, pictures=False, workers=2, checkpoint_seconds=0)

    assert forked(killing_itself("after", 2, work)) == -signal.SIGKILL
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole) and same_weights(run, whole)


@pytest.mark.parametrize(
    ("images", "suffix", "channels"), [(4, "npy", 3), (4, "npy", 5), (2, "npy", 3), (4, "tif", 5), (3, "npy", 4)]
)
def test_other_channels_are_refused_at_once(images: int, suffix: str, channels: int, tmp_path: Path) -> None:
    data = pictures(tmp_path / "data", images, suffix, each=5)
    with pytest.raises(DataError, match=f"[.]{suffix}: {images} channels, the network has {channels}") as raised:
        cs.train(network(channels), data, RECIPE, tmp_path / "run", quiet=True)
    assert f"input_channels = {images}" in str(raised.value.hint) and not (tmp_path / "run").exists()


def test_one_image_of_other_channels_is_like_any_that_cannot_be_read(tmp_path: Path) -> None:
    data, run = pictures(tmp_path / "data", 4, "npy", each=40), tmp_path / "run"
    np.save(data / "dry" / "11.npy", picture(3, 0, 0))
    dataset = cs.open_dataset(data)
    first = cs.FileImages([data / "dry" / f"{index}.npy" for index in range(10)], np.arange(10) % 2)
    recipe = replace(RECIPE, epochs=1, max_unreadable=0.5)
    job = make_job(network(4), replace(dataset, train=first, test=first), recipe, Run(run), cs.Settings(), quiet=True)
    assert job.preprocessing.channels == 4
    prediction = cs.predict(_trained(network(4), replace(dataset, train=first, test=first), run), data / "dry",
                            on_unreadable="keep", quiet=True)  # fmt: skip
    errors = [one.error for one in prediction if one.error]
    assert errors == ["3 channels, the network has 4"] and len(prediction) == 40


def _trained(net: cs.ConvNet, data: cs.Dataset, run: Path) -> Path:
    cs.train(net, data, replace(RECIPE, epochs=1), run, quiet=True, pictures=False)
    return run


def test_a_policy_of_colours_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = pictures(tmp_path / "data", 4, "npy", each=5)
    recipe = replace(RECIPE, epochs=1, augmentation=Augmentation(policy="autoaugment", flip=True))
    run = cs.train(network(4), data, recipe, tmp_path / "run", pictures=False)[0]
    assert "augmentation.policy autoaugment left out: it is made for grey and RGB" in capsys.readouterr().err
    assert run.recipe().augmentation == Augmentation(flip=True)


@pytest.mark.long
def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """16 bits of which few are used, with a range; the network as a table; a plan that fits the images."""
    data, run = pictures(tmp_path / "data", 4, "npy", np.uint16), tmp_path / "run"
    write_toml(tmp_path / "four.toml", to_table(network(4)))
    words = ["train", str(tmp_path / "four.toml"), "--data", str(data), "--epochs", "2", "--batch", "8"]
    assert cli_main.run([*words, "-o", str(tmp_path / "blind")]) == 0
    assert "may be rounded away; --range 0,255" in capsys.readouterr().err
    assert cli_main.run([*words, "--range", "0,255", "-o", str(run)]) == 0
    assert "rounded away" not in capsys.readouterr().err
    assert Run(run).preprocessing().mean[-1] == pytest.approx(125 / 255, abs=0.01)
    assert cli_main.run(["eval", str(run), "--data", str(data), "--json"]) == 0
    assert cli_main.run(["predict", str(run), str(data), "--json"]) == 0
    assert cli_main.run(["data", "check", str(data), "--json"]) in (0, 1)
    assert cli_main.run(["train", "small-mbconv", "--data", str(data), "-o", str(tmp_path / "x")]) == 2
    assert "4 channels, the network has 3" in capsys.readouterr().err and not (tmp_path / "x").exists()
    assert cli_main.run(["fit", str(data), "--macs", "0.3M", "--epochs", "1", "--range", "0,255",
                         "-o", str(tmp_path / "fit")]) == 0  # fmt: skip
    assert "images of 4 channels" in capsys.readouterr().err
    assert Run(tmp_path / "fit").network().input_channels == 4


def test_grey_and_rgb_stay_as_they_are(tmp_path: Path) -> None:
    """Arrays of three channels are RGB for a network of three, a fourth band of a TIFF is told and not read."""
    for images, suffix in ((3, "npy"), (4, "tif")):
        data = pictures(tmp_path / suffix, images, suffix, each=6)
        run = _trained(network(3), cs.open_dataset(data), tmp_path / f"run-{suffix}")
        assert Run(run).preprocessing().mean == IMAGENET_MEAN
        assert cs.evaluate(run, data, quiet=True).n > 0
