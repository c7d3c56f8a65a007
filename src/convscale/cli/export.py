"""convscale export"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.options import DATA_HELP, json_option
from convscale.cli.output import print_json, print_text, require_writable
from convscale.runs import weights_file
from convscale.units import format_bytes

if TYPE_CHECKING:
    from convscale.records import ExportRecord

FORMATS = ("onnx", "openvino", "torch", "litert", "executorch", "coreml")


@click.command()
@click.argument("run")
@click.option("--to", type=click.Choice(FORMATS), required=True, help="Format of the file.")
@click.option(
    "--preprocessing",
    type=click.Choice(("outside", "inside")),
    default="outside",
    show_default=True,
    help="Whether the file takes normalised images or pixels from 0 to 255, both resized and cropped.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="File [default: by the weights].")
@click.option("--data", help=f"Compare on its held-out images: {DATA_HELP}")
@click.option("--images", multiple=True, metavar="IMAGES", help="Compare on these: a file, a folder, a pattern.")
@click.option("--label-column", help="Column of labels in a CSV or parquet file [default: the run's, or label].")
@click.option("--int8", is_flag=True, help="Quantise to eight bits, for --to onnx or openvino.")
@click.option("--calibrate", metavar="DATA", help="Data whose training images set the ranges of int8.")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=1.0,
    show_default=True,
    metavar="POINTS",
    help="Points of top-1 accuracy that int8 may lose on held-out images.",
)
@json_option  # fmt: skip
def command(
    run: str, to: str, preprocessing: str, output: Path | None, data: str | None, images: tuple[str, ...],
    label_column: str | None, int8: bool, calibrate: str | None, max_drop: float, as_json: bool,
) -> None:  # fmt: skip
    """Export RUN (a run folder or a weights file) to a file of another runtime.

    The file is run again and compared with RUN before it is kept; FILE.json beside it ties it to the network, the
    weights and the budget by their hashes. `convscale predict` and `convscale eval` take FILE as they take RUN.
    """
    if int8 != (calibrate is not None):
        raise click.UsageError("--int8 and --calibrate DATA belong together")
    weights_file(Path(run))  # a mistyped run is refused before PyTorch is loaded
    require_writable(output)
    from convscale.deploy.exporting import export

    record = export(
        run, to, output=output, preprocessing=preprocessing, data=data, images=images or None,
        label_column=label_column, calibrate=calibrate, max_drop=max_drop,
    )  # fmt: skip
    print_json(record) if as_json else _tell(record)


def _tell(record: ExportRecord) -> None:
    from convscale.deploy.quantisation.searching import in_words

    lines = [f"wrote {record.path}: {format_bytes(record.bytes)}, {record.dtype}, takes {record.input}"]
    if record.comparison is not None:
        one = record.comparison
        what = "images" if one.images == "given" else "images of noise"
        lines.append(
            f"run again by {one.engine} on {one.n:,} {what}: the same first class for {one.top1_agreement:.2%}, "
            f"largest difference {one.max_relative_difference:.1g} of the largest logit"
        )
    if record.int8 is not None:
        int8 = record.int8
        lines += [
            f"int8: {in_words(int8.chosen)}; float32 {100 * int8.accuracy_before:.1f} % of the same {int8.n:,} images",
            f"int8 is {int8.worth}",
        ]
    print_text(*lines, f"manifest {record.manifest}")
