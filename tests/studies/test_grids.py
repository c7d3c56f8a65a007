"""The study of published trainings: laws, gains, and its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import convscale as cs
from convscale.errors import RunError, UnknownNameError
from convscale.records import GridGain, GridResult, read_record
from convscale.studies.grids import GRIDS, PUBLISHED, analysed, read_points, run_grids
from tests.cli.calling import run, run_json

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[GridResult, Path]:
    folder = tmp_path_factory.mktemp("grids") / "new"
    return run_grids("grids", folder), folder


def gain(result: GridResult, network: str, macs: float, against: str) -> GridGain:
    (one,) = [one for one in result.gains if (one.network, one.macs, one.against) == (network, macs, against)]
    return one


def test_the_table_is_the_published_one() -> None:
    assert (PUBLISHED / "mobilenet_grids.csv").read_text() == (FIXTURES / "mobilenet_grids.csv").read_text()
    points = read_points(GRIDS.read("grids"))
    assert len(points) == 38 and sum(abs(one.macs - one.published_macs) > 1e6 for one in points) == 5


def test_the_mixed_network_is_ahead(found: tuple[GridResult, Path]) -> None:
    result, _ = found
    v2 = [gain(result, "mobilenet-v2", 1e8, "width"), gain(result, "mobilenet-v2", 1e8, "resolution")]
    assert [one.gain for one in v2] == pytest.approx([0.0083, 0.0049], abs=3e-4)
    for one in v2:
        assert one.interval95 is not None and one.interval95[0] > 0 and one.pure and one.mixed
        assert one.even_gain == pytest.approx(one.gain, abs=3e-4), "not a matter of the choice"
        assert one.gain == pytest.approx(one.mixed.top1 - one.pure.top1)
    assert gain(result, "mobilenet-v1", 1e8, "width").gain == pytest.approx(0.0207, abs=3e-4)
    small = gain(result, "mobilenet-v2", 2e8, "resolution")
    assert small.interval95 is not None and small.interval95[0] < 0 < small.interval95[1]


def test_nothing_is_said_beyond_the_grid(found: tuple[GridResult, Path]) -> None:
    result, _ = found
    for one in result.gains:
        assert (one.gain is None) == (one.pure is None) == bool(one.reason)
        for network in (one.pure, one.mixed):
            assert network is None or (0.2499 <= network.width <= 1 and 95.9 <= network.resolution <= 224)
    assert "fewer than 128 px" in gain(result, "mobilenet-v1", 1e8, "resolution").reason
    assert gain(result, "mobilenet-v2", 5e7, "width").pure is None


@pytest.mark.parametrize(("width", "side", "against"), [(0.5, 224, "width"), (1.0, 160, "resolution")])
def test_published_networks_are_found_at_their_cost(width: float, side: int, against: str) -> None:
    network = cs.scale(cs.network("mobilenet-v2"), cs.Scaling(width=width)).at_resolution(side)
    macs = float(cs.cost(network).macs)
    pure = gain(analysed(replace(GRIDS.read("grids"), costs=(macs,))), "mobilenet-v2", macs, against).pure
    assert pure is not None and (pure.width, pure.resolution) == pytest.approx((width, side))


def test_the_law_predicts_what_it_has_not_seen(found: tuple[GridResult, Path]) -> None:
    """Leave-one-out by fitting again without each training."""
    for law in found[0].laws:
        own = [one for one in found[0].points if one.network == law.network]
        full = next(one.macs for one in own if (one.width, one.resolution) == (1, 224))
        at_224 = {one.width: one.macs for one in own if one.resolution == 224}
        x = np.array([np.log(at_224[one.width] / full) / 2 for one in own])
        z = np.array([np.log(one.resolution / 224) for one in own])
        error = np.array([1 - one.top1 for one in own])
        terms = np.stack([np.ones_like(x), x, z, x * x, x * z, z * z], axis=1)
        missed = []
        for left in range(len(own)):
            kept = np.arange(len(own)) != left
            fitted = np.linalg.lstsq(terms[kept], np.log(error[kept]), rcond=None)[0]
            missed.append(abs(np.exp(terms[left] @ fitted) - error[left]))
        assert law.points == len(own) and law.leave_one_out == pytest.approx(np.mean(missed))
        assert law.leave_one_out < 0.0045


def test_its_files(found: tuple[GridResult, Path]) -> None:
    result, folder = found
    assert read_record(folder) == result
    report = (folder / "report.md").read_text()
    assert "tensorflow/models" in report and "5 of the printed ones are misprints" in report
    assert "mobilenet-v2: the interval of the mixed network's lead is above zero in 4 of 6 comparisons" in report
    for ending in ("png", "svg", "pdf"):
        assert (folder / "pictures" / f"grids.{ending}").stat().st_size > 5000
    assert run_grids("grids", folder) == result, "again, into its own folder"


def test_it_writes_over_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(RunError, match="holds something else"):
        run_grids("grids", tmp_path)
    with pytest.raises(UnknownNameError, match="grids"):
        run_grids("grid")
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


@pytest.mark.long
def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "grids" in run(capsys, "study", "list")[1]
    assert run(capsys, "study", "show", "grids")[1] == (PUBLISHED / "grids.toml").read_text()
    table = run_json(capsys, "study", "run", "grids", "-o", tmp_path / "out")
    assert table["study"] == "grids" and len(table["gains"]) == 16 and len(table["points"]) == 38
    assert json.loads((tmp_path / "out" / "results.json").read_text())["kind"] == "grids"
    code, out, _ = run(capsys, "study", "run", "grids", "-o", tmp_path / "out")
    assert code == 0 and "points" in out and out.endswith("report.md\n")
    for words in (("--seeds", 3, "-o", tmp_path / "x"), ("--data", "digits"), ("--dry-run",), ()):
        code, out, err = run(capsys, "study", "run", "grids", *words)
        assert code == 2 and out == "" and (str(words[0]) if words else "--output") in err
    assert not (tmp_path / "x").exists()
