"""Pictures of one training: its curves, a confusion matrix, a sheet of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscale.figures.lines import percent_axis
from convscale.figures.style import (
    ON_DARK,
    ON_LIGHT,
    POINTS,
    new_figure,
    plain,
    save_figure,
    shortened,
    text_font,
    text_width,
    title_figure,
)
from convscale.files import write_atomic
from convscale.records import ConfusionCell, EpochRecord
from convscale.units import format_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
CLASSES_WITH_NAMES = 40
CLASSES_WITH_COUNTS = 20
SHEET_IMAGES = 64
CURVES = {"train_loss": "training loss", "top1": "held-out top-1, %", "learning_rate": "learning rate"}
CELL_PIXELS = 96
NAME_PIXELS = 16


def draw_curves(records: Sequence[EpochRecord], path: Path, title: Sequence[str] = ()) -> None:
    """Loss, top-1 in % and learning rate over the epochs. `title`: lines above."""
    save_figure(curves_figure(records, title), path)


def curves_figure(
    records: Sequence[EpochRecord], title: Sequence[str] = (), keys: Sequence[str] = tuple(CURVES)
) -> Any:
    """What `draw_curves` draws: those of CURVES that `keys` name, side by side."""
    figure = new_figure(4 * len(keys), 3.7)
    title_figure(figure, title)
    epochs = [record.epoch for record in records]
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False).flat, keys, strict=True):
        unit = 100 if key == "top1" else 1
        values = [math.nan if (value := getattr(record, key)) is None else unit * value for record in records]
        axes.plot(epochs, values, marker="." if len(epochs) < 60 else "", color="black")
        axes.set(xlabel="epoch", ylabel=CURVES[key], xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        if key == "top1" and (known := [record.top1 for record in records if record.top1 is not None]):
            percent_axis(axes, known)
    return figure


def draw_confusion(counts: NDArray[np.int64], classes: Sequence[str], path: Path, title: Sequence[str] = ()) -> None:
    """How often images of each class (row) were taken for each class (column): shares of the row as colours,
    and the counts themselves where classes are few. `title`: lines above."""
    save_figure(confusion_figure(counts, classes, title), path)


def counts_of(cells: Sequence[ConfusionCell], classes: int) -> NDArray[np.int64]:
    """The matrix (true, predicted) whose cells these are."""
    import numpy as np

    counts = np.zeros((classes, classes), np.int64)
    for one in cells:
        counts[one.true, one.predicted] = one.count
    return counts


def confusion_figure(counts: NDArray[np.int64], classes: Sequence[str], title: Sequence[str] = ()) -> Any:
    """What `draw_confusion` draws."""
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    with_counts = len(classes) <= CLASSES_WITH_COUNTS
    names = [plain(name) for name in classes] if len(classes) <= CLASSES_WITH_NAMES else []
    room = max((text_width(name, 9) for name in names), default=30) / POINTS
    side = max(2.5, (0.4 if with_counts else 0.25) * min(len(classes), CLASSES_WITH_NAMES)) + room
    figure = new_figure(1.08 * side + 1.8, side + 0.7 + 0.2 * len(title))
    title_figure(figure, title, 9)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if names:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=9)
        axes.set_yticks(range(len(names)), names, fontsize=9)
    for row, column in zip(*counts.nonzero(), strict=True) if with_counts else ():
        count, colour = int(counts[row, column]), ON_DARK if shares[row, column] > 0.5 else ON_LIGHT
        shown = f"{count:,}" if count < 10_000 else format_count(count)
        axes.text(column, row, shown, ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axes, fraction=0.04, label="share of the true class")
    return figure


def shown_channels(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (channels, height, width) as it is drawn: in grey, or in RGB by the first three of its channels."""
    shown: NDArray[np.uint8] = image[:3].transpose(1, 2, 0) if len(image) > 2 else image[0]
    return shown


def draw_sheet(pixels: NDArray[np.uint8], path: Path, names: Sequence[str] = ()) -> None:
    """Up to 64 images (n, channels, height, width) on one sheet, as a network sees them before normalisation, each with
    its class of `names`, if these are given, below it."""
    from PIL import Image, ImageDraw

    shown = pixels[:SHEET_IMAGES]
    columns, height = min(8, len(shown)), CELL_PIXELS + (NAME_PIXELS if names else 0)
    sheet = Image.new("RGB", (columns * CELL_PIXELS, -(-len(shown) // columns) * height), "white")
    pen = ImageDraw.Draw(sheet)
    for index, image in enumerate(shown):
        left, top = index % columns * CELL_PIXELS + 2, index // columns * height + 2
        cell = Image.fromarray(shown_channels(image)).convert("RGB")
        enlarge = Image.Resampling.NEAREST if cell.width < CELL_PIXELS else Image.Resampling.BILINEAR
        cell = cell.resize((CELL_PIXELS - 4, CELL_PIXELS - 4), enlarge)
        sheet.paste(cell, (left, top))
        if names:
            name = shortened(names[index], _fits_cell)
            pen.text((left, top + CELL_PIXELS - 4), name, fill="black", font=text_font(NAME_PIXELS - 4))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: sheet.save(file, format="PNG"))


def _fits_cell(text: str) -> bool:
    return bool(text_font(NAME_PIXELS - 4).getlength(text) <= CELL_PIXELS - 4)
