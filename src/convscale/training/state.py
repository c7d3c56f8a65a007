"""Everything that determines how training continues: tensors and position.

Random numbers are functions of the seed and the step, so the position is the random state too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from convscale.data.randomness import Purpose, keyed
from convscale.errors import RunError
from convscale.nn import Model
from convscale.schema import from_table
from convscale.training.ema import EMA


@dataclass
class Position:
    """Where training stands. `step` counts those done of `epoch`, both from 0; with all steps done the epoch's
    evaluation is still to come. The sums are over the steps of this epoch, seconds over the whole run.

    skipped_steps: numbers of steps whose update was left out after a loss that was not finite. accumulation: parts
    that a step's batch is computed in. training_images: how many training has gone through, each as often as it did.
    forecast_phases: those by whose first steps predicted_seconds was forecast.
    unreadable: names of images that could not be read, and why. stream: where the data's stream stands.
    """

    seed: int = 0
    epoch: int = 0
    step: int = 0
    total_steps: int = 0
    accumulation: int = 1
    rollbacks: int = 0
    skipped_steps: tuple[int, ...] = ()
    loss_sum: float = 0.0
    gradient_norm_sum: float = 0.0
    counted_steps: int = 0
    learning_rate: float = 0.0
    best_accuracy: float = -1.0
    best_top1: float = -1.0
    best_epoch: int = 0
    improved_epoch: int = 0
    epoch_seconds: dict[str, float] = field(default_factory=dict)
    run_seconds: float = 0.0
    training_images: int = 0
    training_seconds: float = 0.0
    predicted_seconds: float = 0.0
    forecast_phases: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    stream: dict[str, int | None] = field(default_factory=dict)

    def next_epoch(self) -> None:
        """The epoch is done and evaluated."""
        self.epoch, self.step, self.counted_steps = self.epoch + 1, 0, 0
        self.loss_sum = self.gradient_norm_sum = 0.0
        self.epoch_seconds, self.stream = {}, {}


# What runs that end alike may differ in, or what follows from the rest.
_LEFT_OUT = (
    "best_accuracy",
    "improved_epoch",
    "epoch_seconds",
    "run_seconds",
    "training_seconds",
    "predicted_seconds",
    "forecast_phases",
    "rollbacks",
    "stream",
    "unreadable",
)


# What the optimizers keep of each parameter.
_SLOTS = ("momentum_buffer", "mean_square", "momentum", "exp_avg", "exp_avg_sq")


class TrainingState:
    """Model, its average, optimizer and position, as one object that can be stored and restored."""

    def __init__(self, model: Model, ema: EMA | None, optimizer: torch.optim.Optimizer, position: Position) -> None:
        self.model, self.ema, self.optimizer, self.position = model, ema, optimizer, position

    @property
    def evaluated(self) -> Model:
        """The model whose accuracy counts and whose weights are kept: the average where there is one."""
        averaged = self.model if self.ema is None else self.ema.model
        assert isinstance(averaged, Model)
        return averaged

    def tensors(self) -> dict[str, Tensor]:
        """Copies of all tensors, on the CPU, by names as `model.head.classifier.linear.weight`."""
        named = {f"model.{name}": tensor for name, tensor in _floats(self.model)}
        if self.ema is not None:
            named |= {f"ema.{name}": tensor for name, tensor in _floats(self.ema.model)}
        for name, parameter in self.model.named_parameters():
            for slot, value in self.optimizer.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    named[f"optimizer.{slot}.{name}"] = value
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}

    def table(self) -> dict[str, Any]:
        """The position as JSON."""
        return asdict(self.position)

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor], table: dict[str, Any], where: str) -> None:
        """Restore what `tensors` and `table` returned. Raises RunError where they are of another network or recipe."""
        left = dict(tensors)
        targets = [("model", self.model)] + ([("ema", self.ema.model)] if self.ema is not None else [])
        for prefix, module in targets:
            for name, target in _floats(module):
                target.copy_(_take(left, f"{prefix}.{name}", target, where))
        for name, parameter in self.model.named_parameters():
            slots = [key for key in left if key.startswith("optimizer.") and key.split(".", 2)[2] == name]
            self.optimizer.state[parameter] = {
                key.split(".", 2)[1]: _slot(left.pop(key), parameter, key, where) for key in slots
            }
        if left:
            raise RunError(f"{where}: {next(iter(left))!r} does not belong to this network and recipe")
        before = {"best_accuracy": "best_top1", "improved_epoch": "best_epoch"}  # of checkpoints that have neither
        known = {name: table[other] for name, other in before.items() if other in table}
        self.position = from_table(Position, known | dict(table), where)

    def sha256(self) -> str:
        """A digest of all tensors and the position without its times: equal for runs that ended in the same state."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
        position = {key: value for key, value in self.table().items() if key not in _LEFT_OUT}
        digest.update(json.dumps(position, sort_keys=True).encode())
        return digest.hexdigest()


def seed_step(seed: int, step: int, rank: int, part: int) -> None:
    """Seed PyTorch's generators for this part of this step, whatever was drawn before."""
    torch.manual_seed(int(keyed(Purpose.STEP, seed, step, rank, part).integers(2**63)))


def _floats(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and BN statistics; PyTorch's counters of batches are not used."""
    return [(name, tensor) for name, tensor in module.state_dict().items() if tensor.is_floating_point()]


def _take(left: dict[str, Tensor], name: str, like: Tensor, where: str) -> Tensor:
    if name not in left:
        raise RunError(f"{where}: {name!r} is missing")
    value = left.pop(name)
    if value.shape != like.shape or value.dtype != like.dtype:
        raise RunError(f"{where}: {name!r} is {value.dtype} {tuple(value.shape)}, not {like.dtype} {tuple(like.shape)}")
    return value


def _slot(value: Tensor, parameter: nn.Parameter, name: str, where: str) -> Tensor:
    """A slot of the optimizer as it was: like its parameter in shape and layout, or a number of steps."""
    slot = name.split(".", 2)[1]
    if slot == "step" and value.ndim == 0:
        return value.to(parameter.device)
    if slot not in _SLOTS or value.shape != parameter.shape or value.dtype != parameter.dtype:
        raise RunError(f"{where}: {name!r} is {value.dtype} {tuple(value.shape)}, which no optimizer here keeps")
    return torch.empty_like(parameter).copy_(value)
