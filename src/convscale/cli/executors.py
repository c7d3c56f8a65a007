"""Where trials run: the options of every command that trains many networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from convscale.trials.executor import Executor

F = TypeVar("F", bound=Callable[..., Any])


def executor_options(command: F) -> F:
    """Add the options that say where trials run."""
    options = (
        click.option("--workers", type=click.IntRange(1), metavar="N", help="Trials at once [cores / threads]."),
        click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of a trial."),
        click.option("--cluster", metavar="ADDRESS", help="Run them on a Ray cluster, as auto or HOST:PORT."),
        click.option("--cpus", type=click.FloatRange(0), default=1, show_default=True,
                     help="CPUs of a trial on the cluster."),
        click.option("--gpus", type=click.FloatRange(0), default=0, show_default=True,
                     help="GPUs of a trial on the cluster; 0.25 puts four on one."),
        click.option("--storage", metavar="URL", help="Optuna's store [DIR/study.sqlite]."),
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
