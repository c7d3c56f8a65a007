"""A picture of one evaluation: how far probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscale.figures.style import new_figure, save_figure
from convscale.records import CalibrationBin, expected_calibration_error


def draw_reliability(bins: Sequence[CalibrationBin], path: Path) -> None:
    """Accuracy over the probability of the predicted class, by bin, beside the diagonal of a calibrated network; below
    it how many images each bin holds."""
    figure = new_figure(5, 6)
    accuracy, images = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = [one for one in bins if one.n]
    left, width = [one.low for one in bins], [one.high - one.low for one in bins]
    accuracy.bar(left, [one.accuracy for one in bins], width, align="edge", edgecolor="black", linewidth=0.5, alpha=0.6)
    accuracy.plot([0, 1], [0, 1], color="grey", linestyle="--", label="calibrated")
    accuracy.plot(
        [one.confidence for one in filled], [one.accuracy for one in filled], "o", markersize=4, color="black",
        label="mean probability of a bin",
    )  # fmt: skip
    accuracy.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    accuracy.set_title(f"calibration error {expected_calibration_error(bins):.4f} ({len(bins)} bins)")
    accuracy.legend(loc="best", fontsize=8)
    images.bar(left, [one.n for one in bins], width, align="edge", edgecolor="black", linewidth=0.5, alpha=0.6)
    images.set(xlabel="probability of the predicted class", ylabel="images")
    for axes in (accuracy, images):
        axes.grid(alpha=0.3)
    save_figure(figure, path)
