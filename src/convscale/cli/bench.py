"""convscale bench"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table, print_text, require_writable
from convscale.cli.parameters import Words
from convscale.records import ComputedIn, write_record

if TYPE_CHECKING:
    from convscale.records import Bench


@click.command()
@click.argument("networks", nargs=-1, metavar="[NAME|FILE|RUN]...")
@click.option(
    "--engine", "engines", type=Words("eager,packed"), default=(), metavar="NAME[,...]|all",
    help="Engines to run them in; auto chooses one, all are those installed and auto "
    "[default: eager; of exported files that of their format].",
)  # fmt: skip
@click.option(
    "--dtype", "dtypes", type=Words("float32,bfloat16", get_args(ComputedIn)), default=(), metavar="T[,...]",
    help="Numbers to compute in: float32, bfloat16, int8 [default: float32; of exported files their own].",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads that compute.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Images at once.")
@click.option("--end-to-end", is_flag=True, help="Time decoding and preprocessing of the images too.")
@click.option(
    "--seconds", type=click.FloatRange(0, 3600, min_open=True), default=2.0, show_default=True,
    help="Time spent on each row.",
)  # fmt: skip
@click.option("--table4", is_flag=True, help="Time the networks of the paper's table 4, beside its figures.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE", help="Draw it, as .png, .svg and .pdf.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the whole record as JSON.")
@json_option
def command(
    networks: tuple[str, ...], table4: bool, picture: Path | None, output: Path | None, as_json: bool, **options: Any
) -> None:
    """Measure how long networks take on this machine: each NAME, FILE or RUN in each engine, in interleaved rounds.

    FILE is a network as TOML, a weights file, or an exported file (.onnx, .xml).
    A row that other work on the machine disturbed is measured again, and marked busy if that does not help.
    """
    _require_agreement(networks, table4, options)
    require_writable(picture, "--picture")
    require_writable(output)
    from convscale.deploy.benching import bench_networks, bench_table4

    found = bench_table4(engines=options["engines"] or ("eager",)) if table4 else bench_networks(networks, **options)
    if output is not None:
        write_record(output, found)
        print(f"wrote {output}", file=sys.stderr)
    if picture is not None:
        _draw(found, picture)
    print_json(found) if as_json else _print(found)


def _require_agreement(networks: tuple[str, ...], table4: bool, options: dict[str, Any]) -> None:
    """Raise click.UsageError unless there are networks, or those of table 4 as the paper measured them."""
    if not table4 and not networks:
        raise click.UsageError("name a network, a file or a run, or give --table4")
    context = click.get_current_context()
    given = [name for name in options if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE]
    if table4 and (networks or set(given) - {"engines"}):
        raise click.UsageError("--table4 has its own networks, threads, batch and runs; it goes with --engine alone")


def _draw(found: Bench, picture: Path) -> None:
    from convscale.figures import draw_bench
    from convscale.report.bench import bench_text

    draw_bench(found, picture, bench_text(found)[:1])
    print(f"wrote {picture.with_suffix('.png')}, .svg and .pdf", file=sys.stderr)


def _print(found: Bench) -> None:
    from convscale.report.bench import bench_tables, bench_text, table4_table

    for place, table in enumerate(bench_tables(found)):
        if place:
            print()
        print_table(table)
    if found.quoted:
        print()
        print_table(table4_table(found))
    print()
    print_text(*bench_text(found))
