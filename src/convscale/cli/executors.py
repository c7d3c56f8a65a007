"""Where trials run, and on what: what the commands that train many networks share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from convscale.cli.output import print_notes
from convscale.progress import print_note
from convscale.units import printable

if TYPE_CHECKING:
    from convscale.records import DataChoice
    from convscale.trials.executor import Executor

F = TypeVar("F", bound=Callable[..., Any])


def executor_options(command: F) -> F:
    """Add the options that say where trials run."""
    options = (
        click.option(
            "--workers", type=click.IntRange(1), metavar="N", help="Trials at once [default: cores / threads]."
        ),
        click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads per trial."),
        click.option("--cluster", metavar="ADDRESS", help="Run trials on a Ray cluster: auto or HOST:PORT."),
        click.option("--cpus", type=click.FloatRange(0), default=1, show_default=True,
                     help="CPUs per trial on the cluster."),
        click.option("--gpus", type=click.FloatRange(0), default=0, show_default=True,
                     help="GPUs per trial on the cluster; 0.25 puts four trials on one."),
        click.option("--storage", metavar="URL", help="Optuna storage [default: DIR/study.sqlite]."),
        click.option("--records", type=click.Path(path_type=Path), multiple=True, metavar="FILE",
                     help="Take finished trials from FILE, as study export --records writes it; repeatable."),
        click.option("-q", "--quiet", is_flag=True, help="Show no progress."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def executor(workers: int | None, threads: int, cluster: str | None, cpus: float, gpus: float) -> Iterator[Executor]:
    """The executor that the options ask for, closed at the end."""
    made: Executor
    if cluster is None:
        from convscale.trials.local import LocalExecutor

        made = LocalExecutor(workers, threads)
    else:
        from convscale.trials.cluster import ClusterExecutor

        made = ClusterExecutor(cluster, cpus=cpus, gpus=gpus)
    try:
        yield made
    finally:
        made.close()


def print_data_notes(choice: DataChoice, quiet: bool) -> None:
    """Open the images that trials are trained on, and say on stderr what of them is not used. Raises DataError."""
    from convscale.data.typical import input_channels, notes_on_pixels
    from convscale.trials.training_work import choose_images

    dataset = choose_images(choice)
    if not quiet:
        print_notes(dataset)
        for note in notes_on_pixels(dataset.train, choice.stored_range, input_channels(dataset.train)):
            print_note(printable(note))
