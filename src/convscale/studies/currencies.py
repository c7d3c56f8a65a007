"""What a network costs in the currency in which the networks of a study are equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from convscale.costs import cost
from convscale.data import Dataset
from convscale.files import read_json, write_json
from convscale.networks import ConvNet
from convscale.recipes import Recipe

FILE = "seconds.json"
ROUNDS = 3  # of measuring each network, of which the fastest counts: what else a machine does only adds

# How far a network may be from the cost, as a fraction: seconds are measured, with their noise.
TOLERANCES = {"activations": 0.02, "seconds": 0.03}


def activations(network: ConvNet) -> float:
    """Outputs of all convolutions per image."""
    return cost(network).activations


@dataclass(slots=True)
class Seconds:
    """Seconds per training image on this machine, measured once per network and kept in the study's folder, so that a
    study that is resumed has the networks that it had; without a folder for as long as this lives."""

    dataset: Dataset
    recipe: Recipe
    folder: Path | None = None
    _known: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folder is not None and (self.folder / FILE).exists():
            self._known = dict(read_json(self.folder / FILE))

    def __call__(self, network: ConvNet) -> float:
        """Of `network`."""
        table = {name: value for name, value in network.as_dict().items() if name not in ("name", "origin", "rules")}
        key = hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:16]
        if key not in self._known:
            from convscale.training.estimation import step_seconds  # which brings PyTorch

            batch = self.recipe.for_images(len(self.dataset.train)).batch
            rounds = [step_seconds(network, self.dataset, self.recipe) for _ in range(ROUNDS)]
            self._known[key] = min(rounds) / batch
            if self.folder is not None:
                write_json(self.folder / FILE, self._known)
        return self._known[key]
