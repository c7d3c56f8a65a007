"""convscale scale"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.laws import law_options, pick_law
from convscale.cli.options import (
    classes_option,
    json_option,
    load_network,
    output_option,
)
from convscale.cli.output import (
    print_cost,
    print_json,
    print_text,
    write_output,
)
from convscale.costs import cost
from convscale.errors import ConfigError
from convscale.networks import MAX_RESOLUTION, ConvNet
from convscale.records import ScaledNetwork
from convscale.scaling import Scaling, published, round_resolution, scale


@click.command()
@click.argument("network")
@click.option("--phi", type=float, help="Compound coefficient: any number, 0 is the baseline.")
@law_options
@click.option("--depth", type=float, metavar="D", help="Multiplier of repeats.")
@click.option("--width", type=float, metavar="W", help="Multiplier of channels.")
@click.option("--resolution", type=float, metavar="R", help="Multiplier of the input side.")
@click.option("--published", "member", metavar="NAME", help="Released coefficients: b0 to b8, l2, lite0 to lite4.")
@classes_option
@output_option
@json_option
def command(
    network: str, phi: float | None, law_name: str | None, alpha: float | None, beta: float | None, gamma: float | None,
    depth: float | None, width: float | None, resolution: float | None, member: str | None,
    classes: int | None, output: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Scale NETWORK once, by a law at phi, by multipliers, or as published.

    NETWORK is a name, a TOML file, a run or a weights file.
    """
    multipliers = {"depth": depth, "width": width, "resolution": resolution}
    given = {name: value for name, value in multipliers.items() if value is not None}
    if sum((phi is not None, bool(given), member is not None)) != 1:
        raise click.UsageError("give one of --phi, --depth/--width/--resolution, --published")
    if phi is None and (law_name, alpha, beta, gamma) != (None, None, None, None):
        raise click.UsageError("--law, --alpha, --beta, --gamma go with --phi")
    base = load_network(network, classes)
    if resolution is not None:
        _require_multiplier(base, resolution)
    label = "multipliers"
    if phi is not None:
        law = pick_law(law_name, alpha, beta, gamma)
        label, scaling = law.name, law(phi)
    elif member is not None:
        label, scaling = f"published {member}", published(member)
    else:
        scaling = Scaling(**given)
    scaled = scale(base, scaling)
    item = cost(scaled)
    write_output(scaled, output)
    if as_json:
        print_json(ScaledNetwork(label, phi, scaling, scaled, item))
        return
    growth = item.macs / cost(base).macs
    print_text(f"{base.name} by {label}: depth x{scaling.depth:.3g}, width x{scaling.width:.3g}, "
               f"resolution x{scaling.resolution:.3g}; true MACs x{growth:.2f}")  # fmt: skip
    print_cost(item)


def _require_multiplier(base: ConvNet, times: float) -> None:
    """Raise ConfigError for what can only be meant as pixels: a side that the network takes, of 16 or more. The largest
    published multiplier is 3.6."""
    if not max(16, base.total_stride) <= times <= MAX_RESOLUTION:
        return
    side = round_resolution(times, base.rules.resolution_step, base.total_stride)
    raise ConfigError(
        f"--resolution {times:g} is a multiplier here: {times:g} times {base.resolution} pixels are "
        f"{times * base.resolution:,.0f}",
        hint=f"{side} pixels are --resolution {side / base.resolution:.4g}; in other commands it is in pixels",
    )
