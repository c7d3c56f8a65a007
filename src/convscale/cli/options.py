"""Options that several commands share, and what they name: laws, networks and recipes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from convscale.cli.parameters import PIXELS
from convscale.machine import loading_workers
from convscale.networks import ConvNet

if TYPE_CHECKING:
    from convscale.recipes import Recipe

F = TypeVar("F", bound=Callable[..., Any])


def resolution_options(command: F) -> F:
    """Add the options that say which resolutions a plan may take."""
    options = (
        click.option("--resolution", type=PIXELS, metavar="PX", help="Input side that the network must have."),
        click.option("--max-resolution", type=PIXELS, metavar="PX", help="Largest input side."),
        click.option("--resolution-step", type=PIXELS, default=1, metavar="N",
                     help="Input side in multiples of N pixels [default: 1]."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


DATA_HELP = (
    "digits; a folder of images, with or without a CSV; parquet; hf:NAME or hf-stream:NAME; NAME or NAME@FOLDER of "
    "`convscale data sets`."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
classes_option = click.option("--classes", type=int, metavar="N", help="Number of classes.")
output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the network as TOML."
)
label_column_option = click.option(
    "--label-column", default="label", show_default=True, help="Column of labels in a CSV or parquet file."
)
layout_option = click.option(
    "--layout", type=click.Choice(["classes", "splits"]),
    help="Whether subfolders are classes or splits [default: decided by names and contents].",
)  # fmt: skip
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed that makes the run repeatable.",
)
workers_option = click.option(
    "--workers",
    type=click.IntRange(0),
    default=loading_workers,
    show_default="0, or with a GPU as many as the cores allow",
    help="Processes that load images.",
)
epochs_option = click.option(
    "--epochs", type=click.IntRange(1), help="Passes over the images [default: from the recipe]."
)
batch_option = click.option("--batch", type=click.IntRange(2), help="Images per step [default: from the recipe].")


def _batch(ctx: click.Context, parameter: click.Parameter, value: str | None) -> int | Literal["auto"] | None:
    if value is None or value == "auto":
        return value  # type: ignore[return-value]
    if not value.isdecimal() or int(value) < 2:
        raise click.BadParameter(f"{value!r} is neither auto nor a whole number from 2")
    return int(value)


batch_or_auto_option = click.option(
    "--batch", callback=_batch, metavar="N|auto",
    help="Images per step [default: from the recipe]; auto: the recipe's, in as many parts as memory requires.",
)  # fmt: skip


def _grid(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None or value == "off":
        return None if value is None else (1, 1)
    rates, _, decays = value.partition("x")
    if not (rates.isdecimal() and decays.isdecimal() and 1 <= int(rates) <= 100 and 1 <= int(decays) <= 100):
        raise click.BadParameter(f"{value!r} is neither off nor like 3x2: learning rates x weight decays, 1 to 100")
    return int(rates), int(decays)


search_option = click.option(
    "--search", callback=_grid, metavar="RxD|off",
    help="Choose among R learning rates and D weight decays by training on a part of the training images "
    "[default: from the recipe].",
)  # fmt: skip


tune_rate_option = click.option(
    "--tune-rate", is_flag=True, default=None,
    help="Choose each network's learning rate by short trainings on a part of the training images: among three, and "
    "further ones while the greatest or the smallest is the best.",
)  # fmt: skip


def _stored_range(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float] | None:
    if value is None:
        return None
    try:
        low, high = map(float, value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not like 985,1115: two numbers") from None
    if not (low < high and math.isfinite(high - low)):
        raise click.BadParameter(f"{value!r}: the lower number comes first")
    return low, high


range_option = click.option(
    "--range", "stored_range", callback=_stored_range, metavar="LOW,HIGH",
    help="Pixel values that become 0 and 255, for 16-bit files that use part of the range [default: all of it].",
)  # fmt: skip
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe, such as optimizer.eps=1e-3.",
)

# Budget field -> option names; every limit also goes by its cost key.
_LIMITS = {
    "macs": ("--macs",),
    "params": ("--params",),
    "activations": ("--activations",),
    "file_bytes": ("--file", "--file-bytes"),
    "inference_memory_bytes": ("--inference-memory", "--inference-memory-bytes"),
    "training_memory_bytes_fixed": ("--training-memory-fixed", "--training-memory-bytes-fixed"),
    "training_memory_bytes_per_image": ("--training-memory-per-image", "--training-memory-bytes-per-image"),
    "latency_seconds": ("--latency", "--latency-seconds"),
}
_LIMIT_HELP = {
    "macs": ("600M", "multiply-adds per image."),
    "params": ("8M", "parameters."),
    "activations": ("10M", "outputs of all convolutions per image."),
    "file_bytes": ("20MB", "size of the weights file."),
    "inference_memory_bytes": ("64MB", "memory at batch 1: fp32 weights and the peak of live tensors."),
    "training_memory_bytes_fixed": ("200MB", "training memory that does not depend on the batch."),
    "training_memory_bytes_per_image": ("100MB", "training memory per image of a batch."),
    "latency_seconds": ("15ms", "time that one image takes, predicted by a profile."),
}


def running_options(command: F) -> F:
    """Add the options that say how a training is carried out."""
    options = (
        click.option("--checkpoint-seconds", type=click.FloatRange(0), default=300.0, show_default=True,
                     help="Time between checkpoints; every epoch ends with one too."),
        click.option("--compile", is_flag=True, help="Use torch.compile: slow to start, faster on GPUs."),
        click.option("--step-times", is_flag=True, help="Show the time of each part of a step."),
        click.option("--tensorboard", is_flag=True, help="Also write RUN/tensorboard."),
        click.option("--pictures/--no-pictures", default=True,
                     help="Draw the first batch, the curves and the confusion matrix [default: on]."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def recipe_from_options(
    name_or_file: str,
    epochs: int | None,
    batch: int | Literal["auto"] | None,
    settings: Sequence[str],
    search: tuple[int, int] | None = None,
) -> Recipe:
    """The recipe as the options change it. Raises ConfigError where they contradict one another."""
    from convscale.recipes import recipe
    from convscale.recipes.settings import require_agreement

    count = None if batch == "auto" else batch
    require_agreement(settings, epochs=epochs, batch=count, search=search)
    changed = recipe(name_or_file).with_changes(epochs=epochs, batch=count).with_settings(list(settings))
    return changed if search is None else changed.searching(*search)


def budget_options(command: F) -> F:
    """Add an option for every limit of a budget."""
    for key, names in reversed(_LIMITS.items()):
        example, text = _LIMIT_HELP[key]
        command = click.option(*names, key, metavar=example, help=f"Limit: {text}")(command)
    return command


def load_network(name_or_file: str, classes: int | None = None, resolution: int | None = None) -> ConvNet:
    """A network by name, from a TOML file, a run folder or a weights file, adjusted as asked."""
    from convscale.openers import network as open_network

    network = open_network(name_or_file)
    if classes is not None:
        network = network.with_classes(classes)
    return network if resolution is None else network.at_resolution(resolution)
