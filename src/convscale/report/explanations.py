"""Explanations as tables."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.records import BoxScores, ControlDifference, ExplanationComparison, Explanations, Faithfulness
from convscale.report.tables import Column, Table, text_column
from convscale.units import format_count


def explanation_table(found: Explanations) -> Table:
    """A row per image."""
    columns = (
        text_column("image", wrap=True),
        text_column("class", wrap=True),
        Column("proba\u00adbility", lambda value: f"{value:.3f}"),
        Column("logit", lambda value: f"{value:.3f}"),
        Column("cells and bias", lambda value: f"{value:.3f}", detail=1),
        text_column("picture", detail=2, wrap=True),
    )
    rows = [
        (one.image, one.class_name, one.probability, one.logit, one.cam_sum, one.picture or "") for one in found.images
    ]
    return Table(columns, rows)


def box_table(found: BoxScores) -> Table:
    """A row per measure: the maps, a centred blob, and their difference."""
    columns = (text_column("on boxes"), _number("maps"), _number("centred blob"), *_DIFFERENCE)
    rows = [
        (_NAMES[one.measure], getattr(found, one.measure), getattr(found.blob, one.measure), *_difference(one))
        for one in found.differences
    ]
    return Table(columns, rows, f"{found.n:,} images with boxes")


def faithful_table(found: Faithfulness) -> Table:
    """A row per control and measure: the maps, the control, and their difference."""
    columns = (text_column("control", wrap=True), text_column("measure"), _number("maps"), _number("control"))
    controls = {one.maps: one for one in found.controls}
    rows = [
        (
            one.control, one.measure, getattr(found.maps, one.measure), getattr(controls[one.control], one.measure),
            *_difference(one),
        )
        for one in found.differences
    ]  # fmt: skip
    return Table((*columns, *_DIFFERENCE), rows, f"{found.n:,} images, pixels taken away and put in")


def comparison_table(found: ExplanationComparison) -> Table:
    """A row per network, with what was measured of it."""
    columns = [
        text_column("network", wrap=True), Column("pixels"), Column("params", format_count),
        Column("MACs", format_count),
    ]  # fmt: skip
    boxes = [one.explanations.boxes for one in found.networks]
    needed = [one.explanations.faithful for one in found.networks]
    extra: list[list[float]] = [[] for _ in found.networks]
    for names, scores in ((_NAMES, boxes), (_NEEDED, [one and one.maps for one in needed])):
        for key, name in names.items():
            if all(one is not None for one in scores):
                columns.append(_number(name))
                for values, one in zip(extra, scores, strict=True):
                    values.append(getattr(one, key))
    rows = [
        (one.explanations.network, one.resolution, one.params, one.macs, *values)
        for one, values in zip(found.networks, extra, strict=True)
    ]
    images = len(found.networks[0].explanations.images)
    return Table(columns, rows, f"{found.networks[0].explanations.method} of {images:,} images: {found.picture}")


def difference_table(found: ExplanationComparison) -> Table:
    """A row per measure and other network."""
    columns = (text_column("against", wrap=True), text_column("measure"), *_DIFFERENCE)
    rows = [(one.control, _NAMES.get(one.measure, one.measure), *_difference(one)) for one in found.differences]
    return Table(columns, rows, f"{found.networks[0].explanations.network} minus each other, image by image")


def lost(differences: Sequence[ControlDifference]) -> list[str]:
    """By control, the measures by which maps are no better."""
    by_control: dict[str, list[str]] = {}
    for one in differences:
        if one.verdict != "better":
            by_control.setdefault(one.control, []).append(_NAMES.get(one.measure, one.measure))
    return [f"no better than {control}: {', '.join(names)}" for control, names in by_control.items()]


def _number(heading: str) -> Column:
    return Column(heading, lambda value: f"{value:.3f}")


_NAMES = {"energy_minus_area": "energy minus area", "pointing": "pointing", "box_accuracy": "box accuracy"}
_NEEDED = {name: name for name in ("insertion", "deletion", "road")}
_DIFFERENCE = (
    Column("difference", lambda value: f"{value:+.3f}"),
    Column("interval", lambda ends: f"{ends[0]:+.3f} to {ends[1]:+.3f}", detail=1),
    text_column("verdict", wrap=True),
)


def _difference(one: ControlDifference) -> tuple[float, tuple[float, float] | None, str]:
    return one.mean, one.interval, one.in_words()
