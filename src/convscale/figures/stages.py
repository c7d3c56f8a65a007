"""The picture of where a network's budget goes: its stages' shares of what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convscale.figures.lines import add_legend
from convscale.figures.style import look, new_figure, plain

MAX_OPERATOR = 34  # characters beside a bar
WIDTH = 6.4


def stages_figure(stages: Sequence[str], costs: Mapping[str, Sequence[float]]) -> Any:
    """A group of bars per stage, the first on top, a bar per kind of cost: its share of the total in %."""
    figure = new_figure(WIDTH, 0.9 + (0.14 * len(costs) + 0.12) * len(stages))
    axes = figure.add_subplot()
    height = 0.8 / max(len(costs), 1)
    for index, (name, values) in enumerate(costs.items()):
        total = sum(values)
        shares = [100 * value / total if total else 0.0 for value in values]
        places = [at + (index - (len(costs) - 1) / 2) * height for at in range(len(stages))]
        axes.barh(places, shares, height, color=look(1 + index).colour, label=name)
    axes.set_yticks(range(len(stages)), [plain(name, MAX_OPERATOR) for name in stages], fontsize=8)
    axes.set(xlabel="share of the network's total, %", ylim=(len(stages) - 0.45, -0.55))
    axes.grid(alpha=0.3, axis="x")
    add_legend(figure)
    return figure
