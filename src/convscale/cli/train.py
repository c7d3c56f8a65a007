"""convscale train"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from convscale.cli.options import (
    DATA_HELP,
    batch_or_auto_option,
    epochs_option,
    json_option,
    label_column_option,
    layout_option,
    load_network,
    range_option,
    recipe_from_options,
    running_options,
    search_option,
    seed_option,
    set_option,
    tune_rate_option,
    workers_option,
)
from convscale.cli.output import (
    print_json,
    print_notes,
    print_text,
    print_training,
    typed_command,
)
from convscale.cli.parameters import PIXELS
from convscale.machine import launched_processes, speaks
from convscale.progress import print_note
from convscale.recipes import recipe, tuning_rate
from convscale.runs import Decision, Story, require_writable

if TYPE_CHECKING:
    from convscale.data.layouts import Layout


@click.command()
@click.argument("network")
@click.option("--data", required=True, help=DATA_HELP)
@click.option("--recipe", "recipe_name", default="small-images", show_default=True, help="A name or a TOML file.")
@epochs_option
@batch_or_auto_option
@set_option
@search_option
@tune_rate_option
@seed_option
@workers_option
@label_column_option
@layout_option
@click.option("--weights", metavar="NAME|FILE", help="Weights to start from: of `weights list`, a file or a run.")
@click.option("--resolution", type=PIXELS, metavar="PX", help="Input side [default: the network's].")
@click.option("--exclude", type=click.Path(path_type=Path), metavar="FILE", help="List of images to leave out.")
@range_option
@running_options
@click.option("--dry-run", is_flag=True, help="Measure a few steps and predict time and memory; train nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="RUN", help="Run folder.")
@json_option
def command(
    network: str, data: str, recipe_name: str, epochs: int | None, batch: int | Literal["auto"] | None,
    settings: tuple[str, ...], search: tuple[int, int] | None, label_column: str, layout: Layout | None, dry_run: bool,
    output: Path | None, as_json: bool, weights: str | None, resolution: int | None, exclude: Path | None,
    tune_rate: bool | None, **running: Any,
) -> None:  # fmt: skip
    """Train NETWORK (a name, a TOML file, a run or a weights file) on images and leave a run folder.

    An interrupted training saves its state; `convscale resume RUN` continues it.
    """
    net = load_network(network, resolution=resolution)
    _require_one_search(tune_rate, search)
    chosen = recipe_from_options(recipe_name, epochs, batch, settings, search)
    if weights is None and network.endswith(".safetensors") and speaks():
        print_note(f"{network}: architecture only, random weights; add --weights {network} to use its weights")
    if output is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if output is not None and launched_processes() == 1:
        require_writable(output)
    from convscale.data import open_dataset

    files: dict[str, Any] = {} if exclude is None else {"exclude": str(exclude.absolute())}
    if weights is not None:
        from convscale.dialects import find_weights_file

        files["weights"] = str(find_weights_file(weights).absolute())
    dataset = open_dataset(
        data, seed=running["seed"], label_column=label_column, exclude=files.get("exclude"), layout=layout
    )
    if speaks():
        print_notes(dataset)
    from convscale import training  # PyTorch, once everything else is known to be right

    net = net.with_classes(len(dataset.classes))
    chosen = chosen.for_images(len(dataset.train))
    if batch == "auto":
        chosen = training.fitted_to_memory(net, chosen)
    changed = tuple(chosen.for_network(net).changes_from(recipe(recipe_name)))
    if changed and speaks():
        print_note(f"changed from recipe {recipe_name}: {'; '.join(changed)}")
    chosen = tuning_rate(chosen, net) if tune_rate else chosen
    if dry_run:
        estimate = training.estimate(net, dataset, chosen, output, **running, **files)
        if as_json:
            print_json(estimate)
        else:
            print_text(*estimate.lines())
        return
    assert output is not None
    decisions = [Decision("recipe", recipe_name)]
    if tune_rate:
        rates = ", ".join(f"{rate:g}" for rate in sorted(chosen.search.learning_rates))
        decisions.append(Decision("learning rate", f"one of {rates}, or beyond", "--tune-rate: by short trainings"))
    if batch == "auto":
        parts = f"{chosen.batch} images a step, in {chosen.accumulation} parts"
        decisions.append(Decision("batch", parts, "what memory allows"))
    story = Story(command=typed_command(), decisions=tuple(decisions))
    run, evaluation = training.train(net, dataset, chosen, output, story=story, changed=changed, **running, **files)
    print_training(run, evaluation, as_json)


def _require_one_search(tune_rate: bool | None, search: tuple[int, int] | None) -> None:
    if tune_rate and search is not None:
        raise click.UsageError("--tune-rate and --search both choose the learning rate: give one of them.")
