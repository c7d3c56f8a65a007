"""Several processes that train one network: who this one is, and what they exchange.

`torchrun --nproc-per-node N -m convscale train ...` starts them. Each loads its share of every batch; gradients are
averaged by DistributedDataParallel, BN statistics are those of the whole batch, and rank 0 alone writes.
"""

from __future__ import annotations

import gc
import os
import secrets
import time
import traceback
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from convscale.errors import ConvscaleError, TrainingError, TrainingStopped
from convscale.machine import launched_processes

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)
SECONDS_BETWEEN_LOOKS = 0.02


class Processes:
    """The group that this process belongs to; alone where nothing was launched. Enter it around the training."""

    def __init__(self) -> None:
        self.rank, self.world = 0, 1
        self._store: Store | None = None  # where torchrun keeps it, it outlives the processes that a restart replaces
        self._all_know = False

    def __enter__(self) -> Processes:
        if launched_processes() > 1 and not dist.is_initialized():
            self._store, rank, world = next(rendezvous("env://", timeout=TIMEOUT))
            own = PrefixStore(_name_attempt(self._store, rank, world), self._store)
            backend = "gloo"
            if torch.cuda.is_available():  # small messages stay on the CPU, so that none waits for the GPU
                backend = "cpu:gloo,cuda:nccl"
                torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
            dist.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=TIMEOUT)
        if dist.is_initialized():
            self.rank, self.world = dist.get_rank(), dist.get_world_size()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world == 1 or not dist.is_initialized():
            return
        if error is None or isinstance(error, TrainingStopped) or self._all_know:
            self.barrier()  # nobody leaves while another still needs it, or torchrun ends it before it has spoken
        # A data-parallel model must not outlive the group: freed by Python as its last owner, the group
        # waits for a thread of its own that waits for Python. The error's frames hold such models.
        traceback.clear_frames(trace)
        gc.collect()
        dist.destroy_process_group()
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise TrainingError(
                f"process {self.rank} lost another of the {self.world} that train together",
                hint="see that process's own message; torchrun --max-restarts=2 restarts them",
            ) from error

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def remember(self, what: str) -> None:
        """Keep a word for the processes that torchrun starts in the place of these."""
        if self._store is not None:
            self._store.set(f"convscale/remembered/{what}", "1")

    def remembers(self, what: str) -> bool:
        """Whether processes of this launch, these or killed ones, had it remembered."""
        return self._store is not None and self._store.check([f"convscale/remembered/{what}"])

    def barrier(self) -> None:
        """Wait for all."""
        self.sum(torch.zeros(1))

    def sum(self, values: Tensor) -> Tensor:
        """The sum of `values` over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def any(self, here: bool) -> bool:
        """Whether it is true in any process."""
        return bool(self.sum(torch.tensor([float(here)])))

    def same(self, number: int) -> bool:
        """Whether it is the same number in all processes."""
        numbers = torch.tensor([number, -number])
        if self.world > 1:
            dist.all_reduce(numbers, dist.ReduceOp.MAX)
        return int(numbers.sum()) == 0

    def mean(self, value: float, weight: int) -> float:
        """The mean over all processes of values that stand for `weight` images each."""
        if self.world == 1:
            return value
        total, weights = self.sum(torch.tensor([value * weight, float(weight)], dtype=torch.float64)).tolist()
        return float(total / weights)

    def agree(self, signal: int, due: bool) -> tuple[int, bool]:
        """The signal that any process was sent, and whether the first one finds something due."""
        if self.world == 1:
            return signal, due
        both = torch.tensor([float(signal), float(due and self.first)])
        dist.all_reduce(both, dist.ReduceOp.MAX)
        return int(both[0]), bool(both[1])

    def gather(self, items: Iterable[T]) -> list[T]:
        """The items of all processes, in their order. One small message if there are none."""
        mine = list(items)
        if self.world == 1 or not self.any(bool(mine)):
            return mine
        lists: list[list[T]] = [[] for _ in range(self.world)]
        dist.all_gather_object(lists, mine)
        return [item for each in lists for item in each]

    def fail_together(self, work: Callable[[], T]) -> T:
        """The result of `work`, which every process does. A ConvscaleError in one of them is raised in all: nobody
        waits for one that has left."""
        if self.world == 1:
            return work()
        done: list[T] = []
        failed: list[ConvscaleError] = []
        try:
            done.append(work())
        except ConvscaleError as error:
            failed.append(error)
        failures = self.gather(failed)
        if failures:
            self._all_know = True
            raise failures[0]
        return done[0]


def _name_attempt(store: Store, rank: int, world: int) -> str:
    """A name that the processes alive now share and no killed ones did: their addresses would be waited for.

    torchrun's count of restarts is not one: with several machines each counts its own. So every process asks under
    a word of its own, and the first answers whoever asks until all have thanked it.
    """
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    place = "convscale/attempt"

    def wait() -> None:
        if time.monotonic() > deadline:
            raise TrainingError(f"not all {world} processes joined within {TIMEOUT}", hint="did another one fail?")
        time.sleep(SECONDS_BETWEEN_LOOKS)

    mine = secrets.token_hex(8)
    if rank > 0:
        store.set(f"{place}/asks/{rank}", mine)
        while not store.check([f"{place}/answer/{mine}"]):
            wait()
        name: str = store.get(f"{place}/answer/{mine}").decode()
        store.set(f"{place}/thanks/{name}/{rank}", "1")
        return name
    awaited = set(range(1, world))
    while awaited:
        for other in tuple(awaited):
            if store.check([f"{place}/thanks/{mine}/{other}"]):
                awaited.remove(other)
            elif store.check([f"{place}/asks/{other}"]):
                store.set(f"{place}/answer/{store.get(f'{place}/asks/{other}').decode()}", mine)
        wait()
    return mine
