"""convscale explain"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_table, print_text
from convscale.progress import print_note
from convscale.runs import weights_file
from convscale.units import printable

if TYPE_CHECKING:
    from convscale.records import ExplanationComparison, Explanations

METHOD_NAMES = ("cam", "gradcam", "gradcam++", "layercam", "eigencam")


@click.command()
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option(
    "--method",
    type=click.Choice(METHOD_NAMES),
    help="How the map is made [default: cam where the head is a pool and a linear layer, else gradcam].",
)
@click.option("--class", "class_name", metavar="NAME", help="Class to explain [default: the most probable of each].")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the pictures [default: RUN/explanations, for a file explanations/NAME].",
)
@click.option(
    "--boxes",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV of boxes around the objects (name,left,top,right,bottom as fractions): measure the maps against them.",
)
@click.option(
    "--faithful",
    is_flag=True,
    help="Measure whether the network needs what the maps point at, beside maps that know nothing (slow).",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Several networks on the same images: RUN RUN ... IMAGES, in one picture with one scale of colours.",
)
@json_option
def command(
    run: str, images: tuple[str, ...], method: str | None, class_name: str | None, output: Path | None,
    boxes: Path | None, faithful: bool, compare: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Show where RUN (a run folder or a weights file) finds what it says of IMAGES.

    IMAGES are files, folders (every image below them), or patterns in quotes ('photos/*.jpg'). Each gets a picture: the
    image, the map of the evidence for its class, and the map on the image. Images that cannot be read are reported, the
    others explained, and the exit code is 1. With --compare, all run folders and weights files among the arguments are
    networks.
    """
    networks, others = _networks(run, images) if compare else ([run], list(images))
    for network in networks:
        weights_file(Path(network))  # a mistyped run is refused before PyTorch is loaded
    from convscale.explanation import compare_explanations, keep_explanations
    from convscale.explanation.boxes import read_boxes
    from convscale.explanation.keeping import folder_for

    options: dict[str, Any] = {
        "method": method, "class_name": class_name, "faithful": faithful,
        "boxes": None if boxes is None else read_boxes(boxes),
    }  # fmt: skip
    if compare:
        compared = compare_explanations(networks, others, output, **options)
        print_json(compared) if as_json else _print_comparison(compared)
        _require_all_read(compared.networks[0].explanations)
        return
    found = keep_explanations(run, others, output, **options)
    if as_json:
        print_json(found)
    elif found.images:
        _print(found)
    print_note(f"pictures and explanations.json: {output or folder_for(Path(run))}")
    _require_all_read(found)


def _networks(run: str, others: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The networks among the arguments, and the images. Raises click.UsageError without two and one."""
    networks = [run, *(name for name in others if _is_network(Path(name)))]
    images = [name for name in others if not _is_network(Path(name))]
    if len(networks) < 2 or not images:
        raise click.UsageError("--compare takes at least two run folders or weights files, and images")
    return networks, images


def _is_network(path: Path) -> bool:
    return (path / "environment.json").exists() or path.suffix == ".safetensors"


def _require_all_read(found: Explanations) -> None:
    """End with exit code 1 where an image could not be read."""
    if found.unreadable:
        name, reason = found.unreadable[0]
        total = len(found.images) + len(found.unreadable)
        raise click.ClickException(
            f"{len(found.unreadable):,} of {total:,} images cannot be read; the first: {printable(name)}: {reason}"
        )


def _print(found: Explanations) -> None:
    from convscale.report.explanations import box_table, explanation_table, faithful_table, lost

    print_table(explanation_table(found))
    for table in (found.boxes and box_table(found.boxes), found.faithful and faithful_table(found.faithful)):
        if table:
            print_table(table)
    for part in (found.boxes, found.faithful):
        if part is not None:
            print_text(*lost(part.differences))


def _print_comparison(found: ExplanationComparison) -> None:
    from convscale.report.explanations import comparison_table, difference_table

    print_table(comparison_table(found))
    if found.differences:
        print_table(difference_table(found))
