"""Class names in pictures are in their own letters, or say which letters they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscale.figures import Mistake, draw_confusion, draw_mistakes
from convscale.figures.style import MAX_NAME, plain


@pytest.mark.parametrize(
    "name",
    [
        "кошка", "γάτα", "naïve café", "łódź", "Žižkov", "ñandú", "Ångström", "şişe", "đường phố", "կատու", "კატა",
        "50 € ± ½",
    ],
)  # fmt: skip
def test_letters_of_the_font_are_drawn(name: str) -> None:
    assert plain(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("日本", r"\u65e5\u672c"), ("猫 A", r"\u732b A"), ("บ้าน", r"\u0e1a\u0e49\u0e32\u0e19"),
        ("חתול", r"\u05d7\u05ea\u05d5\u05dc"), ("قط", r"\u0642\u0637"), ("a\nb", r"a\nb"), ("$x$", r"\$x\$"),
        ("e\u0301t\u00e9", "été"),
    ],
)  # fmt: skip
def test_others_say_which_they_are(name: str, shown: str) -> None:
    assert plain(name) == shown


def test_long_names_are_cut_between_characters() -> None:
    assert plain("щ" * MAX_NAME) == "щ" * MAX_NAME
    assert plain("щ" * (MAX_NAME + 1)) == "щ" * (MAX_NAME - 1) + "…"
    assert plain("漢" * 5) == r"\u6f22" * 3 + "…" and plain("漢" * 4) == r"\u6f22" * 4
    names = ["猫", "犬", "鳥"]
    assert len({plain(name) for name in names}) == 3, "what was ? and ? and ? can be told apart"


def test_pictures_with_such_names(tmp_path: Path) -> None:
    """matplotlib warns of every glyph that it lacks."""
    names = ("кошка", "γάτα", "猫", "חתול")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw_confusion(np.eye(4, dtype=np.int64), names, tmp_path / "confusion.png")
        pixels = np.zeros((3, 8, 8), dtype=np.uint8)
        mistakes = [Mistake(f"{name}.png", pixels, name, names[0], 0.9) for name in names]
        draw_mistakes(mistakes, tmp_path / "mistakes.png")
    drawn = np.asarray(Image.open(tmp_path / "confusion.png").convert("L"))
    draw_confusion(np.eye(4, dtype=np.int64), ("????", "????", "猫", "חתול"), tmp_path / "questions.png")
    asked = np.asarray(Image.open(tmp_path / "questions.png").convert("L"))
    assert drawn.shape != asked.shape or (drawn != asked).any()
