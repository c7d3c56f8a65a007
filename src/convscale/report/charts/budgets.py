"""Where a network's parameters, MACs and activations go."""

from __future__ import annotations

from convscale.costs import stage_rows
from convscale.figures.stages import stages_figure
from convscale.figures.svg import inline_svg
from convscale.networks import ConvNet
from convscale.report.networks import operators
from convscale.report.parts import Chart
from convscale.report.tables import Column, Table, text_column

COSTS = {"params": "parameters", "macs": "MACs", "activations": "activations"}


def budget_chart(network: ConvNet) -> Chart:
    """Each stage's share of the network's parameters, MACs and activations."""
    rows, names = stage_rows(network), operators(network)
    costs = {label: [getattr(row, key) for row in rows] for key, label in COSTS.items()}
    stages = [f"{index}: {name}" for index, name in enumerate(names, start=1)]
    title = "Shares of parameters, MACs and activations by stage"
    most = {label: values.index(max(values)) for label, values in costs.items()}
    told = "; ".join(f"most {label} in stage {stages[at]}" for label, at in most.items())
    svg = inline_svg(stages_figure(stages, costs), title, f"Bars for {len(rows)} stages, from the stem down. {told}.")
    columns = [text_column("stage"), *(Column(label, "{:.1%}".format) for label in costs)]
    shares = [[value / sum(values) if sum(values) else 0.0 for value in values] for values in costs.values()]
    return Chart(title, svg, Table(columns, list(zip(stages, *shares, strict=True))))
