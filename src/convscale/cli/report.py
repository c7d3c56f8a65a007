"""convscale report"""

from __future__ import annotations

from pathlib import Path

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json


@click.command()
@click.argument("sources", metavar="RUN|STUDY|SEARCH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The file, such as report.html.",
)
@json_option
def command(sources: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Write what the folders say as one HTML file that stands alone: no script in it, nothing fetched.

    What has no record is left out, with the command that makes it. A run that still trains is reported as far as it is.
    """
    from convscale.report.writing import write_report

    size = write_report(sources, output).stat().st_size
    print_json(path=str(output), bytes=size) if as_json else print(f"wrote {output}: {size:,} bytes")
