"""Pictures of studies: accuracy against MACs and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscale.figures.lines import Curve, Panel, Point, draw_lines
from convscale.records import BASELINE, StudyResult, StudyRow
from convscale.records.quoted import QUOTED
from convscale.units import format_number

FAMILIES = "families"
QUOTED_TITLE = "quoted: the paper's, on ImageNet"


def draw_study(result: StudyResult, folder: Path) -> None:
    """Accuracy against MACs and against parameters after the longest training, one line per method; one file per
    baseline if methods are compared, families.png for all baselines if there is one method. SVG and PDF lie beside."""
    for name, panels in study_panels(result).items():
        quoted = [Panel("MACs", tuple(_quoted()), QUOTED_TITLE)] if result.spec.quoted else []
        draw_lines([*panels, *quoted], folder / f"{name}.png", _title(result, name, _rows(result, name)))


def study_panels(result: StudyResult) -> dict[str, list[Panel]]:
    """What `draw_study` draws of the study itself: for each file the panels over MACs and over parameters."""
    last = _rows(result, FAMILIES)
    baselines = list(dict.fromkeys(row.baseline for row in last))
    if len({row.method for row in last} - {BASELINE}) == 1:
        return {FAMILIES: _panels([_Line(name, _rows(result, name)) for name in baselines])}
    return {name: _panels(_methods(_rows(result, name))) for name in baselines}


def _rows(result: StudyResult, name: str) -> list[StudyRow]:
    """Those of one picture after the longest training: of a baseline, or all of them."""
    last = [row for row in result.rows if row.epochs == result.spec.lengths[-1]]
    return last if name == FAMILIES else [row for row in last if row.baseline == name]


class _Line:
    """Rows of one curve; `base`, where it starts from another's."""

    def __init__(self, label: str, rows: Sequence[StudyRow], base: StudyRow | None = None) -> None:
        self.label, self.rows, self.base = label, [row for row in rows if row.accuracy is not None], base

    def curve(self, key: str) -> Curve:
        base = self.base if self.rows else None
        start = (float(getattr(base, key)), base.accuracy) if base and base.accuracy is not None else None
        return Curve(self.label, tuple(_point(row, key) for row in self.rows), start)


def _point(row: StudyRow, key: str) -> Point:
    assert row.accuracy is not None
    return (float(getattr(row, key)), row.accuracy, *(row.interval95 or (None, None)))


def _methods(rows: Sequence[StudyRow]) -> list[_Line]:
    """The baseline, then a line a method, which starts from the baseline where costs are equal; lines by factors stand
    for themselves."""
    base = [row for row in rows if row.method == BASELINE]
    methods = dict.fromkeys(row.method for row in rows if row.method != BASELINE)
    by_method = {method: [row for row in rows if row.method == method] for method in methods}
    lines = [_Line(method, own, base[0] if base and own[0].asked else None) for method, own in by_method.items()]
    return [_Line(BASELINE, base), *lines]


def _panels(lines: Sequence[_Line]) -> list[Panel]:
    return [
        Panel(label, tuple(curve for line in lines if (curve := line.curve(key)).points))
        for key, label in (("macs", "MACs"), ("params", "parameters"))
    ]


def _title(result: StudyResult, name: str, rows: Sequence[StudyRow]) -> list[str]:
    spec, data = result.spec, result.spec.choice()
    sides = sorted({row.resolution for row in rows if row.method == BASELINE})
    where = f" from {sides[0]} px" if len(sides) == 1 else ""
    images, held = data.counts
    steps = max((row.steps for row in rows), default=0)
    length = format_number(spec.lengths[-1], "epoch") + (f" ({format_number(steps, 'step')})" if steps else "")
    return [
        f"{spec.name if name == FAMILIES else name}{where} on {Path(data.source).name}",
        f"{images} training and {held} held-out images, {length}, {format_number(spec.seeds, 'seed')}",
        "bars: 95 % interval of the mean over the seeds; points that share a cost stand side by side",
    ]


def _quoted() -> list[Curve]:
    return [
        Curve(
            f"{name} (quoted)", tuple((float(macs), top1, None, None) for _, macs, top1 in family.values()), quoted=True
        )
        for name, family in QUOTED.items()
    ]
