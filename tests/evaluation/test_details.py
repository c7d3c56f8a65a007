"""What an evaluation leaves in a run for its report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import convscale as cs
from convscale.errors import ConfigError
from convscale.evaluation.details import write_details
from convscale.figures import Mistake
from convscale.runs import Run
from tests.cli.calling import run
from tests.evaluation.test_pictures import counted


def mistake(side: int, channels: int = 3) -> Mistake:
    pixels = np.random.default_rng(side).integers(0, 256, (channels, side, side), np.uint8)
    return Mistake(f"photos/{side}.jpg", pixels, "c0", "c1", 0.75)


def test_counts_bins_and_small_pictures_are_kept(tmp_path: Path) -> None:
    measured = counted([(0, 0)] * 3 + [(0, 1), (2, 2)], 3)
    write_details(
        Run(tmp_path), measured, [mistake(24), mistake(300), mistake(64, channels=1), mistake(100, channels=5)]
    )
    found = Run(tmp_path).details()
    assert found is not None and found.mistakes is not None and found.confusion is not None
    assert [(one.true, one.predicted, one.count) for one in found.confusion] == [(0, 0, 3), (0, 1, 1), (2, 2, 1)]
    assert found.classes == ("c0", "c1", "c2") and found.calibration == measured.calibration
    assert [Path(one.picture).suffix for one in found.mistakes] == [".png", ".jpg", ".png", ".jpg"]
    for one in found.mistakes:
        with Image.open(tmp_path / one.picture) as picture:
            assert max(picture.size) <= 160 and (tmp_path / one.picture).stat().st_size < 40_000
    with Image.open(tmp_path / found.mistakes[0].picture) as picture:
        assert np.array_equal(np.asarray(picture), mistake(24).pixels.transpose(1, 2, 0)), "without loss"


def test_another_evaluation_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    write_details(Run(tmp_path), counted([(0, 1)], 2), [mistake(24), mistake(25)])
    write_details(Run(tmp_path), counted([(0, 0)], 2), [])
    found = Run(tmp_path).details()
    assert found is not None and found.mistakes == () and not list(tmp_path.glob("pictures/mistakes/*"))
    write_details(Run(tmp_path), counted([(0, 0)], 1001))
    found = Run(tmp_path).details()
    assert found is not None and found.mistakes is None and found.confusion is None


def test_eval_keeps_what_a_report_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = cs.network("tiny-mbconv").at_resolution(8)
    trained, before = cs.train(
        network,
        "digits",
        cs.recipe("digits").with_settings(["epochs=1", "warmup_epochs=0"]),
        tmp_path / "run",
        quiet=True,
        pictures=False,
    )
    found = trained.details()
    assert found is not None and found.mistakes is None and found.confusion is not None
    assert sum(one.count for one in found.confusion) == before.n
    code, _, said = run(capsys, "eval", trained.path, "--data", "digits", "--keep", "--json")
    assert code == 0, said
    kept = trained.details()
    assert kept is not None and kept.mistakes and kept.confusion == found.confusion
    assert all((trained.path / one.picture).exists() and one.true != one.predicted for one in kept.mistakes)
    for options in ({"resolution": 16}, {"split": "train"}):
        with pytest.raises(ConfigError, match="images that a run held out"):
            cs.evaluate(trained.path, "digits", keep=True, quiet=True, **options)
    with pytest.raises(ConfigError, match="images that a run held out"):
        cs.evaluate(trained.weights, "digits", keep=True, quiet=True)
