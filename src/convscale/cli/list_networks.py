"""convscale list"""

from __future__ import annotations

import click

from convscale.catalog import CATALOG, network, source
from convscale.cli.shared import json_option, print_json, print_table
from convscale.costs import cost
from convscale.units import format_count


@click.command("list")
@json_option
def command(as_json: bool) -> None:
    """The networks that have a name, with parameters and MACs."""
    costs = {name: cost(network(name)) for name in CATALOG}
    if as_json:
        rows = [
            {"name": name, "resolution": item.resolution, "params": item.params, "macs": item.macs,
             "source": source(name)}
            for name, item in costs.items()
        ]  # fmt: skip
        print_json(networks=rows)
        return
    from rich.table import Table

    table = Table("name", box=None)
    for heading in ("px", "params", "MACs"):
        table.add_column(heading, justify="right")
    table.add_column("source")
    for name, item in costs.items():
        sizes = (str(item.resolution), format_count(item.params), format_count(item.macs))
        table.add_row(name, *sizes, source(name))
    print_table(table)
