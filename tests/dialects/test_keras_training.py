"""Files of Keras models that were compiled and trained, and of models with a head of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.catalog import write_network
from convscale.dialects.layout import recognise
from convscale.dialects.matching import fit
from convscale.dialects.reading import Foreign, read_foreign
from convscale.errors import RunError
from convscale.scaling import Scaling
from tests.dialects.trainers import State

# Keras warns that .h5 is of the past.
pytestmark = pytest.mark.filterwarnings("ignore")

SUFFIXES = (".keras", ".h5", ".weights.h5")


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ["KERAS_BACKEND"] = "torch"
    pytest.importorskip("h5py")
    return pytest.importorskip("keras")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A quarter of B0: seven blocks."""
    file = tmp_path_factory.mktemp("network") / "quarter.toml"
    write_network(cs.scale(cs.network("efficientnet-b0"), Scaling(depth=0.25, width=0.25)), file)
    return str(file)


@pytest.fixture(scope="module")
def build(keras: Any) -> Callable[..., Any]:
    """Keras's own network of it."""
    make = import_module("keras.src.applications.efficientnet").EfficientNet
    return partial(
        make, 0.25, 0.25, 32, weights=None, weights_name="", pooling="avg", input_shape=(32, 32, 3), name="efficientnet"
    )


@pytest.fixture(scope="module")
def flat(build: Callable[..., Any]) -> Any:
    return build(classes=3)


@pytest.fixture(scope="module")
def trunk(build: Callable[..., Any]) -> Any:
    return build(include_top=False)


def saved(model: Any, file: Path) -> Path:
    (model.save_weights if file.name.endswith(".weights.h5") else model.save)(file)
    return file


def ours(foreign: Foreign, network: str) -> State:
    """The network's tensors under our names."""
    return fit(recognise(foreign.tensors, "file"), foreign, network).state()


def of_keras(model: Any) -> State:
    """The variables of layers by their own names, as .h5 has them."""
    found = {}
    for layer in model.layers:
        for variable in layer.weights:
            name = "depthwise_kernel" if "dwconv" in layer.name and variable.name == "kernel" else variable.name
            layer_name = re.sub(
                r"^normalization_\d+$", "normalization", layer.name
            )  # numbered from the second model on
            found[f"{layer_name}/{name}"] = torch.from_numpy(np.array(variable.numpy()))
    return found


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop"])
def test_an_optimizer_in_the_file_is_left_out(
    tmp_path: Path, keras: Any, flat: Any, network: str, optimizer: str
) -> None:
    flat.compile(getattr(keras.optimizers, optimizer)(1e-3), "categorical_crossentropy")
    flat.optimizer.build(flat.trainable_variables)  # as fit does first
    for suffix in SUFFIXES if optimizer == "Adam" else (".h5",):
        foreign = read_foreign(saved(flat, tmp_path / f"trained{suffix}"))
        found, expected = ours(foreign, network), of_keras(flat)
        assert torch.equal(found["head.classifier.linear.weight"], expected["predictions/kernel"].T)
        assert torch.equal(found["head.conv.norm.running_mean"], expected["top_bn/moving_mean"])
        assert foreign.averages is None
        if suffix == ".h5":
            assert all(torch.equal(foreign.tensors[name], value) for name, value in expected.items() if value.ndim)


def test_averages_of_an_optimizer(tmp_path: Path, keras: Any, flat: Any, network: str) -> None:
    """Adam(use_ema=True) keeps them beside the weights until fit ends: by name in .h5, by number elsewhere."""
    optimizer, raw = keras.optimizers.Adam(use_ema=True), of_keras(flat)
    flat.compile(optimizer, "categorical_crossentropy")
    foreign = read_foreign(saved(flat, tmp_path / "ema.keras"))  # first: saving .h5 has Keras forget the optimizer
    assert foreign.averages is None and "use_ema" in foreign.notes[0]
    assert torch.equal(ours(foreign, network)["stem.conv.conv.weight"], raw["stem_conv/kernel"].permute(3, 2, 0, 1))
    optimizer.build(flat.trainable_variables)
    foreign = read_foreign(saved(flat, tmp_path / "fresh.h5"))
    assert foreign.averages is None and torch.equal(foreign.tensors["stem_conv/kernel"], raw["stem_conv/kernel"])
    for variable, average in zip(flat.trainable_variables, optimizer._model_variables_moving_average, strict=True):
        average.assign(variable * 0.5)
    foreign = read_foreign(saved(flat, tmp_path / "ema.h5"))
    assert foreign.averages == f"optimizer_weights/{optimizer.name}"
    assert f"used for {len(flat.trainable_variables)} of" in foreign.notes[0]
    for name, value in raw.items():
        factor = 1 if name.split("/")[1] in ("moving_mean", "moving_variance", "mean", "variance", "count") else 0.5
        assert value.ndim == 0 or torch.equal(foreign.tensors[name], value * factor)


@pytest.mark.parametrize("head", ["Sequential", "functional, of another name"])
def test_a_head_on_a_nested_trunk(tmp_path: Path, keras: Any, trunk: Any, network: str, head: str) -> None:
    """A single Dense layer is the classifier, whatever it is called, in all formats."""
    layers = keras.layers
    if head == "Sequential":
        model = keras.Sequential([layers.Input((32, 32, 3)), trunk, layers.Dense(4, activation="softmax")])
    else:
        images = layers.Input((32, 32, 3))
        model = keras.Model(images, layers.Dense(4, name="species")(layers.Dropout(0.2)(trunk(images))))
    model.compile("adam", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    kernel = torch.from_numpy(np.array(model.layers[-1].kernel.numpy()))
    stem = of_keras(trunk)["stem_conv/kernel"]
    for suffix in SUFFIXES:
        found = ours(read_foreign(saved(model, tmp_path / f"nested{suffix}")), network)
        assert torch.equal(found["head.classifier.linear.weight"], kernel.T)
        assert torch.equal(found["stem.conv.conv.weight"], stem.permute(3, 2, 0, 1))


def test_a_head_of_several_layers_is_no_classifier(tmp_path: Path, keras: Any, trunk: Any, network: str) -> None:
    layers = keras.layers
    model = keras.Sequential([layers.Input((32, 32, 3)), trunk, layers.Dense(8), layers.Dense(4)])
    for suffix in (".h5", ".keras"):
        foreign = read_foreign(saved(model, tmp_path / f"nested{suffix}"))
        with pytest.raises(RunError, match="do not fit; .*dense"):
            ours(foreign, network)
