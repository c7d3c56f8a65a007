"""convscale cost"""

from __future__ import annotations

import click

from convscale.cli.shared import PIXELS, classes_option, json_option, load_network, print_cost, print_json
from convscale.costs import cost


@click.command()
@click.argument("network")
@classes_option
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side.")
@json_option
def command(network: str, classes: int | None, resolution: int | None, as_json: bool) -> None:
    """Parameters, MACs, activations, file size and memory of NETWORK (a name or a file)."""
    item = cost(load_network(network, classes, resolution))
    if as_json:
        print_json(item.as_dict())
    else:
        print_cost(item)
