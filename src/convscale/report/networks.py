"""Tables of networks: the catalog, one network's stages and costs, a plan, a family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from convscale.catalog import source
from convscale.costs import Cost, stage_rows
from convscale.networks import ConvNet, describe_head, describe_stage, describe_stem
from convscale.planning import Family, FamilyMember, Plan, format_limit
from convscale.planning.planner import change
from convscale.records import TrainedFamily
from convscale.report.tables import Column, Table, interval, text_column
from convscale.units import format_bytes, format_count

LIMIT_HEADINGS = {
    "macs": "MACs",
    "file_bytes": "file",
    "latency_seconds": "latency",
    "inference_memory_bytes": "mem\u00adory",
    "training_memory_bytes_fixed": "train\u00ading mem\u00adory, fixed",
    "training_memory_bytes_per_image": "train\u00ading mem\u00adory per image",
}
_factor: Callable[[float], str] = "x{:.3f}".format
_ratio: Callable[[float], str] = "{:.2f}x".format


def network_table(costs: Mapping[str, Cost]) -> Table:
    """The named networks."""
    columns = (
        text_column("name"), Column("px"), Column("params", format_count), Column("MACs", format_count),
        text_column("source", wrap=True),
    )  # fmt: skip
    return Table(columns, [(name, one.resolution, one.params, one.macs, source(name)) for name, one in costs.items()])


def operators(network: ConvNet) -> list[str]:
    """Of the stem, each stage and the head, as table 1 of the paper names them."""
    return [describe_stem(network), *map(describe_stage, network.stages), describe_head(network)]


def stage_table(network: ConvNet) -> Table:
    """A network's stages, as table 1 of the paper, and its totals."""
    columns = (
        text_column("#"), text_column("operator", wrap=True), Column("input"), Column("chan\u00adnels"),
        Column("re\u00adpeats"), Column("params", format_count), Column("MACs", format_count),
        Column("acti\u00advations", format_count, detail=1), Column("recep\u00adtive field", detail=2),
    )  # fmt: skip
    rows = stage_rows(network)
    lines = [
        (
            index, operator, f"{row.in_size}x{row.in_size}", row.out_channels, row.repeats, row.params, row.macs,
            row.activations, None if index == len(rows) else row.receptive_field,
        )
        for index, (operator, row) in enumerate(zip(operators(network), rows, strict=True), start=1)
    ]  # fmt: skip
    sums = (sum(getattr(row, key) for row in rows) for key in ("params", "macs", "activations"))
    total = (None, "total", None, None, sum(row.repeats for row in rows[1:-1]), *sums, None)
    return Table(columns, [*lines, total], f"{network.name}, {network.resolution} px")


def cost_table(cost: Cost) -> Table:
    """What a network costs, one item per line."""
    rows = [
        (f"  {key}", value, (format_bytes if "bytes" in key else format_count)(value))
        for key, value in cost.as_dict().items()
        if key not in ("name", "resolution", "num_classes")
    ]
    columns = (text_column(""), Column("", "{:,}".format), text_column(""))
    return Table(columns, rows, f"{cost.name}  {cost.resolution} px, {cost.num_classes} classes")


def plan_table(planned: Plan) -> Table:
    """The planned network, what the law alone would give, and other ways to spend the budget."""
    limits = planned.limits
    words = {key: LIMIT_HEADINGS.get(key, key) for key in (*limits, "params", "macs")}
    columns = [
        text_column(""), Column("phi", "{:.2f}".format), Column("off law", "{:.1%}".format), Column("blocks"),
        Column("chan\u00adnels", _factor), Column("pixels"),
        *(Column(words[key], partial(format_limit, key)) for key in ("params", "macs")),
        *(Column(f"{words[key]} of {format_limit(key, limit)}", _share) for key, limit in limits.items()),
    ]  # fmt: skip
    labelled = [("plan", planned.chosen)]
    labelled += [("naive", planned.naive)] if planned.naive else []
    labelled += [("or", other) for other in planned.alternatives]
    rows = [
        (
            label, one.phi, None if one is planned.naive else one.off_law, change(*one.blocks), one.scaling.width,
            change(planned.baseline.resolution, one.network.resolution), one.cost.params, one.cost.macs,
            *one.used.values(),
        )
        for label, one in labelled
    ]  # fmt: skip
    return Table(columns, rows)


def _share(used: float) -> str:
    """Of a limit; ! where it is exceeded."""
    return f"{used:.1%}{'!' if used > 1 else ''}"


def family_table(made: Family | TrainedFamily) -> Table:
    """The networks of a family, true costs beside 2^phi, and what they came to where they are trained."""
    columns = [
        Column("phi", "{:g}".format), Column("depth", _factor), Column("width", _factor), Column("px"),
        Column("params", format_count), Column("MACs", format_count), Column("true cost", _ratio),
        Column("2^phi", _ratio),
    ]  # fmt: skip
    if isinstance(made, Family):
        return Table(columns, [_scaled(one) for one in made.members])
    columns += [Column("top-1", _accuracy), Column("95 %", interval), Column("seeds")]
    trained = [
        (*_scaled(one.member), "failed" if one.accuracy is None else one.accuracy, one.interval95, one.seeds)
        for one in made.members
    ]
    return Table(columns, trained)


def _scaled(one: FamilyMember) -> tuple[Any, ...]:
    scaling, total = one.scaling, one.cost
    factors = (scaling.depth, scaling.width, one.network.resolution)
    return one.phi, *factors, total.params, total.macs, one.cost_ratio, one.ideal_ratio


def _accuracy(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"
