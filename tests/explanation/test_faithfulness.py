"""Measures of faithfulness on networks whose evidence is known: they rank maps by what these know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import convscale as cs
from convscale.explanation.comparing import compared
from convscale.explanation.controls import BLOB, EDGES, RANDOM, UNTRAINED, centred_blob, edge_strength
from convscale.explanation.explaining import opened
from convscale.explanation.faithfulness import MEASURES, FaithfulTally, Scores, score
from convscale.explanation.imputing import impute
from convscale.explanation.placing import MapAxis
from convscale.nn import Model
from convscale.records import read_record
from tests.cli.calling import run, run_json
from tests.explanation.planted import BLOCKS, brightness, named, network
from tests.explanation.test_explain_command import net, photos

__all__ = ["net", "photos"]

SIZE, SIDE = 48, 12


def sees_red() -> Model:
    """Class "red" is as probable as much is strongly red, wherever that is: green and blue, and a little red, say
    nothing to it."""
    model = brightness(network(BLOCKS["mbconv"], "same", (2, 2)))
    with torch.no_grad():
        weights = dict(model.named_parameters())
        weights["stem.conv.conv.weight"][:] = torch.tensor([1 / 9, 0, 0]).view(1, 3, 1, 1)
        weights["stem.conv.norm.bias"].fill_(-0.7)
        dark, lit = (float(model.pooled(image).mean()) for image in scenes(2, lit=(False, True))[1])
        assert dark == 0 < lit
        weights["head.classifier.linear.weight"][:] = torch.tensor([0.0, 6 / lit / 4])[:, None]
        weights["head.classifier.linear.bias"][:] = torch.tensor([0.0, -3.0])
    return named(model, SIZE, ("none", "red"))


def scenes(
    count: int, lit: tuple[bool, ...] = (True,)
) -> tuple[NDArray[np.uint8], list[torch.Tensor], NDArray[np.float32]]:
    """Images (n, h, w, 3) with a red square somewhere near the border and a striped green one in the middle; the same
    as tensors; and where the red is."""
    generator = np.random.default_rng(5)
    images = generator.integers(0, 40, (count, SIZE, SIZE, 3)).astype(np.uint8)
    truth = np.zeros((count, SIZE, SIZE), dtype=np.float32)
    images[:, 18:30, 18:30:2, 1] = 255
    for index in range(count):
        top, left = (int(generator.choice([2, 34])) for _ in range(2))
        if lit[index % len(lit)]:
            images[index, top : top + SIDE, left : left + SIDE, 0] = 255
        truth[index, top : top + SIDE, left : left + SIDE] = 1
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in images]
    return images, tensors, truth


def scored(model: Model, tensors: list[torch.Tensor], maps: NDArray[np.float32]) -> list[Scores]:
    with torch.no_grad():
        return [
            score(model, image, placed, 1, np.random.default_rng(index))
            for index, (image, placed) in enumerate(zip(tensors, maps, strict=True))
        ]


def test_each_measure_ranks_maps_by_what_they_know() -> None:
    model, (images, tensors, truth) = sees_red(), scenes(12)
    with torch.no_grad():
        assert all(0.9 < model(image).softmax(1)[0, 1] < 0.99 for image in tensors)
    blob, decoy = (np.broadcast_to(one, truth.shape) for one in (centred_blob(SIZE, SIZE), images[0, ..., 1] / 255.0))
    noise = np.random.default_rng(1).random(truth.shape).astype(np.float32)
    cams = np.stack([one.placed(SIZE, SIZE) for one in cs.explain(model, list(images), class_name="red")])
    maps = {"truth": truth, "cam": cams, "noise": noise, "decoy": decoy, "blob": blob, "wrong": -truth}
    found = {name: np.mean(scored(model, tensors, one), axis=0) for name, one in maps.items()}
    for measure in range(3):
        value = {name: means[measure] for name, means in found.items()}
        assert value["truth"] > value["noise"] > value["wrong"], (MEASURES[measure], value)
        assert value["cam"] > max(value["noise"], value["blob"], value["decoy"]), (MEASURES[measure], value)
        assert value["truth"] - value["wrong"] > 0.2, (MEASURES[measure], value)


def test_the_verdict_on_a_network_that_looks_where_its_map_says(capsys: pytest.CaptureFixture[str]) -> None:
    model, (images, _, _) = opened(sees_red()), scenes(12)
    tally = FaithfulTally(model, "cam")
    for one in cs.explain(model, list(images), class_name="red"):
        tally.add(one, 1)
    found = tally.result()
    verdicts = {(one.control, one.measure): one.verdict for one in found.differences}
    assert found.n == 12 and {one.maps for one in found.controls} == {BLOB, RANDOM, EDGES, UNTRAINED}
    assert {verdicts[control, measure] for control in (BLOB, RANDOM, EDGES) for measure in MEASURES} == {"better"}


def test_a_map_that_is_the_control_is_no_better() -> None:
    same = [0.1, 0.4, 0.3]
    (one,) = compared({"road": (same, same)}, control=BLOB)
    assert (one.mean, one.verdict) == (0.0, "no better") and one.in_words() == "no better than a centred blob"
    (worse,) = compared({"road": ([0.1, 0.2, 0.1, 0.2], [0.5, 0.61, 0.5, 0.6])}, control=BLOB)
    assert worse.verdict == "worse" and worse.interval is not None and worse.interval[1] < 0
    noisy = compared({str(index): ([0.1, 0.3], [0.0, 0.0]) for index in range(4)}, control=BLOB)
    assert {one.verdict for one in noisy} == {"no better"} and all(one.confidence > 0.95 for one in noisy)


def test_road_is_not_always_zero_and_equal_values_are_ordered_at_random() -> None:
    model, (_, tensors, truth) = sees_red(), scenes(6)
    assert all(one.road > 0.1 for one in scored(model, tensors, truth))
    flat = scored(model, tensors[:1] * 8, np.ones((8, SIZE, SIZE), np.float32))
    assert abs(np.mean([one.road for one in flat])) < 0.1 and len({one.road for one in flat}) == 8


def test_imputation_solves_its_linear_system() -> None:
    """Against a dense solution of the same equations: every missing pixel the weighted mean of its neighbours."""
    generator = np.random.default_rng(0)
    size = 14
    rows, columns = np.mgrid[:size, :size]
    image = np.sin(rows / 3) + np.cos(columns / 4)
    kept = generator.random((size, size)) < 0.4
    kept[3:9, 4:10] = False
    weights = {(dy, dx): (1 / 12 if dy and dx else 1 / 6) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx}
    system, values = np.eye(size * size), np.where(kept, image, 0.0).ravel()
    for y, x in zip(*np.nonzero(~kept), strict=True):
        near = {
            (y + dy, x + dx): weight for (dy, dx), weight in weights.items()
            if 0 <= y + dy < size and 0 <= x + dx < size
        }  # fmt: skip
        for (row, column), weight in near.items():
            system[y * size + x, row * size + column] -= weight / sum(near.values())
    expected = np.linalg.solve(system, values).reshape(size, size)
    tensor = torch.from_numpy(image).float()[None, None].expand(2, 3, -1, -1)
    mask = torch.from_numpy(kept)[None, None].expand(2, 1, -1, -1)
    found = impute(tensor, mask, torch.Generator().manual_seed(0))
    assert torch.equal(found[:, :, mask[0, 0]], tensor[:, :, mask[0, 0]])
    quiet = np.mean([impute(tensor, mask, torch.Generator().manual_seed(seed))[0, 0].numpy() for seed in range(60)], 0)
    np.testing.assert_allclose(quiet, expected, atol=0.06)
    nothing = impute(tensor, torch.zeros_like(mask), torch.Generator().manual_seed(0))
    assert torch.isfinite(nothing).all()


def test_edges_lie_where_they_are() -> None:
    view = np.zeros((3, 40, 40), dtype=np.uint8)
    view[:, :, 25:] = 255
    axis = MapAxis(3.5, 8, 5, 40)
    cells = edge_strength(view, axis, axis)
    assert cells.shape == (5, 5) and set(cells.argmax(1)) == {3} and np.ptp(cells[:, 3]) < 1e-3


def test_explain_faithful(net: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("explain", net, photos, "-o", tmp_path / "out", "--faithful")
    found = run_json(capsys, *words)["faithful"]
    assert found["n"] == 3 and set(found["maps"]) == {"maps", *MEASURES} and len(found["differences"]) == 12
    assert run_json(capsys, *words)["faithful"] == found
    assert read_record(tmp_path / "out").faithful.n == 3
    code, out, _ = run(capsys, *words)
    assert code == 0 and "no better than a centred blob: " in out and "random weights" in out
