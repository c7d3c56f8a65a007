"""Pictures of one evaluation: how far probabilities can be trusted, and where the network is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convscale.figures.style import POINTS, new_figure, save_figure, shorten, text_width, title_figure
from convscale.figures.training import shown_channels
from convscale.records import CalibrationBin, expected_calibration_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN_MISTAKES = 25
_COLUMNS = 5
_CELL_INCHES = 2.1


class Mistake(NamedTuple):
    """An image that was taken for another class: its name, its pixels (channels, height, width), the names of its class
    and of the one that it was taken for, and the probability of that."""

    name: str
    pixels: NDArray[np.uint8]
    true: str
    predicted: str
    probability: float


def draw_reliability(bins: Sequence[CalibrationBin], path: Path, title: Sequence[str] = ()) -> None:
    """Accuracy over the probability of the predicted class, by bin, beside the diagonal of a calibrated network; below
    it how many images each bin holds. `title`: lines above."""
    save_figure(reliability_figure(bins, title), path)


def reliability_figure(bins: Sequence[CalibrationBin], title: Sequence[str] = ()) -> Any:
    """What `draw_reliability` draws."""
    figure = new_figure(5, 6)
    title_figure(figure, title)
    accuracy, images = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = [one for one in bins if one.n]
    left, width = [one.low for one in bins], [one.high - one.low for one in bins]
    accuracy.bar(left, [one.accuracy for one in bins], width, align="edge", edgecolor="black", linewidth=0.5, alpha=0.6)
    accuracy.plot([0, 1], [0, 1], color="grey", linestyle="--", label="calibrated")
    accuracy.plot(
        [one.confidence for one in filled], [one.accuracy for one in filled], "o", markersize=4, color="black",
        label="mean probability of a bin", clip_on=False, zorder=3,
    )  # fmt: skip
    accuracy.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    accuracy.set_title(f"calibration error {expected_calibration_error(bins):.4f} ({len(bins)} bins)")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    images.bar(left, [one.n for one in bins], width, align="edge", edgecolor="black", linewidth=0.5, alpha=0.6)
    images.set(xlabel="probability of the predicted class", ylabel="images")
    for axes in (accuracy, images):
        axes.grid(alpha=0.3)
    return figure


def draw_mistakes(mistakes: Sequence[Mistake], path: Path, title: Sequence[str] = ()) -> None:
    """Images as the network sees them before normalisation, in the order given: at most 25. `title`: lines above."""
    shown = mistakes[:SHOWN_MISTAKES]
    rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(_CELL_INCHES * _COLUMNS, 2.6 * rows + 0.4)
    title_figure(figure, ["the most confident mistakes", *title])
    room = _CELL_INCHES * POINTS - 12
    for cell, mistake in zip(figure.subplots(rows, _COLUMNS, squeeze=False).flat, shown, strict=False):
        cell.imshow(shown_channels(mistake.pixels), cmap="gray", vmin=0, vmax=255)
        true, taken, probability = mistake.true, mistake.predicted, f" {mistake.probability:.2f}"
        lines = f"true: {_beside('true: ', true, room)}\n{_beside(probability, taken, room)}{probability}"
        cell.set_title(lines, fontsize=8)
        cell.set_xlabel(shorten(Path(mistake.name).name, room, 6), fontsize=6)
    for cell in figure.axes:
        cell.set(xticks=(), yticks=())
    for cell in figure.axes[len(shown) :]:
        cell.set_axis_off()
    save_figure(figure, path)


def _beside(other: str, name: str, room: float) -> str:
    """A name in the room that another text of its line leaves."""
    return shorten(name, room - text_width(other, 8), 8)
