"""How a recipe is carried out: settings.json of a run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from convscale.errors import ConfigError
from convscale.machine import loading_workers
from convscale.preprocessing import require_range
from convscale.schema import check


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a recipe is carried out. Only `seed`, `weights`, `exclude`, `stored_range`, `epochs_before`,
    `evaluation_precision` and, where steps are few, `fresh_statistics_steps` change the result."""

    seed: int = 0
    """Seed of the weights, the order of images and augmentation; from 0."""
    workers: int = field(default_factory=loading_workers)
    """Processes that load images; with 0, the default without a GPU, the training process loads them."""
    checkpoint_seconds: float = 300.0
    """Seconds between checkpoints; every epoch ends with one too."""
    compile: bool = False
    """Use torch.compile."""
    step_times: bool = False
    """Show the time of each part of a step."""
    tensorboard: bool = False
    """Write event files beside metrics.jsonl."""
    pictures: bool = True
    """Draw the first batch, the curves and the confusion matrix."""
    evaluate_each_epoch: bool = True
    """Measure the accuracy after every epoch, or only after the last; early stopping needs every one."""
    evaluation_precision: Literal["fp32", "bf16"] = "fp32"
    """The precision of evaluations; `train` chooses it where the recipe's precision is "auto"."""
    fresh_statistics_steps: int = 100
    """For this many steps the statistics of batch norm are recomputed on training images before an evaluation, and
    patience does not count."""
    weights: str | None = None
    """The weights file to start from."""
    weights_sha256: str = ""
    """The sha256 of that file when the run began."""
    exclude: str | None = None
    """A list of images to leave out."""
    changed: tuple[str, ...] = ()
    """Differences from the recipe that it was made from."""
    stored_range: tuple[float, float] | None = None
    """The pixel values that become 0 and 255; None for a file's full range, or for what the weights say."""
    continues: str | None = None
    """The run folder whose training this one continues; `weights` are its own."""
    epochs_before: int = 0
    """Epochs that those weights were trained for."""

    def __post_init__(self) -> None:
        check(self)
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed {self.seed} is not allowed", hint="a whole number from 0")
        if not 0 <= self.workers <= 1024:
            raise ConfigError(f"workers {self.workers} is not allowed", hint="0 to 1024")
        for name in ("fresh_statistics_steps", "checkpoint_seconds", "epochs_before"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)} is not allowed", hint="from 0")
        if self.stored_range is not None:
            require_range(self.stored_range)
