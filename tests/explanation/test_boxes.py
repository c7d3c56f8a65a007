"""Maps against boxes: measures worked out by hand, and a map that knows beside a blob that does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import convscale as cs
from convscale.errors import ConfigError
from convscale.explanation.boxes import Box, BoxTally, measure, overlap, read_boxes
from convscale.explanation.controls import centred_blob
from convscale.explanation.explained import Explanation
from convscale.explanation.placing import MapAxis
from convscale.records import read_record
from tests.cli.calling import run, run_json
from tests.explanation.test_explain_command import net, photos

__all__ = ["net", "photos"]

HEADER = "row,name,left,top,right,bottom\n"


def test_measures_by_hand() -> None:
    placed = np.zeros((10, 10), dtype=np.float32)
    placed[2:4, 2:6] = 1.0  # 8 points
    placed[8, 8] = 2.0
    placed[0, 0] = -5.0  # has no energy
    box = Box(0.2, 0.2, 0.6, 0.6)
    found = measure(placed, [box])
    assert found.energy == pytest.approx(8 / 10 - 0.16) and found.pointing == 0.0
    assert measure(placed, [box, Box(0.8, 0.8, 0.9, 0.9)]).pointing == 1.0
    # above the threshold where -5..2 becomes 0..1, the part of 8 points is found until 6/7; the box around it is half
    assert found.hits.sum() > 0 and measure(placed, [Box(0.7, 0.7, 0.9, 0.9)]).hits[-1] == 0.0
    assert overlap(box, box) == 1 and overlap(box, Box(0.6, 0.6, 1, 1)) == 0
    assert overlap(Box(0, 0, 1, 1), Box(0, 0, 0.5, 1)) == pytest.approx(0.5)
    flat = measure(np.zeros((10, 10), dtype=np.float32), [box])
    assert flat.energy == 0 and not flat.hits.any()


def explanation(image: str, cells: NDArray[np.float32]) -> Explanation:
    axis = MapAxis(4.5, 10, len(cells), 10 * len(cells))
    return Explanation(
        image,
        "thing",
        1.0,
        1.0,
        "cam",
        cells,
        None,
        axis,
        axis,
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
    )


def planted(knows: bool, count: int = 20) -> BoxTally:
    """Images with a box of a quarter's sides somewhere, and maps that are bright there or anywhere."""
    generator = np.random.default_rng(3)
    boxes, maps = {}, []
    for index in range(count):
        top, left = generator.integers(0, 8, 2)
        boxes[f"{index}.JPEG"] = [Box(left / 10, top / 10, left / 10 + 0.3, top / 10 + 0.3)]
        cells = generator.random((10, 10)).astype(np.float32) * 0.1
        if not knows:
            top, left = generator.integers(0, 8, 2)
        cells[top : top + 3, left : left + 3] += 1
        maps.append(explanation(f"photos/{index}.png", cells))  # named without its ending
    tally = BoxTally(boxes)
    for one in [*maps, replace(maps[0], image="without.png")]:
        tally.add(one)
    return tally


def test_a_map_that_knows_beats_the_blob_and_one_that_does_not_does_not() -> None:
    found = planted(knows=True).result()
    assert found.n == 20 and found.pointing == 1 and found.box_accuracy > 0.9 and found.energy_minus_area > 0.3
    assert {one.verdict for one in found.differences} == {"better"} and found.blob.pointing < 0.5
    guessed = planted(knows=False).result()
    assert {one.verdict for one in guessed.differences} <= {"no better", "worse"}
    assert all(one.in_words().endswith("than a centred blob") for one in guessed.differences)
    single = planted(knows=True, count=1).result()
    assert {one.in_words() for one in single.differences} == {"cannot tell"}


def test_the_blob_is_in_the_middle() -> None:
    blob = centred_blob(40, 60)
    assert blob.shape == (40, 60) and np.array_equal(blob, blob[::-1, ::-1])
    assert blob[:, 29].argmax() in (19, 20) and blob[0, 0] < 0.05


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,left\na,1\n", "no column top, right, bottom"),
        (HEADER + "0,a.png,0,0,1,x\n", "line 2: not four numbers"),
        (HEADER + "0,a.png,0,0,1,1\n0,a.png,0.5,0,0.5,1\n", "line 3: .* is no box"),
        (HEADER + "0,a.png,10,20,110,220\n", "is no box"),
        (HEADER + "0,a.png,0,0,1\n", "not four numbers"),
    ],
)
def test_files_of_boxes_that_are_wrong(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_boxes(tmp_path / "boxes.csv")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_boxes(tmp_path / "gone.csv")


def test_explain_with_boxes(net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "boxes.csv"
    file.write_text(HEADER + "0,a.JPEG,0.1,0.2,0.9,0.8\n0,a.JPEG,0,0,0.2,0.2\n1,b c.png,0,0,1,1\n")
    found = run_json(capsys, "explain", net, photos, "--boxes", file, "-o", tmp_path / "out")["boxes"]
    assert found["n"] == 2 and set(found["blob"]) == {"energy_minus_area", "pointing", "box_accuracy", "threshold"}
    assert -1 <= found["energy_minus_area"] <= 1 and 0 <= found["box_accuracy"] <= 1
    assert [one["measure"] for one in found["differences"]] == ["energy_minus_area", "pointing", "box_accuracy"]
    assert read_record(tmp_path / "out").boxes.n == 2
    code, out, _ = run(capsys, "explain", net, photos, "--boxes", file, "-o", tmp_path / "out")
    assert code == 0 and "2 images with boxes" in out and "no better than a centred blob" in out
    file.write_text(HEADER + "0,other.png,0,0,1,1\n")
    code, _, err = run(capsys, "explain", net, photos, "--boxes", file, "-o", tmp_path / "new")
    assert code == 2 and "no image has a box" in err and not (tmp_path / "new").exists()
    assert "boxes" not in run_json(capsys, "explain", net, photos, "-o", tmp_path / "out")


def test_the_energy_of_a_whole_image_is_none(net: Path, photos: Path) -> None:
    tally = BoxTally({"a.png": [Box(0, 0, 1, 1)]})
    for one in cs.explain(net, photos):
        tally.add(one)
    found = tally.result()
    assert found.n == 1 and found.energy_minus_area == pytest.approx(0) and found.pointing == 1
