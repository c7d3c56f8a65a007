"""Pictures from records, as PNG, SVG and PDF files."""

from convscale.figures.benches import draw_bench
from convscale.figures.evaluation import SHOWN_MISTAKES, Mistake, draw_mistakes, draw_reliability
from convscale.figures.explanations import Row, draw_comparison, draw_explanation, panel_sides
from convscale.figures.grids import draw_grids
from convscale.figures.lines import Curve, Panel, draw_lines
from convscale.figures.studies import draw_study
from convscale.figures.style import remove_figure
from convscale.figures.ternary import draw_search, draw_ternary
from convscale.figures.training import SHEET_IMAGES, draw_confusion, draw_curves, draw_sheet

__all__ = [
    "SHEET_IMAGES",
    "SHOWN_MISTAKES",
    "Curve",
    "Mistake",
    "Panel",
    "Row",
    "draw_bench",
    "draw_comparison",
    "draw_confusion",
    "draw_curves",
    "draw_explanation",
    "draw_grids",
    "draw_lines",
    "draw_mistakes",
    "draw_reliability",
    "draw_search",
    "draw_sheet",
    "draw_study",
    "draw_ternary",
    "panel_sides",
    "remove_figure",
]
