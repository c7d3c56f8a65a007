"""Converted weights reach the accuracy measured for them, on real images; skipped without CONVSCALE_TEST_DATA."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import convscale as cs
from convscale.data import open_images
from convscale.dialects import Choices
from convscale.dialects.conversion import imagenet_classes

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def mobilenet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MobileNetV2 in timm's dialect, but padded and normed as TensorFlow does."""
    file = tmp_path_factory.mktemp("weights") / "mobilenet.safetensors"
    choices = Choices(padding="same", norm_eps=1e-3, mean=(0.5,) * 3, std=(0.5,) * 3)
    cs.convert(real_data / "weights/mobilenetv2_100_imagenet1k.safetensors", file, choices=choices)
    return file


@pytest.mark.long
def test_mobilenet_on_validation_images(mobilenet: Path, real_data: Path) -> None:
    """67.8 and 89.0 % of 500 images that are 224 px already."""
    images = real_data / "imagenette144/ilsvrc_val500_224.parquet"
    found = cs.evaluate(mobilenet, images, label_column="imagenet_index", crop=1.0, quiet=True)
    assert found.n == 500
    assert found.top1 == pytest.approx(0.678, abs=0.003) and found.top5 == pytest.approx(0.890, abs=0.003)


@pytest.mark.skipif(not os.environ.get("CONVSCALE_FAULTS"), reason="`make faults`: a thousand images")
def test_mobilenet_on_one_image_a_class(mobilenet: Path, real_data: Path) -> None:
    """88.6 and 98.0 % of 1,000 images, resized to 256 and cut to 224."""
    found = cs.evaluate(mobilenet, real_data / "imagenet-samples", label_column="index", quiet=True)
    assert found.n == 1000 and len(found.per_class) == 1000
    assert found.top1 == pytest.approx(0.886, abs=0.003) and found.top5 == pytest.approx(0.980, abs=0.003)


@pytest.mark.long
def test_a_linear_probe_on_the_features_of_lite0(tmp_path: Path, real_data: Path) -> None:
    """Five-fold, ten classes."""
    trunk = real_data / "weights/efficientnet_lite0_imagenet_trunk.safetensors"
    std = (128 / 255,) * 3
    choices = Choices(network="tf_efficientnet_lite0", mean=(127 / 255,) * 3, std=std, crop=1.0)
    done = cs.convert(trunk, tmp_path / "lite0.safetensors", choices=choices)
    assert len(done.missing) == 2
    images, classes = open_images(real_data / "imagenette144/ilsvrc_val500_224.parquet")
    features = cs.features(tmp_path / "lite0.safetensors", images).numpy()
    assert features.shape == (500, 1280) and len(classes) == 10
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert np.mean(cross_val_score(probe, features, images.labels, cv=folds)) >= 0.95


def test_class_names_are_imagenets(real_data: Path) -> None:
    labels = (real_data / "imagenet-samples/labels.csv").read_text().splitlines()[1:]
    rows = [line.split(",") for line in labels]
    expected = {int(row[2]): f"{row[1]} {row[3].replace('_', ' ')}" for row in rows}
    assert imagenet_classes() == tuple(expected[index] for index in range(1000))
