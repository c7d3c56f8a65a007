"""Pictures of class activation maps: the image, the map, and the map on the image, side by side in one small file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from convscale.figures.style import colours_of, shortened, text_font
from convscale.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PANEL_PIXELS = 224  # the longer side of each panel
_GAP, _LINE, _LETTERS = 6, 17, 13  # pixels: between panels, of a line of text, of its font
_QUALITY = 80
_COLOURS = "inferno"  # rises in lightness, so that it reads in grey too

Box = tuple[float, float, float, float]


def panel_sides(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a panel for an image of these sides; small images are enlarged."""
    scale = PANEL_PIXELS / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw_explanation(
    image: NDArray[np.uint8],
    placed: NDArray[np.float32],
    path: Path,
    lines: Sequence[str],
    *,
    view: Box | None = None,
    most: float | None = None,
) -> None:
    """Write a WebP of three panels below `lines` of text.

    image: (height, width) or (height, width, 3), of any size. placed: the map over it, as large as a panel
    (`panel_sides`); colours run from 0, and all below, to `most` or its own maximum. view: left, top, right, bottom
    of what the network sees, in pixels of a panel; what lies outside is framed off.
    """
    from PIL import Image, ImageDraw

    height, width = placed.shape
    enlarge = Image.Resampling.NEAREST if max(image.shape[:2]) < PANEL_PIXELS / 4 else Image.Resampling.BICUBIC
    photo = Image.fromarray(image).convert("RGB").resize((width, height), enlarge)
    top = _GAP + _LINE * len(lines)
    sheet = Image.new("RGB", (3 * width + 4 * _GAP, top + height + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        _write(pen, line, _GAP, _GAP // 2 + _LINE * index, sheet.width - 2 * _GAP)
    shares = share_of(placed, most)
    for index, panel in enumerate((photo, coloured(shares), overlaid(photo, shares))):
        left = _GAP + index * (width + _GAP)
        sheet.paste(panel, (left, top))
        if view is not None:
            box = (left + view[0], top + view[1], left + view[2] - 1, top + view[3] - 1)
            pen.rectangle(box, outline="white", width=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: sheet.save(file, format="WEBP", quality=_QUALITY), durable=False)


def share_of(placed: NDArray[np.float32], most: float | None = None) -> NDArray[np.float32]:
    """A map as shares of `most`, or of its own maximum, from 0 to 1; what is negative is 0."""
    highest = float(placed.max()) if most is None else most
    shares: NDArray[np.float32] = (placed / highest).clip(0, 1) if highest > 0 else placed * 0
    return shares


def coloured(shares: NDArray[np.float32]) -> Any:
    """Shares of 0 to 1 as a PIL image."""
    from PIL import Image

    return Image.fromarray(_palette()[(255 * shares).round().astype("uint8")])


def overlaid(photo: Any, shares: NDArray[np.float32]) -> Any:
    """The map on a PIL image that is grey where the map is low."""
    from PIL import Image

    strength = Image.fromarray((255 * (0.2 + 0.55 * shares)).round().astype("uint8"))
    return Image.composite(coloured(shares), photo.convert("L").convert("RGB"), strength)


@cache
def _palette() -> NDArray[np.uint8]:
    """256 colours."""
    import numpy as np

    return np.array(colours_of(_COLOURS), dtype=np.uint8)


class Row(NamedTuple):
    """An image, (height, width) or (height, width, 3), the maps over it by each network, each as large as a panel, and
    what each network says of it."""

    image: NDArray[np.uint8]
    placed: Sequence[NDArray[np.float32]]
    says: Sequence[str]


def draw_comparison(rows: Sequence[Row], heads: Sequence[str], path: Path, method: str) -> None:
    """Write a WebP: a row an image, a column a network (`heads`), all maps on one scale of colours from 0."""
    from PIL import Image, ImageDraw

    panel, columns = PANEL_PIXELS * 3 // 4, len(heads) + 1
    most = max(float(placed.max()) for row in rows for placed in row.placed)
    step = panel + _LINE + _GAP
    sheet = Image.new("RGB", (columns * (panel + _GAP) + _GAP, len(rows) * step + 2 * _LINE + _GAP), "white")
    pen = ImageDraw.Draw(sheet)
    _write(pen, f"{method}: one scale, 0 to {max(most, 0.0):.3g}", _GAP, 0, sheet.width - 2 * _GAP)
    for column, head in enumerate(heads, 1):
        _write(pen, head, _GAP + column * (panel + _GAP), _LINE, panel)
    for number, row in enumerate(rows):
        top = 2 * _LINE + number * step
        height, width = row.placed[0].shape
        photo = Image.fromarray(row.image).convert("RGB").resize((width, height))
        pictures = [photo, *(overlaid(photo, share_of(placed, most)) for placed in row.placed)]
        for column, (picture, says) in enumerate(zip(pictures, ["", *row.says], strict=True)):
            left = _GAP + column * (panel + _GAP)
            fitted = picture.resize((max(1, width * panel // PANEL_PIXELS), max(1, height * panel // PANEL_PIXELS)))
            sheet.paste(fitted, (left, top))
            _write(pen, says, left, top + panel, panel)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: sheet.save(file, format="WEBP", quality=_QUALITY), durable=False)


def _write(pen: Any, text: str, left: int, top: int, room: int) -> None:
    """A line of text, cut where there is no room for it."""
    font = text_font(_LETTERS)
    pen.text((left, top), shortened(text, lambda part: bool(font.getlength(part) <= room)), fill="black", font=font)
