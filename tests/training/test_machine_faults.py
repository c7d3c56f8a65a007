"""What the machine does to a training: memory that runs out, workers that die or hang."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.data import loader, views
from convscale.data.images import Subset
from convscale.errors import TrainingError
from convscale.preprocessing import default_preprocessing
from convscale.recipes import Augmentation, Recipe
from convscale.runs import Run
from convscale.training import memory
from convscale.training.memory import fitting_accumulation, fitting_images, training_bytes
from convscale.training.step import Stepper

TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(note="a test", epochs=2, batch=32, learning_rate=0.05, augmentation=Augmentation(crop="shift"))


def few(images: int = 160) -> Any:
    data = cs.open_dataset("digits")
    return replace(data, train=Subset(data.train, np.arange(images)), test=Subset(data.test, np.arange(20)))


def state_of(run: Path) -> str:
    record = Run(run).result()
    assert record is not None
    return record.state_sha256


def failing(times: int, monkeypatch: pytest.MonkeyPatch, message: str) -> list[int]:
    """Let the first `times` passes of more than 4 images fail as PyTorch does out of memory; the sizes seen."""
    sizes: list[int] = []
    real = Stepper._forward_backward
    left = [times]

    def fail(self: Stepper, pixels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        sizes.append(-(-len(pixels) // self.state.position.accumulation))
        loss = real(self, pixels, targets)  # statistics have moved and gradients are there when memory runs out
        if left[0]:
            left[0] -= 1
            raise RuntimeError(message)
        return loss

    monkeypatch.setattr(Stepper, "_forward_backward", fail)
    return sizes


@pytest.mark.long
@pytest.mark.parametrize(
    "message",
    ["[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory", "CUDA out of memory. Tried"],
)
def test_out_of_memory_takes_smaller_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """FAULTS 13: the same batch in parts; the result is that of a recipe with so many parts."""
    sizes = failing(2, monkeypatch, message)
    run, _ = cs.train(TINY, few(), QUICK, tmp_path / "run", pictures=False, quiet=True)
    assert sizes[:4] == [32, 16, 8, 8] and "out of memory" in (run.path / "events.jsonl").read_text()
    monkeypatch.undo()
    cs.train(TINY, few(), replace(QUICK, accumulation=4), tmp_path / "parts", pictures=False, quiet=True)
    weights = [cs.load_weights(tmp_path / name / "weights.safetensors")[0].state_dict() for name in ("run", "parts")]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.long
def test_out_of_memory_for_good_says_what_would_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = failing(99, monkeypatch, "DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(TrainingError, match=r"out of memory with 2 images at once.*by the cost model \d+ fit"):
        cs.train(TINY, few(), QUICK, tmp_path / "run", pictures=False, quiet=True)
    assert sizes == [32, 16, 8, 4, 2]
    monkeypatch.undo()
    failing(1, monkeypatch, "some other error")
    with pytest.raises(RuntimeError, match="some other error"):
        cs.train(TINY, few(), QUICK, tmp_path / "other", pictures=False, quiet=True)


STARVED = """
import resource, sys
from dataclasses import replace
from pathlib import Path
import torch
import convscale as cs
from convscale.training.memory import training_bytes
from tests.training.test_machine_faults import QUICK, few
torch.set_num_threads(1)
network = replace(cs.network("small-mbconv"), resolution=48, input_channels=1)
limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit += int(0.6 * training_bytes(network, 512))
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
cs.train(network, few(512), replace(QUICK, batch=512, epochs=1), sys.argv[1])
"""


@pytest.mark.long
def test_memory_that_really_runs_out(tmp_path: Path) -> None:
    """FAULTS 13 with a limit on the address space, 0.6 of what the step needs: it ends in smaller parts."""
    command = [sys.executable, "-c", STARVED, str(tmp_path / "run")]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "note: out of memory" in result.stderr and Run(tmp_path / "run").result() is not None


STUCK = """
import resource
from pathlib import Path
import torch
from convscale.training.memory import recover
torch.set_num_threads(1)
convolve = torch.nn.functional.conv2d
convolve(torch.ones(1, 4, 9, 9), torch.ones(4, 4, 3, 3))
sizes = [(torch.ones(2, width, 9, 9), torch.ones(width, width, 3, 3)) for width in range(8, 200, 8)]
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 16_384, resource.RLIM_INFINITY))
stuck = ""
for images, weight in sizes:
    try:
        convolve(images, weight)
    except RuntimeError as error:
        if "could not create a primitive" in str(error):
            stuck = str(error)
            break
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
if not stuck:
    print("never")
else:
    recover(stuck)
    print(float(convolve(*sizes[-1]).sum()))
"""


@pytest.mark.long
def test_a_convolution_that_had_no_memory_once() -> None:
    """oneDNN stays broken in the thread where it could not make a convolution's code; training goes on without it."""
    result = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    if result.stdout.strip() == "never":
        pytest.skip("no convolution here needs memory for code")
    assert result.stdout.strip() == str(float(2 * 192 * 7 * 7 * 192 * 9)) and "without oneDNN" in result.stderr


def test_batch_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    network, recipe = cs.network("efficientnet-b0"), replace(QUICK, batch=128)
    gigabyte = 10**9
    assert fitting_accumulation(network, recipe, 1, None) == 1
    assert fitting_accumulation(network, recipe, 1, 1000 * gigabyte) == 1
    parts = fitting_accumulation(network, recipe, 1, 6 * gigabyte)
    assert parts & (parts - 1) == 0 and training_bytes(network, 128 // parts) <= 0.8 * 6 * gigabyte
    assert training_bytes(network, 2 * 128 // parts) > 0.8 * 6 * gigabyte
    assert fitting_accumulation(network, recipe, 2, 6 * gigabyte) == parts // 2
    assert fitting_images(network, 6 * gigabyte) >= 128 // parts
    with pytest.raises(TrainingError, match="two images at once need .* are free"):
        fitting_accumulation(network, recipe, 1, gigabyte // 4)
    monkeypatch.setattr(memory, "available_bytes", lambda device: 6 * gigabyte)
    assert memory.fitted_to_memory(network, recipe) == replace(recipe, accumulation=parts)


@pytest.mark.long
def test_a_killed_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS 14: the loader is made anew where it stood; the result is as if nothing had happened."""
    cs.train(TINY, few(), QUICK, tmp_path / "whole", pictures=False, quiet=True)
    take, killed = Stepper.take, []

    def kill_a_worker(self: Stepper, batch: Any) -> Any:
        if self.state.position.total_steps in (1, 6):
            for process in multiprocessing.active_children()[:1]:
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                time.sleep(0.3)  # it is dead, and this process has heard, before the step begins
        return take(self, batch)

    monkeypatch.setattr(Stepper, "take", kill_a_worker)
    slowed(monkeypatch, 0.02)
    started = time.monotonic()
    cs.train(TINY, few(), QUICK, tmp_path / "run", pictures=False, quiet=True, workers=2)
    assert len(killed) == 2 and time.monotonic() - started < 30
    assert state_of(tmp_path / "run") == state_of(tmp_path / "whole")


def slowed(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Images that take so long to load that batches are still to come when a worker dies."""
    real = views.Views.view

    def slow(self: Any, item: Any) -> Any:
        time.sleep(seconds)
        return real(self, item)

    monkeypatch.setattr(views.Views, "view", slow)


def test_workers_that_die_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views.Views, "view", lambda self, item: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(TrainingError, match="workers that load images died 4 times.*--workers 0"):
        for _ in loader.training_batches(
            few().train, default_preprocessing(8, 1), Augmentation(), 32, seed=0, epoch=0, workers=1
        ):
            pass


def test_a_worker_that_hangs_names_its_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS 15: the training stops after a time, saying where."""
    data = few()
    monkeypatch.setattr(loader, "WORKER_TIMEOUT_SECONDS", 2.0)
    real = views.Views.view

    def hang(self: Any, item: int) -> Any:
        if item == 70:
            time.sleep(600)
        return real(self, item)

    monkeypatch.setattr(views.Views, "view", hang)
    started = time.monotonic()
    name = data.train.name(70).replace("[", r"\[")
    with pytest.raises(TrainingError, match=rf"no image for 2 s; the workers are reading .*{name}.*--exclude"):
        cs.train(TINY, data, QUICK, tmp_path / "run", pictures=False, quiet=True, workers=2)
    assert time.monotonic() - started < 20 and not multiprocessing.active_children()
    assert loader.WORKER_TIMEOUT_SECONDS == 2.0


def test_the_timeout_is_on() -> None:
    assert 0 < loader.WORKER_TIMEOUT_SECONDS <= 55
