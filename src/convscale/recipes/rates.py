"""Learning rates to try for a network: a deeper one needs smaller steps than the baseline of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from convscale.catalog import CATALOG
from convscale.catalog import network as find_network
from convscale.errors import ConfigError
from convscale.layers import effective_depth
from convscale.networks import ConvNet
from convscale.recipes.parts import LBFGS, RATE_LIMITS, SearchGrid
from convscale.recipes.table import Recipe

DEPTH_POWER = -1.5  # of the best rate of plain and residual ConvNets (arXiv 2602.07494)
FACTORS = (1.0, 0.5, 2.0)  # around the rule's rate, which comes first: the earlier of equally good ones is taken
STEP = 2.0  # from an outermost rate to the next one
FURTHER = 4  # rates that are tried beyond the first three, at most
EPOCHS_SHARE = HELD_OUT_SHARE = 0.1  # of the epochs, and of the training images, that choosing takes


def rates_to_try(recipe: Recipe, network: ConvNet, baseline: ConvNet) -> tuple[float, ...]:
    """Three learning rates around the recipe's times (depth / depth of `baseline`)^(-3/2), the middle one first; depths
    are those of `effective_depth`. Raises ConfigError for a recipe that takes no steps."""
    if isinstance(recipe.optimizer, LBFGS):
        raise ConfigError(
            "optimizer.type lbfgs has no learning rate to tune", hint="use another optimizer, or omit --tune-rate"
        )
    centre = recipe.learning_rate * (effective_depth(network) / effective_depth(baseline)) ** DEPTH_POWER
    return tuple(_rounded(centre * factor) for factor in FACTORS)


def open_ends(found: Mapping[float, float | None]) -> tuple[bool, bool]:
    """Whether the smallest and the greatest of the values whose accuracies were found are as good as the best, so that
    a better value may lie beyond them. None, of a training that failed, is worse than any; where all failed, no end is
    open."""
    best = max((accuracy for accuracy in found.values() if accuracy is not None), default=None)
    if best is None:
        return False, False
    return found[min(found)] == best, found[max(found)] == best


def further_rates(found: Mapping[float, float | None], most: int = len(FACTORS) + FURTHER) -> tuple[float, ...]:
    """The learning rates to try next after those whose accuracies were found: twice the greatest and half the smallest,
    each where that end is open, until there are `most`. None where the best rate is enclosed by worse ones."""
    below, above = open_ends(found)
    beyond = [max(found) * STEP] * above + [min(found) / STEP] * below
    least, greatest = RATE_LIMITS
    rates = [rate for rate in map(_rounded, beyond) if least <= rate <= greatest]
    return tuple(rates[: max(0, most - len(found))])


def _rounded(rate: float) -> float:
    return float(f"{rate:.4g}")


def tuning_rate(recipe: Recipe, network: ConvNet) -> Recipe:
    """The recipe with a search among three learning rates by short trainings, and beyond them while the best is an
    outermost one; a scaled network's are around what its depth beside its baseline's suggests, where the catalog has
    that. Raises ConfigError as `rates_to_try`."""
    origin = network.origin
    known = origin is not None and origin.baseline in CATALOG
    baseline = find_network(origin.baseline) if known and origin is not None else network
    rates = rates_to_try(recipe, network, baseline)
    search = SearchGrid(learning_rates=rates, further_rates=FURTHER, share=HELD_OUT_SHARE, epochs_share=EPOCHS_SHARE)
    return replace(recipe, search=search)


def short(recipe: Recipe, share: float = EPOCHS_SHARE) -> Recipe:
    """The recipe over a share of its epochs, at least one, as a whole schedule."""
    return recipe if share == 1 else recipe.with_changes(epochs=max(1, round(recipe.epochs * share)))
