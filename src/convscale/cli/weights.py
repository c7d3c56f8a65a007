"""convscale weights"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table, print_text

if TYPE_CHECKING:
    pass


@click.group("weights")
def command() -> None:
    """List and fetch published weights."""


@command.command("list")
@click.argument("network", required=False)
@json_option
def list_weights(network: str | None, as_json: bool) -> None:
    """List the weights published on the Hugging Face hub, all or those of NETWORK."""
    from convscale.catalog import network as find
    from convscale.dialects.hub_weights import hub_rows

    if network is not None:
        find(network)  # refuses a name that does not exist
    rows = [row for row in hub_rows() if network in (None, row.network)]
    if as_json:
        print_json(weights=rows)
        return
    from convscale.report.tables import Column, Table, text_column

    columns = (
        text_column("weights"), text_column("network"), Column("px"), Column("crop", "{:g}".format),
        Column("classes", "{:,}".format), text_column("padding"), text_column("licence"),
    )  # fmt: skip
    looks = [row.preprocessing for row in rows]
    print_table(
        Table(columns, [(row.name, row.network, look.size, look.crop, row.classes, row.padding, row.licence)
                        for row, look in zip(rows, looks, strict=True)])
    )  # fmt: skip


@command.command("get")
@click.argument("name")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Also copy it to FILE.")
@click.option(
    "--hub-cache", type=click.Path(path_type=Path), metavar="DIR",
    help="Cache folder of huggingface_hub [default: its own].",
)  # fmt: skip
@json_option
def get_weights(name: str, output: Path | None, hub_cache: Path | None, as_json: bool) -> None:
    """Fetch, convert and cache the weights NAME, a name of `weights list` or of a network."""
    from convscale.dialects import get_weights as get
    from convscale.headers import read_header

    path = get(name, hub_cache=hub_cache)
    header = read_header(path)
    if output is not None:
        path = Path(shutil.copyfile(path, output))
    notes = header.provenance.notes if header.provenance else ()
    if as_json:
        print_json(file=path, network=header.network.name, notes=notes)
        return
    print_text(f"{path}: {header.network.name}, {len(header.classes):,} classes")
    for note in notes:
        print_text(f"  {note}")
