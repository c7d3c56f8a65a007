"""Class names in pictures are in their own letters, or say which letters they are."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convscale.figures import Mistake, draw_confusion, draw_mistakes, draw_sheet
from convscale.figures.style import MAX_NAME, plain, shortened


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


def test_the_first_batch_shows_the_class_of_each_image(tmp_path: Path) -> None:
    pixels = np.full((10, 3, 8, 8), 255, dtype=np.uint8)  # white: every other pixel is a letter's

    def drawn(*names: str) -> np.ndarray:
        draw_sheet(pixels[: len(names) or None], tmp_path / "sheet.png", names)
        return np.asarray(Image.open(tmp_path / "sheet.png").convert("L"))

    assert drawn().shape == (2 * 96, 8 * 96) and (drawn() == 255).all()
    sheet = drawn(*["cat"] * 9, "猫")
    assert sheet.shape == (2 * 112, 8 * 96)
    labels = [
        sheet[112 * row + 96 : 112 * row + 112, 96 * column : 96 * column + 96] for row, column in ((0, 0), (1, 1))
    ]
    assert all((label < 128).any() for label in labels) and (labels[0] != labels[1]).any()
    assert (sheet[:96] == 255).all(), "beside the images, not on them"
    long = drawn("щ" * 40, "$x$", "i" * 40)
    assert (long[96:, 94:98] == 255).all(), "no name reaches the one beside it"


def test_names_are_cut_where_they_do_not_fit() -> None:
    assert shortened("abcdef", lambda text: len(text) <= 6) == "abcdef"
    assert shortened("abcdefg", lambda text: len(text) <= 6) == "abcde…"
    assert shortened("$x$", lambda text: True) == "$x$", "no formula in Pillow"
    assert shortened("abc", lambda text: False) == "…"
