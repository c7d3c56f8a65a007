"""convscale predict"""

from __future__ import annotations

import codecs
import glob
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from convscale.cli.options import json_option, workers_option
from convscale.cli.output import print_json, print_text
from convscale.errors import DataError
from convscale.progress import print_note
from convscale.records import PredictionSet
from convscale.runs import weights_file
from convscale.units import printable

if TYPE_CHECKING:
    from convscale.records import Prediction


@click.command()
@click.argument("run")
@click.argument("images", nargs=-1, required=True, metavar="IMAGES...")
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, help="Number of classes to print.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Images per batch.")
@workers_option
@click.option("-o", "--output", metavar="FILE", help="Write one row per image: .csv, .parquet or .jsonl.")
@json_option
def command(
    run: str, images: tuple[str, ...], top: int, batch: int, workers: int, output: str | None, as_json: bool
) -> None:
    """Predict the classes of IMAGES and their probabilities with RUN (a run folder or a weights file).

    IMAGES are files, folders (every image below them), patterns in quotes ('photos/*.jpg'), or - for a list of these
    on stdin, one per line. Images that cannot be read are reported, the others classified, and the exit code is 1.
    """
    weights_file(Path(run))  # a mistyped run is refused before PyTorch is loaded
    from convscale.evaluation import predict

    predictions = predict(
        run, _listed(images), top=top, batch=batch, workers=workers, on_unreadable="keep", output=output
    )
    if as_json:
        print_json(PredictionSet(tuple(predictions)))
    elif output is None:
        print_text(*map(_line, predictions))
    if output is not None:
        print(f"wrote {output}: {len(predictions):,} images", file=sys.stderr)
    _require_all_read(predictions)


def _listed(images: Sequence[str]) -> list[str]:
    """The names, those on stdin in the place of -."""
    names: list[str] = []
    for name in images:
        if not name.strip():
            print_note("an empty name is skipped")
            continue
        names += _lines(sys.stdin.buffer.read()) if name == "-" else [name]
    return names


def _lines(content: bytes) -> list[str]:
    """The names in a list, one per line, or between NUL characters as of `find -print0`, in the encoding that its first
    bytes name, if any. Raises DataError for one that cannot be decoded."""
    try:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = content.decode("utf-16")
        else:
            text = os.fsdecode(content.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError:
        raise DataError("the list on stdin is not text", hint="write it in UTF-8, one name per line") from None
    if "\0" in text:
        return [name for name in text.split("\0") if name.strip("\n")]
    return [_meant(line.removesuffix("\r")) for line in text.split("\n") if line.strip()]


def _meant(line: str) -> str:
    """The name on a line: as it stands, or, if no such file exists, without the blanks and quotes around it."""
    bare = line.strip()
    if len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1]
    return bare if not _matches(line) and _matches(bare) else line


def _matches(name: str) -> bool:
    return os.path.lexists(name) or bool(glob.glob(name, recursive=True))  # noqa: PTH207 absolute ones too


def _line(prediction: Prediction) -> str:
    ranked = "  ".join(f"{printable(name)} {probability:.3f}" for name, probability in prediction.classes)
    return f"{printable(prediction.image)}: {ranked or printable(prediction.error or '')}"


def _require_all_read(predictions: Sequence[Prediction]) -> None:
    """End with exit code 1 where an image could not be read."""
    unread = [one for one in predictions if one.error is not None]
    if unread:
        first = f"{unread[0].image}: {unread[0].error}"
        raise click.ClickException(f"{len(unread):,} of {len(predictions):,} images cannot be read; the first: {first}")
