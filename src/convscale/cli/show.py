"""convscale show"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from convscale.cli.options import classes_option, json_option, load_network
from convscale.cli.output import print_json, print_table, print_text
from convscale.cli.parameters import PIXELS
from convscale.costs import CostRow, stage_rows
from convscale.files import format_toml
from convscale.headers import WeightsHeader, read_header
from convscale.report.networks import operators, stage_table
from convscale.report.runs import describe_run, run_story
from convscale.runs import Run, open_unfinished_run
from convscale.schema import to_table
from convscale.units import printable

SHOWN_CLASSES = 10


@dataclass(frozen=True, slots=True)
class ShownStage:
    """A row of the table: the block in words, and what the stage costs."""

    JSON: ClassVar = ("operator", "**row")

    operator: str
    row: CostRow


@dataclass(frozen=True, slots=True)
class ShownNetwork:
    """A network as its stages."""

    name: str
    resolution: int
    stages: tuple[ShownStage, ...]


@click.command()
@click.argument("network")
@classes_option
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side.")
@click.option("--toml", "as_toml", is_flag=True, help="Print the network as TOML, to copy and change.")
@json_option
def command(network: str, classes: int | None, resolution: int | None, as_toml: bool, as_json: bool) -> None:
    """Show the stages of NETWORK, as table 1 of the paper; of a weights file, what else it holds; of a run, its story.

    NETWORK is a name, a TOML file, a run or a weights file.

    The receptive field is the side in input pixels that one output value sees: where it outgrows the input,
    more depth sees nothing more, which is why resolution must follow depth.
    """
    if as_toml and as_json:
        raise click.UsageError("give one of --toml, --json")
    run = _run(network)
    if run is not None and not (as_toml or as_json) and classes is None and resolution is None:
        print("\n".join(describe_run(run)))
        return
    net = load_network(network, classes, resolution)
    if as_toml:
        print(format_toml(to_table(net)), end="")
        return
    header = _header(network, run)
    if as_json:
        stages = [ShownStage(*pair) for pair in zip(operators(net), stage_rows(net), strict=True)]
        weights = {} if header is None else {"weights": header}
        story = {} if run is None else {"run": run_story(run)}
        print_json(ShownNetwork(net.name, net.resolution, tuple(stages)), **weights, **story)
        return
    print_table(stage_table(net))
    if header is not None:
        _print_header(header)


def _run(network: str) -> Run | None:
    return open_unfinished_run(Path(network)) if (Path(network) / "environment.json").exists() else None


def _header(network: str, run: Run | None) -> WeightsHeader | None:
    if run is not None:
        return read_header(run.weights) if run.weights.exists() else None
    return read_header(Path(network)) if network.endswith(".safetensors") else None


def _print_header(header: WeightsHeader) -> None:
    network, origin = header.network, header.provenance
    names = ", ".join(map(printable, header.classes[:SHOWN_CLASSES]))
    more = f" and {len(header.classes) - SHOWN_CLASSES:,} more" if len(header.classes) > SHOWN_CLASSES else ""
    print()
    print_text(
        f"weights        format version {header.format_version}, padding {network.padding}, BN eps {network.norm_eps:g}"
    )
    print_text(f"preprocessing  {header.preprocessing.in_words()}")
    print_text(f"classes        {names}{more}")
    if origin is not None:
        print_text(
            f"from           {printable(origin.source)}, {origin.dialect}, licence {origin.licence or 'unknown'}"
        )
        print_text(f"sha256         {origin.sha256}")
        for note in origin.notes:
            print_text(f"note           {printable(note)}")
