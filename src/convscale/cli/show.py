"""convscale show"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from convscale.cli.shared import PIXELS, classes_option, json_option, load_network, print_json, print_table
from convscale.costs import CostRow, stage_rows
from convscale.headers import FORMAT_VERSION, WeightsHeader, read_header
from convscale.networks import ConvNet, describe_head, describe_stage, describe_stem
from convscale.units import format_count, printable

SHOWN_CLASSES = 10


@click.command()
@click.argument("network")
@classes_option
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side.")
@json_option
def command(network: str, classes: int | None, resolution: int | None, as_json: bool) -> None:
    """The stages of NETWORK (a name or a file), as table 1 of the paper; of a weights file, what else it carries.

    The receptive field is the side in input pixels that one output value sees: where it outgrows the input,
    more depth sees nothing more, which is why resolution must follow depth.
    """
    net = load_network(network, classes, resolution)
    rows = stage_rows(net)
    operators = [describe_stem(net), *map(describe_stage, net.stages), describe_head(net)]
    header = read_header(Path(network)) if network.endswith(".safetensors") else None
    if as_json:
        stages = [{"operator": text} | asdict(row) for text, row in zip(operators, rows, strict=True)]
        weights = {} if header is None else {"weights": _weights(header)}
        print_json({"name": net.name, "resolution": net.resolution, "stages": stages} | weights)
        return
    _print(net, operators, rows)
    if header is not None:
        _print_header(header)


def _weights(header: WeightsHeader) -> dict[str, Any]:
    """What a weights file carries beside its tensors."""
    origin = header.provenance
    return {
        "format_version": FORMAT_VERSION,
        "preprocessing": asdict(header.preprocessing),
        "padding": header.network.padding,
        "norm_eps": header.network.norm_eps,
        "classes": header.classes,
        "provenance": None if origin is None else asdict(origin),
    }


def _print_header(header: WeightsHeader) -> None:
    network, origin = header.network, header.provenance
    names = ", ".join(map(printable, header.classes[:SHOWN_CLASSES]))
    more = f" and {len(header.classes) - SHOWN_CLASSES:,} more" if len(header.classes) > SHOWN_CLASSES else ""
    print(f"\nweights        format version {FORMAT_VERSION}, padding {network.padding}, BN eps {network.norm_eps:g}")
    print(f"preprocessing  {header.preprocessing.in_words()}")
    print(f"classes        {names}{more}")
    if origin is not None:
        print(f"from           {printable(origin.source)}, {origin.dialect}, licence {origin.licence or 'unknown'}")
        print(f"sha256         {origin.sha256}")
        for note in origin.notes:
            print(f"note           {printable(note)}")


def _print(net: ConvNet, operators: list[str], rows: list[CostRow]) -> None:
    from rich.table import Table

    table = Table("stage", "operator", box=None, title=f"{net.name}, {net.resolution} px", title_justify="left")
    for heading in ("input", "channels", "repeats", "params", "MACs", "activations", "receptive field"):
        table.add_column(heading, justify="right")
    for index, (operator, row) in enumerate(zip(operators, rows, strict=True), start=1):
        last = index == len(rows)
        counts = (format_count(row.params), format_count(row.macs), format_count(row.activations))
        table.add_row(
            str(index), operator, f"{row.in_size}x{row.in_size}",
            str(row.out_channels), str(row.repeats), *counts, "" if last else str(row.receptive_field),
        )  # fmt: skip
    total = [
        format_count(sum(values)) for values in zip(*((r.params, r.macs, r.activations) for r in rows), strict=True)
    ]
    table.add_row("", "total", "", "", str(sum(row.repeats for row in rows[1:-1])), *total, "")
    print_table(table)
