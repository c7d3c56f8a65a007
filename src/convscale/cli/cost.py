"""convscale cost"""

from __future__ import annotations

import click

from convscale.cli.options import classes_option, json_option, load_network
from convscale.cli.output import print_cost, print_json
from convscale.cli.parameters import PIXELS
from convscale.costs import cost


@click.command()
@click.argument("network")
@classes_option
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side.")
@json_option
def command(network: str, classes: int | None, resolution: int | None, as_json: bool) -> None:
    """Show parameters, MACs, activations, file size and memory of NETWORK (name, TOML file, run or weights file)."""
    item = cost(load_network(network, classes, resolution))
    if as_json:
        print_json(item)
    else:
        print_cost(item)
