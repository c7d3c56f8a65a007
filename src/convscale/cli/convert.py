"""convscale convert"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.shared import PIXELS, json_option, print_json

if TYPE_CHECKING:
    from convscale.dialects import Conversion

FROM = ("timm", "torchvision", "lukemelas", "transformers", "keras", "tf")
TO = ("timm", "torchvision")


def _numbers(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Three numbers, or one for all channels."""
    if value is None:
        return None
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise click.BadParameter(f"{value!r} is not a number, nor three with commas, of values from 0 to 1")
    return numbers


@click.command()
@click.argument("source", metavar="IN")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="What is written.")
@click.option("--from", "dialect", type=click.Choice(FROM), help="The library that IN is of [by its names].")
@click.option("--network", metavar="NAME|FILE", help="Of the catalog, TOML, or published: tf_efficientnet_b0.in1k.")
@click.option("--padding", type=click.Choice(("same", "symmetric")), help="SAME as TensorFlow pads, or k // 2.")
@click.option("--bn-eps", type=click.FloatRange(0, 1, min_open=True), help="Epsilon of every batch norm.")
@click.option("--mean", callback=_numbers, metavar="M[,M,M]", help="Of pixel values from 0 to 1.")
@click.option("--std", callback=_numbers, metavar="S[,S,S]", help="Of pixel values from 0 to 1.")
@click.option("--crop", type=click.FloatRange(0.1, 1), help="Share of the resized image that is looked at.")
@click.option("--resolution", type=PIXELS, metavar="PX", help="Side of the input.")
@click.option("--classes", type=click.Path(path_type=Path), metavar="FILE", help="Class names, one a line.")
@click.option("--to", type=click.Choice(TO), help="Write another library's file; IN is then Convscale's or any.")
@click.option("--verify", type=click.Path(path_type=Path), metavar="IMAGES",
              help="Compare logits with the library's own network on these images.")  # fmt: skip
@json_option
def command(
    source: str, output: Path, dialect: str | None, network: str | None, padding: str | None, bn_eps: float | None,
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, crop: float | None, resolution: int | None,
    classes: Path | None, to: str | None, verify: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Weights of another library as a Convscale file, or a Convscale file as another library's.

    What a file does not say, its padding, BN eps and preprocessing, is taken from what its library publishes, or from
    the options, and is told.
    """
    if output.is_dir() or not output.parent.is_dir():
        raise click.UsageError(f"-o {output}: no file can be written there")
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise click.UsageError(f"-o {output} is IN itself: name another file")
    from convscale.dialects import Choices, convert

    names = classes.read_text("utf-8").splitlines() if classes else []
    done = convert(
        source, output, dialect=dialect, to=to, verify=verify,
        choices=Choices(
            network=network, padding=padding, norm_eps=bn_eps, mean=mean, std=std, crop=crop,  # type: ignore[arg-type]
            resolution=resolution, classes=tuple(name for name in names if name.strip()) or None,
        ),
    )  # fmt: skip
    if as_json:
        print_json(done.as_dict())
    else:
        _tell(done, output)


def _tell(done: Conversion, output: Path) -> None:
    print(f"{output}: {done.network}, {done.tensors} tensors, {done.dialect}")
    for note in done.notes:
        print(f"  {note}")
    if done.unused:
        print(f"  not used: {', '.join(done.unused)}")
    if done.missing:
        print(f"  not in the file: {', '.join(done.missing)}")
    if done.max_relative_difference is not None:
        print(f"  logits differ by at most {done.max_relative_difference:.2g} of the largest")
    sys.stdout.flush()
