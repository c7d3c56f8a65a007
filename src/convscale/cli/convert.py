"""convscale convert"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.options import json_option
from convscale.cli.output import print_json, print_text, require_writable
from convscale.cli.parameters import PIXELS, Numbers
from convscale.errors import ConfigError
from convscale.files import read_text

if TYPE_CHECKING:
    from convscale.dialects import Conversion

FROM = ("timm", "torchvision", "lukemelas", "transformers", "keras", "tf", "convscale")
TO = ("timm", "torchvision")


CHANNELS = Numbers(float, "0.5, or 0.485,0.456,0.406")  # one for all, or one per channel


@click.command()
@click.argument("source", metavar="IN")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Output file.")
@click.option("--from", "dialect", type=click.Choice(FROM), help="Library of IN [default: detected from tensor names].")
@click.option("--network", metavar="NAME|FILE", help="A name, a TOML file, or published: tf_efficientnet_b0.in1k.")
@click.option("--padding", type=click.Choice(("same", "symmetric")), help="TensorFlow's SAME, or k // 2 on every side.")
@click.option("--bn-eps", type=click.FloatRange(0, 1, min_open=True), help="Epsilon of every batch norm.")
@click.option("--mean", type=CHANNELS, metavar="M[,M,M]", help="Mean of pixel values from 0 to 1, or one per channel.")
@click.option("--std", type=CHANNELS, metavar="S[,S,S]", help="Their standard deviation, likewise.")
@click.option(
    "--crop", type=click.FloatRange(0.1, 1), help="Share of the resized image that the central crop keeps, as crop_pct."
)
@click.option("--resolution", type=PIXELS, metavar="PX", help="Side of the input.")
@click.option("--classes", type=click.Path(path_type=Path), metavar="FILE", help="Class names, one per line.")
@click.option("--key", metavar="NAME", help="Where the network is in a file of several, such as best or model.ema.")
@click.option("--trunk", is_flag=True, help="Convert the trunk only, whatever head the file has.")
@click.option("--to", type=click.Choice(TO), help="Write another library's file, from a Convscale file or any other.")
@click.option("--verify", type=click.Path(path_type=Path), metavar="IMAGES",
              help="Compare logits with the library's own network on these images.")  # fmt: skip
@json_option
def command(
    source: str, output: Path, dialect: str | None, network: str | None, padding: str | None, bn_eps: float | None,
    mean: tuple[float, ...] | None, std: tuple[float, ...] | None, crop: float | None, resolution: int | None,
    classes: Path | None, key: str | None, trunk: bool, to: str | None, verify: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Convert weights of another library to a Convscale file, or a Convscale file to another library's.

    IN is a file or a folder: a run, a timm or transformers folder with config.json, or any with one weights file.

    What tensors do not say (padding, BN eps, preprocessing, class names) is taken from the options, then from the file
    and its folder, then from what its library publishes; the source of each is printed.
    """
    require_writable(output)
    from convscale.dialects import Choices, convert

    names = tuple(name for name in read_text(classes).splitlines() if name.strip()) if classes else None
    if names == ():
        raise ConfigError(f"{classes}: no class names", hint="one name per line, in class order")
    done = convert(
        source, output, dialect=dialect, to=to, verify=verify,
        choices=Choices(
            network=network, padding=padding, norm_eps=bn_eps, mean=mean, std=std, crop=crop,  # type: ignore[arg-type]
            resolution=resolution, classes=names, trunk=trunk, key=key,
        ),
    )  # fmt: skip
    if as_json:
        print_json(done)
    else:
        _tell(done, output)


def _tell(done: Conversion, output: Path) -> None:
    print_text(f"{output}: {done.network}, {done.tensors} tensors, {done.dialect}")
    for note in done.notes:
        print_text(f"  {note}")
    if done.unused:
        print_text(f"  not used: {', '.join(done.unused)}")
    if done.missing:
        print_text(f"  not in the file: {', '.join(done.missing)}")
    if done.max_relative_difference is not None:
        print_text(f"  logits differ by at most {done.max_relative_difference:.2g} of the largest")
    sys.stdout.flush()
