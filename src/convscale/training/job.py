"""A job: what is trained, on what, how, and where the result goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convscale.data import Dataset, ImageCollection
from convscale.data.balance import balanced_weights
from convscale.data.images import Stream
from convscale.headers import WeightsHeader
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.preprocessing import Preprocessing
from convscale.recipes import Recipe
from convscale.runs import Run, Settings, Story


@dataclass(frozen=True)
class Job:
    """One training. `network` has the data's number of classes, `recipe` is the network's own. `train` are the images
    that it is trained on: the data set's, but for those that early stopping holds out of them. `validation` are the
    images that epochs are judged by: those, or the data's own validation split. `part_of` is the
    run whose search it belongs to. `story` and `plan` are kept in the run folder, where there are such."""

    network: ConvNet
    dataset: Dataset
    preprocessing: Preprocessing
    recipe: Recipe
    settings: Settings
    run: Run
    train: ImageCollection | Stream
    validation: ImageCollection | Stream | None = None
    quiet: bool = False
    part_of: Run | None = None
    story: Story | None = None
    plan: Plan | None = None

    @property
    def resumed_by(self) -> str:
        """The command that resumes it: its own run, or the one whose search it is part of."""
        return f"convscale resume {(self.part_of or self.run).path}"

    @property
    def watched(self) -> ImageCollection | Stream:
        """The images whose accuracy is measured after each epoch."""
        return self.dataset.test if self.validation is None else self.validation

    @property
    def evaluates_each_epoch(self) -> bool:
        """Whether accuracies are measured after every epoch, not only after the last."""
        return self.settings.evaluate_each_epoch or self.recipe.patience > 0

    @property
    def class_weights(self) -> NDArray[np.float32] | None:
        """(classes,): what the loss of each class is multiplied with, None for no weights."""
        if self.recipe.class_weights == "none":
            return None
        assert not isinstance(self.train, Stream), "the classes of a stream are not counted"
        return balanced_weights(self.train.labels, len(self.dataset.classes))

    @property
    def header(self) -> WeightsHeader:
        """What its weights files say about themselves."""
        return WeightsHeader(self.network, self.preprocessing, self.dataset.classes)
