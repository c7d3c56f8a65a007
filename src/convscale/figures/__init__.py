"""Pictures from records, as PNG files."""

from convscale.figures.evaluation import SHOWN_MISTAKES, Mistake, draw_mistakes, draw_reliability
from convscale.figures.studies import Curve, draw_lines, draw_search, draw_study, draw_ternary
from convscale.figures.training import SHEET_IMAGES, draw_confusion, draw_curves, draw_sheet

__all__ = [
    "SHEET_IMAGES",
    "SHOWN_MISTAKES",
    "Curve",
    "Mistake",
    "draw_confusion",
    "draw_curves",
    "draw_lines",
    "draw_mistakes",
    "draw_reliability",
    "draw_search",
    "draw_sheet",
    "draw_study",
    "draw_ternary",
]
