"""The report of a study of published trainings, as Markdown."""

from __future__ import annotations

from convscale.records.grids import GridGain, GridNetwork, GridResult
from convscale.report.tables import Column, Table, markdown, percent, point_interval, points, text_column
from convscale.units import format_count


def report(result: GridResult) -> list[str]:
    """The lines of the report."""
    spec = result.spec
    misprints = sum(abs(point.macs - point.published_macs) > 1e6 for point in result.points)
    lines = [f"# {spec.name}", "", spec.question, ""]
    lines += [
        f"{len(result.points)} published trainings on ImageNet, one per network; no training was done here. Accuracies "
        f"are quoted from {spec.source}. MACs are counted on the catalog's networks"
        + (f"; {misprints} of the printed ones are misprints." if misprints else "."),
        "",
        f"`convscale study run {spec.name} -o DIR` reproduces it, without data.",
    ]
    lines += ["", "## Findings", "", *conclusions(result)]
    lines += ["", "![accuracy over MACs at several resolutions](pictures/grids.png)"]
    lines += ["", "## The mixed network beside those scaled in one dimension", "", *markdown(gain_table(result))]
    lines += [
        "",
        "A pure network is scaled from width 1 at 224 px in one dimension alone; the mixed one is the best mix of the "
        "two by the law, at the same MACs. That choice flatters it a little, so the even mix stands beside it: it "
        "takes half of the saving, in logarithms, from each dimension, and no accuracy chose it. Widths and "
        "resolutions between the published ones, and their costs, are interpolated: a real network between multiples "
        "of 32 px costs more, as its feature maps round up.",
        "",
        "Intervals are 95 % each, by the delta method and Student's t, from the law's residuals; they hold noise of "
        "training and misfit of the law as far as these are independent from network to network.",
    ]
    lines += ["", "## The laws", ""]
    lines += [
        "log(1 - top-1) as a quadratic in x and z = log(resolution / 224); x is log(width) as its cost counts it, half "
        "of the logarithm of the MACs at 224 px beside those of width 1:",
        "",
    ]
    return [*lines, *markdown(law_table(result))]


def conclusions(result: GridResult) -> list[str]:
    """One line per family."""
    lines = []
    for network in dict.fromkeys(one.network for one in result.gains):
        own = [one for one in result.gains if one.network == network and one.gain is not None]
        sure = [one for one in own if one.interval95 is not None and one.interval95[0] > 0]
        leads = "; ".join(f"{_lead(one)} ahead of {one.against} alone at {format_count(one.macs)} MACs" for one in sure)
        line = f"- {network}: the interval of the mixed network's lead is above zero in {len(sure)} of {len(own)} "
        lines.append(f"{line}comparisons: {leads}." if leads else f"{line}comparisons.")
    return lines


def _lead(one: GridGain) -> str:
    low, high = one.interval95 or (0.0, 0.0)
    return f"{100 * (one.gain or 0):.1f} points ({100 * low:.1f} to {100 * high:.1f})"


def gain_table(result: GridResult) -> Table:
    """Each pure network beside the mixed one of its cost."""
    columns = (
        text_column("network"), Column("MACs", format_count), text_column("alone"), Column("pure", _network),
        Column("top-1, %", percent), Column("mixed", _network), Column("top-1, %", percent),
        Column("gain, points", points), Column("95 %", point_interval), Column("even mix's gain", points),
        Column("95 %", point_interval),
    )  # fmt: skip
    rows = [
        (
            one.network, one.macs, one.against, one.pure or "not in the grid", one.pure and one.pure.top1, one.mixed,
            one.mixed and one.mixed.top1, one.gain, one.interval95, one.even_gain, one.even_interval95,
        )
        for one in result.gains
    ]  # fmt: skip
    return Table(columns, rows)


def law_table(result: GridResult) -> Table:
    """The coefficients, and how well they fit."""
    number = "{:.4f}".format
    columns = (
        text_column("network"), Column("trainings"), *(Column(name, number) for name in
        ("1", "x", "z", "x^2", "xz", "z^2")), Column("residual", number), Column("leave-one-out, points", percent),
    )  # fmt: skip
    rows = [(one.network, one.points, *one.coefficients, one.residual, one.leave_one_out) for one in result.laws]
    return Table(columns, rows)


def _network(one: GridNetwork | str) -> str:
    return one if isinstance(one, str) else f"x{one.width:.2f}, {one.resolution:.0f} px"
