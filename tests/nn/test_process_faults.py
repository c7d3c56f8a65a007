"""Kills, signals and mistakes where several processes train one network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.cli.main import run as command_line
from convscale.errors import ConvscaleError, TrainingStopped
from convscale.nn.processes import Processes
from convscale.runs import Run
from convscale.training.step import Stepper, data_parallel
from tests.nn.several import FULL, LIVELY, PLAIN, QUIET_THREADS, arguments, free_port, launch, side_by_side, state_of

pytestmark = pytest.mark.usefixtures("nothing_left")

# A worker of torchrun that harms itself or its parent, once, before a step. A SIGTERM to the parent comes back to it,
# which it waits for: on a busy machine the rest of the epoch is done sooner.
HARM = """
import os, signal, sys, time
from pathlib import Path
from convscale.cli.main import main
from convscale.training.step import Stepper

folder, rank, at, victim = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
take = Stepper.take

def harmful(self, batch):
    mark = folder / "harmed"
    if os.environ["RANK"] == rank and self.state.position.total_steps == at and not mark.exists():
        mark.touch()
        if victim == "self":
            os.kill(os.getpid(), signal.SIGKILL)
        handler, came = signal.getsignal(signal.SIGTERM), []
        signal.signal(signal.SIGTERM, lambda *what: (came.append(what), handler(*what)))
        os.kill(os.getppid(), signal.SIGTERM)
        while not came:
            time.sleep(0.01)
    elif mark.exists():
        (folder / "again").touch()
    return take(self, batch)

Stepper.take = harmful
main(sys.argv[5:])
"""


def torchrun(folder: Path, rank: int, at: int, victim: str, words: list[str], *options: str) -> tuple[int, str]:
    """The command under torchrun with two processes, one of which does harm; torchrun's exit code and output."""
    script = folder / "harm.py"
    script.write_text(HARM)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *options, str(script),
         str(folder), str(rank), str(at), victim, *words],
        env=os.environ | QUIET_THREADS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.long
@pytest.mark.parametrize("attempt", range(10 if FULL else 1))
def test_a_killed_process_is_started_again(photos: Path, whole: Path, tmp_path: Path, attempt: int) -> None:
    """FAULTS 16: SIGKILL of rank 1 at step 10; the run ends as the one that nothing interrupted."""
    run = tmp_path / "run"
    words = arguments(photos, run, LIVELY, "--workers", "1")
    code, said = torchrun(tmp_path, 1, 10, "self", words, "--max-restarts=2")
    assert code == 0, said
    assert (tmp_path / "again").stat().st_mtime - (tmp_path / "harmed").stat().st_mtime < 30
    assert "resuming in epoch 3 after step 0" in said
    assert state_of(run) == state_of(whole)


@pytest.mark.long
def test_a_restart_goes_on_with_its_own_run_only(photos: Path, whole: Path, tmp_path: Path) -> None:
    """What torchrun starts in the place of killed processes goes on; a first start refuses whatever is there."""
    run = tmp_path / "run"
    words = arguments(photos, run, LIVELY, "--checkpoint-seconds", "0")

    def killed() -> int:
        take = Stepper.take

        def fatal(self: Stepper, batch: Any) -> Any:
            if self.processes.rank == 1 and self.state.position.total_steps == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            return take(self, batch)

        Stepper.take = fatal  # type: ignore[method-assign]
        return command_line(words)

    def killed_while_it_creates() -> int:
        module: Any = sys.modules[cs.train.__module__]
        real = module.create_run

        def half(path: Path, *rest: Any, **named: Any) -> Run:
            real(path, *rest, **named)
            (path / "environment.json").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        module.create_run = half
        return command_line(words)

    with launch() as store, launch() as other:
        assert side_by_side(killed_while_it_creates, store=store) == [-signal.SIGKILL, 1]
        assert side_by_side(killed, store=store) == [1, -signal.SIGKILL]
        for _ in range(2):  # another launch, and what is started again in it
            assert side_by_side(lambda: command_line(words), store=other) == [2, 2]
        assert side_by_side(lambda: command_line(words), store=store) == [0, 0]
    assert state_of(run) == state_of(whole)
    assert '"resuming in epoch 2 after step 2"' in (run / "events.jsonl").read_text()


@pytest.mark.skipif(not FULL, reason="`make faults`")
def test_killed_on_one_of_two_machines(photos: Path, whole: Path, tmp_path: Path) -> None:
    """Two torchruns, one process each: each counts restarts of its own."""
    run, script = tmp_path / "run", tmp_path / "harm.py"
    script.write_text(HARM)
    words = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=7", "--max-restarts=2", str(script), str(tmp_path), "1",
        "10", "self", *arguments(photos, run, LIVELY),
    ]  # fmt: skip
    machines = [subprocess.Popen(words, env=os.environ | QUIET_THREADS) for _ in range(2)]
    assert [machine.wait(200) for machine in machines] == [0, 0]
    assert state_of(run) == state_of(whole) and (tmp_path / "again").exists()


@pytest.mark.long
def test_sigterm_to_torchrun_saves_and_any_number_goes_on(photos: Path, whole: Path, tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    code, said = torchrun(tmp_path, 0, 6, "torchrun", arguments(photos, run, LIVELY))
    assert code != 0 and "SIGTERM in epoch 2 after step" in said and f"convscale resume {run}" in said
    assert Run(run).result() is None
    shutil.copytree(run, copy)
    assert side_by_side(lambda: command_line(["resume", str(run)])) == [0, 0]
    assert state_of(run) == state_of(whole)
    assert command_line(["resume", str(copy)]) == 0
    result = Run(copy).result()
    assert result is not None and result.processes == 1 and result.steps == 12
    events = (copy / "events.jsonl").read_text()
    assert "2 processes before, 1 now" in events


@pytest.mark.long
@pytest.mark.parametrize("mistake", ["batch", "folder", "unreadable"])
def test_mistakes_end_all_processes(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], mistake: str
) -> None:
    """Exit code 2 in all, though one alone may have noticed; nobody waits."""
    run, data, recipe = tmp_path / "run", tmp_path / "data", PLAIN
    shutil.copytree(photos, data)
    if mistake == "batch":
        recipe, said = replace(recipe, batch=21), "a batch of 21 cannot be shared by 2 processes"
    elif mistake == "folder":
        run.mkdir()
        (run / "mine").touch()
        said = "the folder is not empty"
    else:
        for path in sorted(data.glob("1/*"))[:10]:
            path.write_bytes(b"")
        said = "training images cannot be read, more than"
    assert side_by_side(lambda: command_line(arguments(data, run, recipe))) == [2, 2]  # or killed after a minute
    assert capfd.readouterr().err.count(f"error: {run}: {said}" if mistake == "folder" else said) == 2
    assert (run / "mine").exists() if mistake == "folder" else not run.exists()


def test_one_that_is_lost_is_told(tmp_path: Path) -> None:
    """Where nobody starts it again, the others end too, with a message."""

    def child() -> int:
        try:
            with Processes() as processes:
                processes.barrier()
                if processes.rank == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                processes.barrier()
        except ConvscaleError as error:
            return 7 if "process 0 lost another of the 2" in error.message else 8
        return 0

    assert side_by_side(child) == [7, -signal.SIGKILL]


@pytest.mark.long
def test_no_model_outlives_the_group() -> None:
    """Whatever ends the training: PyTorch's group, freed with the last model that is spread over it, may never end."""

    def child() -> int:
        models = []

        def work() -> None:
            model = data_parallel(torch.nn.Linear(2, 2))
            models.append(weakref.ref(model))
            raise TrainingStopped("stopped", signal.SIGTERM)

        with pytest.raises(TrainingStopped) as caught, Processes():
            work()
        return 0 if caught.traceback and models[0]() is None else 7

    assert side_by_side(child) == [0, 0]
