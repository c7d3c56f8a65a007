"""convscale list"""

from __future__ import annotations

import click

from convscale.catalog import CATALOG, network, source
from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table
from convscale.costs import cost
from convscale.report.networks import network_table


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """List the named networks, with parameters and MACs."""
    costs = {name: cost(network(name)) for name in CATALOG}
    if as_json:
        rows = [
            {"name": name, "resolution": item.resolution, "params": item.params, "macs": item.macs,
             "source": source(name)}
            for name, item in costs.items()
        ]  # fmt: skip
        print_json(networks=rows)
        return
    print_table(network_table(costs))
