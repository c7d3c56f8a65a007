"""Classes of unequal size: weights for the loss, and epochs in which every class comes equally often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convscale.data.images import Labels
from convscale.data.randomness import Purpose, keyed
from convscale.recipes import Sampling


def balanced_weights(labels: Labels, num_classes: int) -> NDArray[np.float32]:
    """(num_classes,): images / (classes * images of the class), counting classes that have images; 0 for the others.

    Their mean over the images is 1, so that a learning rate keeps its meaning (scikit-learn's "balanced").
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights.astype(np.float32)


def epoch_items(labels: Labels, seed: int, epoch: int, sampling: Sampling) -> Labels:
    """What an epoch loads, in random order: every index once, or `balanced_draws`."""
    if sampling == "balanced":
        return balanced_draws(labels, seed, epoch)
    return keyed(Purpose.ORDER, seed, epoch).permutation(len(labels))


def balanced_draws(labels: Labels, seed: int, epoch: int) -> Labels:
    """As many draws as there are images, in random order: index + images * repeat, where `repeat` counts from 0 how
    often the image has come before in this epoch.

    Classes take turns, on and on from epoch to epoch, so that none is ever drawn once more than another. A class deals
    its images in a random order, and reshuffles them once all are used up.
    """
    images = len(labels)
    present, counts = np.unique(labels, return_counts=True)
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
    drawn: list[Labels] = []
    for turn, (label, own) in enumerate(zip(present.tolist(), members, strict=True)):
        first, end = (-(-(number * images - turn) // len(present)) for number in (epoch, epoch + 1))
        rounds = range(first // len(own), -(-end // len(own)))
        dealt = [
            keyed(Purpose.DEAL, seed, label, number).permutation(own) + images * repeat
            for repeat, number in enumerate(rounds)
        ]
        start = first - rounds.start * len(own)
        drawn.append(np.concatenate([own[:0], *dealt])[start : start + end - first])
    order: Labels = np.concatenate(drawn)[keyed(Purpose.ORDER, seed, epoch).permutation(images)]
    return order
