"""When processes exchange gradients: once per batch, compiled or not, whatever phases came before."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch.distributed import GradBucket
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

import convscale as cs
from convscale.data.loader import training_batches
from convscale.nn.processes import Processes
from convscale.runs import Run, Settings
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper
from tests.nn.several import PLAIN, side_by_side

SMALL = cs.network("small-resnet")
STAGE = replace(SMALL.stages[0], rows=(replace(SMALL.stages[0].rows[0], repeats=1),))
NETWORK = replace(SMALL, resolution=8, input_channels=1, stages=(STAGE,), num_classes=10)
RECIPE = replace(PLAIN, batch=12, accumulation=3)


def step(processes: Processes, compiled: bool) -> tuple[int, dict[str, torch.Tensor]]:
    """How many exchanges a step in three parts took, and the state after it."""
    images = cs.open_dataset("digits")
    job = make_job(NETWORK, images, RECIPE, Run(Path("unused")), Settings(compile=compiled), world=processes.world)
    state = make_state(job, processes)
    state.model.train()
    Stepper(job, state, 50, processes).close()
    stepper = Stepper(job, state, 50, processes)
    assert all(len(parameter._backward_hooks or {}) == 1 for parameter in stepper.trainable)
    exchanges: list[bool] = []

    def count(_state: object, bucket: GradBucket) -> torch.futures.Future[torch.Tensor]:
        exchanges.append(bucket.is_last())
        return allreduce_hook(torch.distributed.group.WORLD, bucket)

    assert stepper.parallel is not None
    stepper.parallel.register_comm_hook(None, count)
    loading = training_batches(
        images.train, job.preprocessing, RECIPE.augmentation, 12, seed=0, epoch=0, rank=processes.rank, world=2
    )
    assert stepper.take(next(loading)).applied
    loading.close()
    stepper.close()
    assert not any(parameter._backward_hooks for parameter in stepper.trainable)
    return sum(exchanges), state.tensors()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # what the compiler does is not ours
@pytest.mark.usefixtures("nothing_left")
def test_gradients_travel_once_per_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))  # no code is made: it takes minutes

    def child() -> None:
        with Processes() as processes:
            torch.save([step(processes, compiled) for compiled in (False, True)], tmp_path / f"{processes.rank}.pt")

    assert side_by_side(child, timeout=120) == [0, 0]
    (plain, state), (compiled, same) = torch.load(tmp_path / "0.pt")
    assert plain == compiled == 1
    _, (_, other) = torch.load(tmp_path / "1.pt")
    for name, tensor in same.items():
        torch.testing.assert_close(tensor, state[name], rtol=1e-4, atol=1e-6)
        assert torch.equal(tensor, other[name]), name
