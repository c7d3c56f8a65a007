"""From the bytes of an image to the prediction: the same as `predict` makes of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.data.transforms import evaluation_view_of
from convscale.deploy.end_to_end import HEIGHT, WIDTH, picture_file, whole_way
from convscale.deploy.engines import open_engine
from convscale.preprocessing import default_preprocessing

RUN = Path(__file__).parents[1] / "fixtures" / "golden" / "v1" / "run"


def test_the_whole_way_predicts_what_predict_does() -> None:
    model = cs.load(RUN)
    digits = cs.open_dataset("digits").test
    files = []
    for index in range(12):
        file = io.BytesIO()
        digits.image(index).save(file, "PNG")
        files.append(file.getvalue())
    assert model.preprocessing is not None
    classes = whole_way(open_engine("eager", model), model.preprocessing, files)()
    predicted = [one.classes[0][0] for one in cs.predict(RUN, files, quiet=True)]
    assert [model.classes[index] for index in classes] == predicted and len(set(predicted)) > 3


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_the_picture_is_an_image_of_its_channels_and_always_the_same(channels: int) -> None:
    content = picture_file(channels)
    assert content == picture_file(channels)
    view = evaluation_view_of(content, "the picture", default_preprocessing(128, channels))
    assert view.shape == (channels, 128, 128) and view.std() > 20, "it is not one colour"
    if channels != 5:
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (WIDTH, HEIGHT) and image.format == "JPEG"
        assert 20_000 < len(content) < 200_000


def test_decoding_and_preprocessing_are_part_of_what_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def counting(content: bytes, name: str, preprocessing: Any) -> Any:
        decoded.append(name)
        return evaluation_view_of(content, name, preprocessing)

    monkeypatch.setattr("convscale.deploy.end_to_end.evaluation_view_of", counting)
    found = cs.bench_networks(
        "tiny-mbconv", batch=3, end_to_end=True, seconds=0.01, least=2, memory=False, quiet=True
    )  # fmt: skip
    assert found.measured == "images" and len(decoded) >= 3 * found.rows[0].n
    assert np.isfinite(found.rows[0].median_ms)
