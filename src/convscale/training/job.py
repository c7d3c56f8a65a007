"""A job: what is trained, on what, how, and where the result goes."""

from __future__ import annotations

from dataclasses import dataclass

from convscale.data import Dataset
from convscale.headers import WeightsHeader
from convscale.networks import ConvNet
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.runs import Run, Settings


@dataclass(frozen=True)
class Job:
    """One training. `network` has the data's number of classes, `recipe` is the network's own."""

    network: ConvNet
    dataset: Dataset
    preprocessing: Preprocessing
    recipe: Recipe
    settings: Settings
    run: Run
    quiet: bool = False

    @property
    def header(self) -> WeightsHeader:
        """What its weights files say about themselves."""
        return WeightsHeader(self.network, self.preprocessing, self.dataset.classes)
