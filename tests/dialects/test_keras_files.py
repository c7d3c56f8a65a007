"""A whole Keras model says its input's size and has its normalisation inside: both are taken."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convscale.data.loader import Normalise
from convscale.dialects import convert
from convscale.dialects.keras_files import in_model
from convscale.dialects.reading import read_foreign
from convscale.dialects.statements import Size
from convscale.nn import load_weights
from tests.dialects.foreign_weights import CLOSE

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    pytest.importorskip("h5py")
    return pytest.importorskip("keras")


@pytest.mark.long
def test_grey_is_normalised_as_the_model_does(tmp_path: Path, keras: Any) -> None:
    """At the size of its own input."""
    keras.utils.clear_session()
    theirs = keras.applications.EfficientNetB0(
        weights=None, classes=2, input_shape=(64, 64, 1), classifier_activation=None
    )
    inside = next(layer for layer in theirs.layers if type(layer).__name__ == "Normalization")
    theirs.save(tmp_path / "untrained.h5")
    inside.set_weights([np.array([0.3]), np.array([0.04]), np.array(0)])
    theirs.save(tmp_path / "grey.keras")
    for name, mean, std in (("untrained.h5", 0.0, 1.0), ("grey.keras", 0.3, 0.2)):
        done = convert(tmp_path / name, tmp_path / "ours.safetensors")
        ours, header = load_weights(tmp_path / "ours.safetensors")
        look = header.preprocessing
        assert look.mean == pytest.approx((mean,)) and look.std == pytest.approx((std,))
        assert (look.size, look.crop) == (64, 1.0)
        assert done.taken_from["mean"] == done.taken_from["std"] == "the Keras model's own normalisation"
        assert done.taken_from["size"] == "the Keras model's input" and done.taken_from["crop"] == "usual at 64 px"
    pixels = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = theirs(pixels.permute(0, 2, 3, 1).float()).cpu()
        found = ours(Normalise(look, torch.device("cpu"))(pixels))
    assert float((expected - found).abs().max() / expected.abs().max()) < CLOSE


def said(keras: Any, file: Path, shape: tuple[int | None, ...], *layers: Any) -> tuple[Size | None, tuple[str, ...]]:
    """What a saved model of a few layers says."""
    inner = keras.Sequential([keras.layers.Input(shape), *layers, keras.layers.Conv2D(1, 1)])
    keras.Sequential([inner, keras.layers.GlobalAveragePooling2D()]).save(file)
    found = in_model(file)
    assert found is not None
    return found.size, found.notes


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_the_size_is_that_of_the_models_input(tmp_path: Path, keras: Any, suffix: str) -> None:
    file, layers = tmp_path / f"net{suffix}", keras.layers
    assert said(keras, file, (64, 64, 3)) == (64, ())
    assert said(keras, file, (None, None, 3)) == (None, ())
    assert said(keras, file, (None, None, 3), layers.Resizing(48, 48))[0] == 48
    assert said(keras, file, (96, 96, 1), layers.Rescaling(1 / 255)) == (96, ())
    _, notes = said(keras, file, (96, 96, 1), layers.Rescaling(1 / 255), layers.Rescaling(1 / 127.5, offset=-1))
    assert "rescales its input 2 times" in notes[0]
    assert said(keras, file, (64, 96, 3)) == ((64, 96), ())


def test_files_without_a_model_say_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * 30_000_000)
    with zipfile.ZipFile(tmp_path / "deep.keras", "w") as archive:
        archive.writestr("config.json", '{"config":{"layers":[' * 5000)
    assert in_model(tmp_path / "bomb.keras") is in_model(tmp_path / "deep.keras") is None
    for name, content in (("a.keras", b"no zip"), ("b.h5", b"no HDF5"), ("c.pth", b"")):
        (tmp_path / name).write_bytes(content)
        assert in_model(tmp_path / name) is None
    assert in_model(tmp_path / "absent.keras") is None


def test_an_optimizers_numbered_variables_are_reported(tmp_path: Path) -> None:
    """As save_weights leaves them in the middle of a training: averages among them cannot be told from moments."""
    h5py = pytest.importorskip("h5py")
    for moments in (False, True):
        with h5py.File(tmp_path / "net.weights.h5", "w") as file:
            file["layers/conv2d/vars/0"] = np.ones((3, 3, 3, 8), np.float32)
            file["optimizer/vars/1"] = np.float32(0.1)
            if moments:
                file["optimizer/vars/2"] = np.ones((3, 3, 3, 8), np.float32)
        notes = " ".join(read_foreign(tmp_path / "net.weights.h5").notes)
        assert ("if it keeps averages (use_ema), they are ignored" in notes) == moments
