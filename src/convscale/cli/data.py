"""convscale data"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.options import (
    json_option,
    label_column_option,
    layout_option,
    range_option,
)
from convscale.cli.output import (
    print_json,
    print_notes,
    print_table,
    print_text,
    require_writable,
)
from convscale.units import printable

if TYPE_CHECKING:
    from convscale.data.check import DataCheck, DuplicateGroup, Finding
    from convscale.data.layouts import Layout

SHOWN = 5  # of each kind


@click.group("data")
def command() -> None:
    """Inspect a data set before training."""


@command.command()
@click.argument("data")
@label_column_option
@layout_option
@range_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write a list of images to leave out."
)
@json_option
def check(
    data: str, label_column: str, layout: Layout | None, stored_range: tuple[float, float] | None,
    output: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Read every image of DATA in full and report damaged, unusual, duplicated and leaked ones.

    DATA is digits, a folder of images, parquet, or a name of `convscale data sets`. No file of it is changed. FILE
    lists unreadable images, duplicates, training images that are also held out, and duplicates with contradicting
    labels.
    """
    require_writable(output)
    from convscale.data.check import check_data

    found = check_data(data, label_column=label_column, layout=layout, stored_range=stored_range)
    print_notes(found)
    if output is not None:
        _write(found, output)
    if as_json:
        print_json(found)
        return
    _print_summary(found)
    _print_findings("unreadable", found.unreadable)
    _print_findings("unusual", found.unusual)
    _print_groups("duplicates", found.duplicates)
    _print_groups("leaks", found.leaks)


@command.command("sets")
@json_option
def list_sets(as_json: bool) -> None:
    """List the published data sets by name: NAME reads one from the Hugging Face hub, NAME@FOLDER a local copy."""
    from convscale.data.named import NAMED_SETS

    if as_json:
        print_json(sets=list(NAMED_SETS.values()))
        return
    from convscale.report.tables import Column, Table, text_column

    columns = (
        text_column("name"), Column("classes", "{:,}".format), Column("training images", "{:,}".format),
        Column("test images", "{:,}".format), text_column("metric"), text_column("on the hub", wrap=True),
    )  # fmt: skip
    words = {"top1": "top-1", "mean_per_class": "mean per class"}
    rows = [
        (
            row.name,
            row.classes,
            row.train_images,
            row.test_images,
            words[row.metric],
            row.hub or "no: local copies only",
        )
        for row in NAMED_SETS.values()
    ]
    print_table(Table(columns, rows))


def _write(found: DataCheck, output: Path) -> None:
    from convscale.data.exclusions import exclusions, format_exclusions
    from convscale.files import write_text

    write_text(output, format_exclusions(found))
    print(f"wrote {output}: {len(exclusions(found)):,} images to leave out", file=sys.stderr)


def _print_summary(found: DataCheck) -> None:
    from convscale.report.tables import Column, Table, text_column

    imbalance = found.imbalance
    ratio = "" if imbalance.ratio is None or imbalance.ratio == 1 else f", ratio {imbalance.ratio:.3g}"
    kinds = [group.kind for group in found.duplicates]
    contradicting = sum(group.contradicts for group in found.duplicates)
    largest = f"largest {imbalance.largest} ({imbalance.largest_images:,})"
    smallest = f"smallest {imbalance.smallest} ({imbalance.smallest_images:,}){ratio}"
    groups = f"groups: {kinds.count('exact'):,} exact, {kinds.count('near'):,} near; labels differ in {contradicting:,}"
    rows = (
        ("images", sum(found.images.values()), ", ".join(f"{split} {n:,}" for split, n in found.images.items())),
        ("classes", len(found.classes), f"{largest}, {smallest}"),
        ("unreadable", len(found.unreadable), "cannot be used for training"),
        ("unusual", len(found.unusual), "readable, but worth a look"),
        ("duplicates", len(kinds), groups),
        ("leaks", len(found.leaks), "duplicates across the training split and a held-out one"),
    )
    print_table(Table((text_column(""), Column("", "{:,}".format), text_column("", wrap=True)), rows))


def _print_findings(title: str, findings: Sequence[Finding]) -> None:
    _print_first(
        title, [f"  {printable(item.image)}: {printable(item.reason)}" for item in findings[:SHOWN]], len(findings)
    )


def _print_groups(title: str, groups: Sequence[DuplicateGroup]) -> None:
    lines = []
    for group in groups[:SHOWN]:
        members = list(zip(group.images, group.labels, strict=True))
        lines.append(f"  {group.kind}{', labels contradict' if group.contradicts else ''}:")
        lines += [f"    {printable(image)} ({printable(label)})" for image, label in members[:SHOWN]]
        if len(members) > SHOWN:
            lines.append(f"    and {len(members) - SHOWN:,} more")
    _print_first(title, lines, len(groups))


def _print_first(title: str, lines: list[str], total: int) -> None:
    if total:
        print()
        print_text(title, *lines)
    if total > SHOWN:
        print_text(f"  and {total - SHOWN:,} more: --json lists all")
