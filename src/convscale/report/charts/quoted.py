"""Published networks, accuracy over what they cost, and where a network of this report stands among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from convscale.figures.lines import Curve, Panel, lines_figure
from convscale.figures.svg import inline_svg
from convscale.report.parts import Chart
from convscale.report.published import PublishedNetwork, published_networks
from convscale.report.tables import Column, Table, percent, text_column
from convscale.units import format_bytes, format_count

MILLISECONDS = "milliseconds"


@dataclass(frozen=True, slots=True)
class _Cost:
    """A cost of published networks: its axis, how it is shown, and where it is found."""

    label: str
    show: Callable[[float], str]
    of: Callable[[PublishedNetwork], float | None]


COSTS = {
    "params": _Cost("parameters", format_count, lambda one: one.params),
    "macs": _Cost("MACs", format_count, lambda one: one.macs),
    "activations": _Cost("activations", format_count, lambda one: one.activations),
    "inference_memory_bytes": _Cost(
        "bytes of memory for inference", format_bytes, lambda one: one.inference_memory_bytes
    ),
    MILLISECONDS: _Cost(
        "milliseconds an image, on an Intel i9-10940X", "{:.1f}".format,
        lambda one: None if one.seconds is None else 1000 * one.seconds,
    ),
}  # fmt: skip


def quoted_chart(key: str, own: Mapping[str, float], accuracies: Mapping[str, float]) -> Chart:
    """Published accuracies on ImageNet over the cost `key`. own: the same cost of networks of this report by name,
    which a line marks; those with an accuracy on ImageNet too, a fraction, are points."""
    return _drawn(key, tuple(own.items()), tuple(accuracies.items()))


@cache
def _drawn(key: str, costs: tuple[tuple[str, float], ...], found: tuple[tuple[str, float], ...]) -> Chart:
    own, accuracies = dict(costs), dict(found)
    cost, families = COSTS[key], dict[str, list[tuple[PublishedNetwork, float]]]()
    for one in published_networks():
        if (value := cost.of(one)) is not None:
            families.setdefault(one.family, []).append((one, value))
    curves = [
        Curve(f"{family} (quoted)", tuple((value, one.top1, None, None) for one, value in rows), quoted=True)
        for family, rows in families.items()
    ]
    measured = [Curve(name, ((own[name], top1, None, None),)) for name, top1 in accuracies.items() if name in own]
    marks = tuple((name, value) for name, value in own.items() if name not in accuracies)
    title = f"Published networks by {cost.label}"
    told = "".join(f" {name} has {cost.show(value)}." for name, value in own.items())
    description = f"Accuracy on ImageNet, quoted, over {cost.label}, a curve for each of {len(curves)} families.{told}"
    figure = lines_figure([Panel(cost.label, (*measured, *curves), marks=marks)])
    columns = (
        text_column("family"), text_column("network"), Column("px"), Column(cost.label, cost.show),
        Column("top-1, %", percent), text_column(""),
    )  # fmt: skip
    rows: list[Any] = [("this report", name, None, value, accuracies.get(name), "") for name, value in own.items()]
    rows += [
        (family, one.name, one.resolution, value, one.top1, "quoted")
        for family, found in families.items()
        for one, value in found
    ]
    return Chart(title, inline_svg(figure, title, description), Table(columns, rows))
