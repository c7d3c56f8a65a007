"""A trial: one network trained by one recipe on one choice of data from one seed, and the record that it leaves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from convscale.display import Display, Displayed
from convscale.networks import ConvNet
from convscale.recipes import Recipe
from convscale.records import DataChoice, TrialRecord, TrialResult
from convscale.schema import check, to_table

# Fields of a recipe, and of its search, that are newer than the first keys: at these values they change nothing and are
# left out of a key.
_NEUTRAL = {"class_weights": "none", "sampling": "shuffled"}
_NEUTRAL_SEARCH = {"epochs_share": 1, "further_rates": 0}


def data_choice(
    source: str,
    label_column: str = "label",
    train_images: int | None = None,
    test_images: int | None = None,
    layout: Literal["classes", "splits"] | None = None,
    stored_range: tuple[float, float] | None = None,
) -> DataChoice:
    """Images as people name them; a path becomes absolute, so that workers find it wherever they run."""
    from convscale.data.named import find_copy  # which brings NumPy

    path, copy = Path(source), find_copy(source)
    return DataChoice(
        source=copy.source if copy else str(path.absolute()) if path.exists() else source,
        label_column=label_column,
        train_images=train_images,
        test_images=test_images,
        layout=layout,
        stored_range=stored_range,
    )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Trial(Displayed):
    """What is trained. Two trials are the same when their keys are: names take no part in it.

    images: the fingerprint of what `data` opens, as `fingerprint_of` gives it; with it the key is the same wherever the
    images lie. "" in files from before keys had it.
    """

    network: ConvNet
    recipe: Recipe
    data: DataChoice
    seed: int
    images: str = ""

    def __post_init__(self) -> None:
        check(self)

    def _display(self) -> Display:
        """In one line."""
        return Display(f"Trial {self.key}: {self.network.name} on {self.data.source}, seed {self.seed}")

    @property
    def key(self) -> str:
        """16 hexadecimal digits of network, recipe, images and seed; the same on every machine."""
        data = {"images": self.images, "seed": self.data.seed, "stored_range": self.data.stored_range}
        return self._key(data if self.images else self._data_by_source())

    @property
    def key_by_source(self) -> str:
        """The key by the place of the images, as folders from before have it."""
        return self._key(self._data_by_source())

    def _data_by_source(self) -> dict[str, Any]:
        table: dict[str, Any] = to_table(self.data, complete=True)
        if not self.data.tuning:
            del table["tuning"]
        return table

    def _key(self, data: object) -> str:
        table = to_table(self, complete=True) | {"data": data}
        table.pop("images")
        table["network"].pop("name")
        table["network"].pop("origin", None)
        table["recipe"].pop("note")
        for part, neutral in ((table["recipe"], _NEUTRAL), (table["recipe"]["search"], _NEUTRAL_SEARCH)):
            for name, value in neutral.items():
                if part[name] == value:
                    del part[name]
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]


__all__ = ["Trial", "TrialRecord", "TrialResult", "Work", "data_choice"]

# Carries one attempt out in the run folder given, resuming what is there: what executors run in workers. It
# must be a function of a module, so that it can be sent to another process.
Work = Callable[[Trial, Path], TrialResult]
