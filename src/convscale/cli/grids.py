"""convscale study run, of studies of published trainings."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from convscale.cli.output import print_json, print_table, print_text


def run_published(study: str, output: Path | None, as_json: bool) -> None:
    """Run a study that trains nothing; options that say how to train are refused."""
    context, allowed = click.get_current_context(), ("study", "output", "as_json", "quiet")
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in allowed and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[0]}: study {study} trains nothing, and takes -o, -q and --json alone"
            )
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    from convscale.report.grids import conclusions, gain_table
    from convscale.studies.grids import run_grids

    result = run_grids(study, output)
    if as_json:
        print_json(result)
        return
    print_table(gain_table(result))
    print_text(*conclusions(result))
    print(f"report  {output / 'report.md'}")
