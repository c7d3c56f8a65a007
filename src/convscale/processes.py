"""Several processes that train one network: who this one is, and what they tell each other.

`torchrun --nproc-per-node N -m convscale train ...` starts them. Each loads its share of every batch; gradients are
averaged by DistributedDataParallel, BN statistics are those of the whole batch, and rank 0 alone writes.
"""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from convscale.errors import TrainingStopped
from convscale.machine import launched_processes, restarts

TIMEOUT = timedelta(minutes=10)


class Processes:
    """The group that this process belongs to; alone where nothing was launched. Enter it around the training."""

    def __init__(self) -> None:
        self.rank, self.world = 0, 1

    def __enter__(self) -> Processes:
        if launched_processes() > 1 and not dist.is_initialized():
            store, rank, world = next(rendezvous("env://", timeout=TIMEOUT))
            # Each attempt has addresses of its own: those of a killed one would be waited for.
            store = PrefixStore(f"attempt-{restarts()}", store)
            backend = "nccl" if torch.cuda.is_available() else "gloo"
            dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=TIMEOUT)
        if dist.is_initialized():
            self.rank, self.world = dist.get_rank(), dist.get_world_size()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world > 1 and dist.is_initialized():
            if error is None or isinstance(error, TrainingStopped):
                dist.barrier()  # nobody leaves while another still needs it
            dist.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all."""
        if self.world > 1:
            dist.barrier()

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def mean(self, value: float, weight: int) -> float:
        """The mean over all processes of values that stand for `weight` images each."""
        if self.world == 1:
            return value
        total, weights = self.sum(self._tensor([value * weight, float(weight)])).tolist()
        return float(total / weights)

    def agree(self, signal: int, due: bool) -> tuple[int, bool]:
        """The signal that any process was sent, and whether the first one finds something due."""
        if self.world == 1:
            return signal, due
        told = self._tensor([float(signal), float(due and self.first)])
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return int(told[0]), bool(told[1])

    def _tensor(self, values: list[float]) -> Tensor:
        device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
        return torch.tensor(values, dtype=torch.float64, device=device)
