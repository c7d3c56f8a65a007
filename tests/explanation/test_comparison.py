"""The same images under several networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.errors import ConfigError
from convscale.explanation import compare_explanations
from convscale.figures import Row, draw_comparison
from convscale.records import read_record
from tests.cli.calling import run, run_json
from tests.explanation.test_boxes import HEADER
from tests.explanation.test_explain_command import net, photos, weights

__all__ = ["net", "photos"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    sizes = {"small-resnet": 48, "tiny-mbconv": 32}
    return [weights(folder / f"{name}.safetensors", name, size) for name, size in sizes.items()]


def test_several_networks_on_the_same_images(
    net: Path, files: list[Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(HEADER + "0,a.png,0.1,0.2,0.9,0.8\n1,b c.png,0,0,0.5,1\n2,ü.png,0,0,0.5,0.5\n")
    words = ("--compare", net, files[0], "--boxes", boxes, "-o", tmp_path / "out", "--class", "cat", photos)
    found = run_json(capsys, "explain", *words)
    assert [one["network"] for one in found["networks"]] == [str(net), str(files[0])]
    assert [one["resolution"] for one in found["networks"]] == [32, 48]
    network = cs.network(files[0])
    assert found["networks"][1]["macs"] == cs.cost(network).macs and found["networks"][1]["boxes"]["n"] == 3
    alone = cs.explain(files[0], photos, class_name="cat")
    assert [one["logit"] for one in found["networks"][1]["images"]] == pytest.approx([one.logit for one in alone])
    assert found["networks"][1]["images"][0]["map_shape"] == list(alone[0].map.shape)
    for one in found["differences"]:
        means = [network["boxes"][one["measure"]] for network in found["networks"]]
        assert one["mean"] == pytest.approx(means[0] - means[1], abs=1e-9) and one["control"] == str(files[0])
    assert len(found["differences"]) == 3 and len(found["shown"]) == 3
    kept = read_record(tmp_path / "out")
    assert kept.networks[0].explanations.boxes.n == 3 and kept.picture == "comparison.webp"
    with Image.open(tmp_path / "out" / "comparison.webp") as picture:
        assert picture.width == 3 * 174 + 6
    code, out, _ = run(capsys, "explain", net, photos, "--compare", *words[1:3], *words[3:])
    assert code == 0 and "box accuracy" in out and "minus each other" in out


def test_one_scale_of_colours(tmp_path: Path) -> None:
    """Two maps of which one is half as high: its brightest place is as bright as the other's half."""
    ramp = np.tile(np.linspace(0, 1, 224, dtype=np.float32), (224, 1))
    image = np.full((224, 224), 128, dtype=np.uint8)
    draw_comparison([Row(image, [ramp, ramp / 2], ["a", "b"])], ["first", "second"], tmp_path / "x.webp", "cam")
    with Image.open(tmp_path / "x.webp") as picture:
        pixels = np.asarray(picture.convert("RGB"), dtype=float)[60:180]
    first, second = (pixels[:, 6 + column * 174 :][:, :168].mean(0) for column in (1, 2))
    assert np.abs(second[160] - first[80]).max() < 12 < np.abs(second[160] - first[160]).max()


def test_twelve_images_drawn_by_seed(files: list[Path], tmp_path: Path) -> None:
    many = [np.random.default_rng(index).integers(0, 256, (20, 20, 3), dtype=np.uint8) for index in range(15)]
    first, again, other = (
        compare_explanations(files, many, tmp_path / str(seed), seed=seed, quiet=True).shown for seed in (0, 0, 1)
    )
    assert first == again != other and len(set(first)) == 12 and not list(tmp_path.glob("*/0*.webp"))


def test_what_cannot_be_compared(
    net: Path, files: list[Path], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((net, photos), (net, files[0])):
        code, _, err = run(capsys, "explain", "--compare", *words)
        assert code == 2 and "at least two run folders or weights files, and images" in err
    with pytest.raises(ConfigError, match="1 network cannot be compared"):
        compare_explanations([net], photos)
    hidden = weights(tmp_path / "hidden.safetensors", "mobilenet-v3-small")
    found = run_json(capsys, "explain", "--compare", net, hidden, photos, "-o", tmp_path / "out")
    assert {one["method"] for one in found["networks"]} == {"gradcam"} and found["differences"] == []
    (photos / "broken.png").write_text("none")
    code, _, err = run(capsys, "explain", "--compare", net, hidden, photos, "-o", tmp_path / "out")
    assert code == 1 and "1 of 4 images cannot be read" in err
