"""A figure as plain SVG inside a page: texts stay texts, colours are the page's own, nothing is fetched.

Colours of curves become `var(--look-N, #rrggbb)`, black becomes `currentColor` and white `var(--ground, #ffffff)`, so
that one figure suits a light and a dark page. Texts on coloured cells (ON_LIGHT and ON_DARK) keep theirs.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any, cast

from convscale.figures.style import COLOURS, settle

_DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>"
    r"| xmlns(:xlink)?=\"[^\"]*\"|(?<=<g) id=\"[^\"]*\"|(?<=\.\d\d)\d+",  # two digits of a point are enough
    re.DOTALL,
)
_FONTS = re.compile(r"'DejaVu Sans'[^;\"]*")
_SIZE = re.compile(r"<svg [^>]*?height=\"[\d.]+(?:pt)?\"[^>]*>", re.DOTALL)
_COLOURS = {colour: f"var(--look-{index}, {colour})" for index, colour in enumerate(COLOURS) if index} | {
    "#000000": "currentColor",
    "#ffffff": "var(--ground, #ffffff)",
}
_COLOUR = re.compile("|".join(_COLOURS))


def inline_svg(figure: Any, title: str, description: str) -> str:
    """The figure as an <svg> element with a <title> and a <desc>, as wide as its place up to its own width. Its ids
    begin with `id-`: whoever puts several into a page numbers them (`numbered`)."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    settle(figure)
    for patch in (figure.patch, *(axes.patch for axes in figure.axes)):
        patch.set_facecolor("none")  # the page shows through
    file, canvas = io.StringIO(), cast(Any, FigureCanvasSVG)(figure)
    with matplotlib.rc_context({"svg.hashsalt": "convscale", "svg.fonttype": "none"}):
        canvas.print_svg(file, metadata={"Date": None})  # `savefig` would draw twice
    text = file.getvalue()
    text = _DROPPED.sub("", text[text.index("<svg") :]).replace("xlink:href", "href")
    text = re.sub(r'( id="|href="#|url\(#)', r"\1id-", text)
    text = _COLOUR.sub(lambda match: _COLOURS[match[0]], _FONTS.sub("sans-serif", text))
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    view = f"0 0 {figure.get_figwidth() * 72:g} {figure.get_figheight() * 72:g}"
    head = (
        f'<svg role="img" viewBox="{view}" width="{width}" height="{height}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>"
    )
    return re.sub(r"\n\s*", "\n", _SIZE.sub(lambda _: head, text, count=1)).strip()


def numbered(svg: str, number: int) -> str:
    """What `inline_svg` gave, its ids apart from those of others in a page."""
    return re.sub(r'( id="|href="#|url\(#)id-', rf"\1f{number}-", svg)
