"""A trial: one network trained by one recipe on one choice of data from one seed, and the record that it leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscale.display import Display, Displayed
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.records import DataChoice
from convscale.schema import to_table


def data_choice(
    source: str, label_column: str = "label", train_images: int | None = None, test_images: int | None = None
) -> DataChoice:
    """Images as a person names them; a path becomes absolute, so that workers find it wherever they run."""
    from convscale.data.named import find_copy  # which brings NumPy

    path, copy = Path(source), find_copy(source)
    return DataChoice(
        source=copy.source if copy else str(path.absolute()) if path.exists() else source,
        label_column=label_column,
        train_images=train_images,
        test_images=test_images,
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trial(Displayed):
    """What is trained. Two trials are the same when their keys are: names take no part in it."""

    network: ConvNet
    recipe: Recipe
    data: DataChoice
    seed: int

    def _display(self) -> Display:
        """In one line."""
        return Display(f"Trial {self.key}: {self.network.name} on {self.data.source}, seed {self.seed}")

    @property
    def key(self) -> str:
        """16 hexadecimal digits of network, recipe, data and seed; the same on every machine."""
        table = to_table(self)
        table["network"].pop("name", None)
        table["network"].pop("origin", None)
        table["recipe"].pop("note", None)
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What one attempt at a trial gave back: the held-out accuracy, a fraction, after `steps` steps of training.

    device_seconds: of training and evaluation, interruptions left out.
    """

    accuracy: float
    interval95: tuple[float, float]
    steps: int
    device_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """How a trial ended: finished with a result, or failed with a reason. `attempts` counts those that were begun,
    `run` is the folder of the last, seen from the study's."""

    key: str
    number: int
    result: TrialResult | None = None
    failure: str = ""
    attempts: int
    run: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


# Carries one attempt out in the run folder given, going on with what is there: what executors run in workers. It
# must be a function of a module, so that it can be sent to another process.
Work = Callable[[Trial, Path], TrialResult]
