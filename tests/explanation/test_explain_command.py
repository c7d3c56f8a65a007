"""`convscale explain`: what it prints, what it keeps, and how it refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.cli.explain import METHOD_NAMES
from convscale.explanation import METHODS
from convscale.files import write_json
from convscale.locks import lock
from convscale.records import Explanations, read_record
from tests.cli.calling import run, run_json
from tests.explanation.planted import small
from tests.images import bomb


def weights(file: Path, name: str, size: int = 32) -> Path:
    model = small(name, size)
    assert model.preprocessing is not None
    cs.save_weights(file, model, cs.WeightsHeader(model.network, model.preprocessing, model.classes))
    return file


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, as far as it takes to explain with it."""
    folder = tmp_path_factory.mktemp("run")
    weights(folder / "weights.safetensors", "small-mbconv")
    write_json(folder / "environment.json", {"format_version": 2})
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, (name, shape) in enumerate({"a.png": (30, 50, 3), "b c.png": (300, 200, 3), "ü.png": (8, 8)}.items()):
        pixels = np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_the_methods_of_the_command_are_those_there_are() -> None:
    assert tuple(METHODS) == METHOD_NAMES


def test_json_and_what_is_kept(net: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "explain", net, photos)
    assert list(found) == ["network", "method", "images", "unreadable"] and found["method"] == "cam"
    first = found["images"][0]
    assert list(first) == ["image", "class", "probability", "map_shape", "cam_sum", "logit", "picture"]
    assert all(one["cam_sum"] == pytest.approx(one["logit"], abs=1e-5) for one in found["images"])
    assert first["map_shape"] == [4, 4] and first["image"] == str(photos / "a.png")
    kept = read_record(net / "explanations")
    assert isinstance(kept, Explanations) and json.loads(json.dumps(kept.as_dict())) == found
    assert [one.picture for one in kept.images] == ["0001-a.webp", "0002-b_c.webp", "0003-ü.webp"]
    items = cs.explain(net, photos)
    for record, item in zip(kept.images, items, strict=True):
        np.testing.assert_allclose(np.array(record.cells, np.float32), item.map, rtol=1e-6)
        with Image.open(net / "explanations" / str(record.picture)) as picture:
            height, width = item.shown.shape[:2]
            panel = 224 * np.array([width, height]) / max(width, height)
            assert picture.format == "WEBP" and abs(picture.width - 3 * panel[0] - 24) <= 2
        assert (net / "explanations" / str(record.picture)).stat().st_size < 40_000


def test_pictures_show_the_image_and_where_the_map_is_high(net: Path, photos: Path, tmp_path: Path) -> None:
    (item,) = cs.explain(net, photos / "b c.png")
    item.draw(tmp_path / "one.webp")
    with Image.open(tmp_path / "one.webp") as picture:
        panels = np.asarray(picture.convert("L"), dtype=float)[-230:-6]
    width = (panels.shape[1] - 24) // 3
    shown = np.asarray(Image.fromarray(item.shown).convert("L").resize((width, 224)), dtype=float)
    placed = item.placed(224, width).clip(0)
    inside = np.s_[60:160, 10:-10]
    first, second = (panels[:, 6 + index * (width + 6) :][:, :width] for index in (0, 1))
    assert np.corrcoef(first[inside].ravel(), shown[inside].ravel())[0, 1] > 0.8
    assert np.corrcoef(second[inside].ravel(), placed[inside].ravel())[0, 1] > 0.95


def test_a_later_call_replaces_what_an_earlier_one_wrote(
    net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    for images in (photos, photos / "b c.png"):
        code, out, err = run(capsys, "explain", net, images, "-o", folder, "--class", "cat", "--method", "gradcam")
        assert code == 0 and "cat" in out and str(folder) in err
        (folder / "0009-mine.webp").touch()
    assert sorted(path.name for path in folder.iterdir()) == ["0001-b_c.webp", "0009-mine.webp", "explanations.json"]
    assert [one.class_name for one in read_record(folder).images] == ["cat"]
    (folder / "explanations.json").write_text("{")
    assert run(capsys, "explain", net, photos, "-o", folder)[0] == 0


def test_a_weights_file_has_its_folder_here(
    net: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "explain", net / "weights.safetensors", photos)[0] == 0
    assert len(list((tmp_path / "explanations" / "weights").iterdir())) == 4


def test_images_that_cannot_be_read_are_named(
    net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "0.png").write_bytes(bomb(30_000))
    (photos / "1.png").write_text("no image")
    code, out, err = run(capsys, "explain", net, photos, "-o", tmp_path / "out", "--json")
    found = json.loads(out)
    assert code == 1 and len(found["images"]) == 3 and "2 of 5 images cannot be read" in err
    assert "0.png: more than 89,000,000 pixels" in err and found["unreadable"][1]["reason"].startswith("not an image")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--class", "cta"], "did you mean 'cat'"),
        (["--method", "scorecam"], "'scorecam' is not one of"),
        (["-o", "photos/a.png"], "no folder can be made there"),
        (["nothing.png"], "nothing.png: no such image file"),
    ],
)
def test_what_is_wrong_is_said(
    words: list[str], says: str, net: Path, photos: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(photos.parent)
    images = [] if words[0].endswith("png") else ["photos"]
    code, out, err = run(capsys, "explain", net, *images, *words)
    assert code == 2 and says in err and not out and "Traceback" not in err


def test_networks_that_cannot_be_explained(
    net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = weights(tmp_path / "hidden.safetensors", "mobilenet-v3-small")
    code, _, err = run(capsys, "explain", file, photos, "--method", "cam", "-o", tmp_path / "out")
    assert code == 2 and "hidden layer" in err and "--method gradcam" in err
    assert run_json(capsys, "explain", file, photos, "-o", tmp_path / "out")["method"] == "gradcam"
    broken = tmp_path / "broken"
    broken.mkdir()
    assert "not a run folder" in run(capsys, "explain", broken, photos)[2]
    write_json(broken / "environment.json", {"format_version": 2})
    assert "its training did not finish" in run(capsys, "explain", broken, photos)[2]
    held = lock(broken / "lock")
    try:
        code, _, err = run(capsys, "explain", broken, photos)
    finally:
        os.close(held or 0)
    assert code == 2 and "is still being trained" in err
    (broken / "weights.safetensors").write_bytes((net / "weights.safetensors").read_bytes()[:5000])
    code, _, err = run(capsys, "explain", broken, photos)
    assert code == 2 and "not a safetensors file" in err
