"""Several processes that train one network on this machine, as torchrun would start them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

from convscale.cli.main import run as command_line
from convscale.files import write_toml
from convscale.recipes import SGD, Recipe
from convscale.runs import Run
from convscale.schema import to_table
from convscale.training import loop as loop_module
from tests.training.small_runs import FULL as FULL
from tests.training.small_runs import LIVELY as ONE_LIVELY
from tests.training.small_runs import NETWORK as NETWORK

LIVELY = replace(ONE_LIVELY, batch=20)  # 84 images, 4 steps an epoch
PLAIN = Recipe(note="a test", epochs=2, batch=20, learning_rate=0.001, optimizer=SGD(momentum=0.9))
QUIET_THREADS = {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0", "PYTHONWARNINGS": "error"}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


@contextmanager
def launch() -> Iterator[int]:
    """The store that torchrun keeps over restarts; its port. In a process of its own, as forked processes must not
    inherit its threads."""
    ours, its = multiprocessing.Pipe()

    def serve() -> None:
        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        its.send(store.port)
        signal.pause()

    process = multiprocessing.get_context("fork").Process(target=serve)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def side_by_side(
    work: Callable[[], int | None], count: int = 2, store: int | None = None, timeout: float = 60
) -> list[int]:
    """Do `work` in `count` processes as torchrun would start them; their exit codes. With the port of one `launch` for
    several calls, each is a restart to the processes."""
    port = store or free_port()

    def child(rank: int) -> None:
        if store is not None:
            os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        sys.exit(work() or 0)

    processes = [multiprocessing.get_context("fork").Process(target=child, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + timeout
    for process in processes:
        process.join(max(0.1, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
    for process in processes:
        process.join()
    return [int(process.exitcode or 0) for process in processes]


def arguments(photos: Path, run: Path, recipe: Recipe, *more: str) -> list[str]:
    """The command that trains; network and recipe are files beside the run."""
    network, recipe_file = run.with_suffix(".network.toml"), run.with_suffix(".recipe.toml")
    write_toml(network, to_table(NETWORK))
    write_toml(recipe_file, to_table(recipe))
    words = ["train", str(network), "--data", str(photos), "--recipe", str(recipe_file), "-o", str(run)]
    return [*words, "--no-pictures", *more]


def state_of(run: Path) -> str:
    result = Run(run).result()
    assert result is not None
    return result.state_sha256


def telling_states(folder: Path, words: list[str]) -> Callable[[], int]:
    """The command, which also leaves the sha256 of each process's final state in `folder`."""

    def work() -> int:
        real = loop_module.Loop.run

        def told(self: loop_module.Loop) -> Any:
            measured = real(self)
            (folder / f"state-{self.processes.rank}").write_text(self.state.sha256())
            return measured

        loop_module.Loop.run = told  # type: ignore[method-assign]
        return command_line(words)

    return work
