"""Published weights are a word away, and a fit that would gain from them says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.data import Dataset
from convscale.data.images import Subset
from convscale.dialects import find_weights_file, get_weights
from convscale.dialects.hub_weights import cache_folder, find_weights
from convscale.errors import RunError, UnknownNameError
from convscale.fitting import plan_fit
from convscale.fitting.advice import advise, suitable_weights
from convscale.headers import WeightsHeader
from convscale.nn import build, save_weights
from convscale.preprocessing import default_preprocessing
from tests.cli.calling import run, run_json

NAME = "mobilenetv3_small_100.lamb_in1k"


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing can be fetched, and what is kept of published weights is in a folder of its own."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


@pytest.fixture
def kept(offline: Path) -> Path:
    """Weights that were fetched before: a file like the one that `get_weights` keeps."""
    network = replace(cs.network("mobilenet-v3-small"), resolution=64)
    header = WeightsHeader(network, default_preprocessing(64, 3), tuple(f"class {i}" for i in range(1000)))
    path = cache_folder() / f"{NAME}.safetensors"
    path.parent.mkdir(parents=True)
    save_weights(path, build(network, seed=1), header)
    return path


def photos(folder: Path, side: int, count: int = 4) -> Path:
    """Noise of two classes."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 256, (side, side + 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


# Names


def test_weights_are_files_runs_and_names(kept: Path, tmp_path: Path) -> None:
    assert find_weights_file(kept) == find_weights_file(str(kept)) == kept == find_weights_file(NAME)
    (tmp_path / "folder").mkdir()
    assert find_weights_file(tmp_path / "folder") == tmp_path / "folder"
    for missing in ("runs/none", str(tmp_path / "x"), "weights.safetensors", "model.pth"):
        with pytest.raises(RunError, match="no such run folder or weights file"):
            find_weights_file(missing)
    with pytest.raises(UnknownNameError, match=r"unknown weights 'tf_efficientnet_b0.in1'.*did you mean"):
        find_weights_file("tf_efficientnet_b0.in1")
    with pytest.raises(UnknownNameError, match="name a run, a weights file, or weights from: convscale weights list"):
        find_weights_file("zzzzzz")


def test_a_fit_by_the_name_of_weights(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = photos(tmp_path / "photos", 40)
    quick = ("--weights", NAME, "--recipe", "linear-probe", "--search", "off", "--set", "optimizer.max_iterations=2")
    found = run_json(capsys, "fit", data, "--macs", "1G", *quick, "-o", tmp_path / "run")
    assert found["baseline"] == "mobilenet-v3-small" and found["reason"] == "the network of its weights"
    assert cs.open_run(tmp_path / "run").settings().weights == str(kept)
    assert run(capsys, "train", kept, "--data", data, *quick, "--no-pictures", "-o", tmp_path / "trained")[0] == 0
    assert cs.open_run(tmp_path / "trained").settings().weights == str(kept)
    called, _ = cs.train(
        kept, data, "linear-probe", tmp_path / "called", set=["optimizer.max_iterations=2", "search={}"], weights=NAME,
        quiet=True, pictures=False,
    )  # fmt: skip
    assert called.settings().weights == str(kept) and called.settings().weights_sha256


def test_offline_all_end_with_one_message(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RunError) as caught:
        get_weights(NAME)
    assert f"https://huggingface.co/timm/{NAME}/resolve/main/model.safetensors" in caught.value.hint
    capsys.readouterr()
    data = photos(offline / "photos", 40)
    for command in (
        ("weights", "get", NAME),
        ("fit", data, "--macs", "20M", "--weights", NAME, "-o", offline / "run"),
        ("fit", data, "--macs", "20M", "--weights", NAME, "--dry-run"),
        ("train", "mobilenet-v3-small", "--data", data, "--weights", NAME, "-o", offline / "run"),
    ):
        code, out, err = run(capsys, *command)
        assert (code, out) == (2, "")
        note, error, hint = err.splitlines()
        assert note == f"note: fetching timm/{NAME} from the Hugging Face hub"
        assert error == f"error: {caught.value.message}" and hint == f"hint: {caught.value.hint}"
    assert not (offline / "run").exists()


@pytest.mark.parametrize("command", ["fit", "train"])
def test_a_typo_gives_suggestions(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = {"fit": ("fit", "digits", "--macs", "1M"), "train": ("train", "small-resnet", "--data", "digits")}
    code, _, err = run(capsys, *words[command], "--weights", "tf_efficientnet_b0.in1", "-o", tmp_path / "run")
    assert code == 2 and "unknown weights 'tf_efficientnet_b0.in1'" in err and "'tf_efficientnet_b0.in1k'" in err


# Advice


def test_few_photos_from_random_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = photos(tmp_path / "photos", 64)
    (note,) = plan_fit(data, cs.Budget(macs="3M"), baseline="small-resnet").notes
    assert note.startswith("6 photos are few for training from random weights")
    assert "3,068 photos of clothes: 40 %" in note and "83 %" in note
    assert f"add --weights {NAME}, and --recipe linear-probe" in note
    code, _, err = run(capsys, "fit", data, "--macs", "3M", "--baseline", "small-resnet", "--dry-run")
    assert code == 0 and "photos are few" in err


def test_what_needs_no_advice(tmp_path: Path) -> None:
    small = photos(tmp_path / "small", 63)
    assert plan_fit(small, cs.Budget(macs="3M"), baseline="small-resnet").notes == ()
    assert plan_fit("digits", cs.Budget(macs="1M")).notes == ()
    planned = plan_fit(photos(tmp_path / "large", 64), cs.Budget(macs="3M"), baseline="small-resnet")
    assert planned.notes

    def notes(images: int) -> list[str]:
        data: Dataset = replace(planned.dataset, train=Subset(planned.dataset.train, np.zeros(images, dtype=np.int64)))
        return advise(data, planned.plan, planned.recipe, limited=False)

    assert notes(19_999) and not notes(20_000)
    probe = replace(planned.recipe, trainable="head")
    assert advise(planned.dataset, planned.plan, probe, limited=False) == [], "the training says that it needs weights"


def test_fewer_pixels_than_the_weights_had(tmp_path: Path, capsys: pytest.CaptureFixture[str], kept: Path) -> None:
    data = cs.open_dataset("digits")
    network = cs.network("mobilenet-v2").with_classes(10)

    def notes(macs: str, *, limited: bool = False) -> list[str]:
        return advise(
            data, cs.plan_resolution(network, cs.Budget(macs=macs)), cs.recipe("finetune"), limited=limited
        )  # fmt: skip

    (note,) = notes("20M")
    assert note.startswith("the budget leaves 48 of the 224 px that these weights were trained for: accuracy will drop")
    assert "95 % at 144 px" in note and "73 % at 48 px" in note and "a budget of macs 300M keeps them all" in note
    assert "a smaller network loses fewer: --weights mobilenetv3_small" in note
    assert notes("1G") == [] and notes("20M", limited=True) == []
    two = cs.plan_resolution(network, cs.Budget(macs="150M", activations="2M"))
    assert (
        "a budget of macs 300M, activations 6.68M keeps" in advise(data, two, cs.recipe("finetune"), limited=False)[0]
    )
    code, _, err = run(
        capsys, "fit", photos(tmp_path / "photos", 40), "--macs", "3M", "--weights", kept, "--dry-run", "--seed", "1"
    )  # fmt: skip
    assert code == 0 and " of the 64 px that these weights were trained for" in err


def test_suitable_weights_keep_the_budget() -> None:
    def figures(budget: cs.Budget) -> cs.Cost:
        row = find_weights(suitable_weights(budget, 10))
        return cs.cost(row.apply_to(cs.network(row.network).with_classes(10)))

    assert suitable_weights(cs.Budget(macs="1M"), 10) == NAME, "the smallest, where none does"
    assert 200e6 < figures(cs.Budget(macs="250M")).macs <= 250e6
    assert figures(cs.Budget(macs="1G", params="4M")).params <= 4e6
