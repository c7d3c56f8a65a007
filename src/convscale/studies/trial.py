"""A trial: one network trained by one recipe on one choice of data from one seed, and the record that it leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.schema import check, to_table


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice:
    """Images, and how many of them. Raises ConfigError for counts below 2."""

    source: str
    """As `open_dataset` takes it."""
    label_column: str = "label"
    """Of a CSV or parquet file."""
    seed: int = 0
    """Of the draw of both counts, and of a split."""
    train_images: int | None = None
    """So many are drawn; None for all."""
    test_images: int | None = None
    """So many held-out images are drawn; None for all."""

    def __post_init__(self) -> None:
        check(self)
        for name in ("train_images", "test_images"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ConfigError(f"{name} {value} is not allowed", hint="2 or more, or leave it out for all images")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is trained. Two trials are the same when their keys are: names take no part in it."""

    network: ConvNet
    recipe: Recipe
    data: DataChoice
    seed: int

    def __post_init__(self) -> None:
        check(self)

    @property
    def key(self) -> str:
        """16 hexadecimal digits of network, recipe, data and seed; the same on every machine."""
        table = to_table(self, complete=True)
        table["network"].pop("name")
        table["network"].pop("origin", None)
        table["recipe"].pop("note")
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
    """How a trial ended: finished with a result, or failed with a reason. `attempts` counts the runs that it took."""

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
