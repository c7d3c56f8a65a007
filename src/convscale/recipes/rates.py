"""Learning rates to try for a network: a deeper one needs smaller steps than the baseline of a recipe."""

from __future__ import annotations

from dataclasses import replace

from convscale.catalog import CATALOG
from convscale.catalog import network as find_network
from convscale.errors import ConfigError
from convscale.layers import effective_depth
from convscale.networks import ConvNet
from convscale.recipes.parts import LBFGS, SearchGrid
from convscale.recipes.table import Recipe

DEPTH_POWER = -1.5  # of the best rate of plain and residual ConvNets (arXiv 2602.07494)
FACTORS = (1.0, 0.5, 2.0)  # around the rule's rate, which comes first: the earlier of equally good ones is taken
EPOCHS_SHARE = HELD_OUT_SHARE = 0.1  # of the epochs, and of the training images, that choosing takes


def rates_to_try(recipe: Recipe, network: ConvNet, baseline: ConvNet) -> tuple[float, ...]:
    """Three learning rates around the recipe's times (depth / depth of `baseline`)^(-3/2), the middle one first; depths
    are those of `effective_depth`. Raises ConfigError for a recipe that takes no steps."""
    if isinstance(recipe.optimizer, LBFGS):
        raise ConfigError(
            "optimizer.type lbfgs has no learning rate to tune", hint="use another optimizer, or omit --tune-rate"
        )
    centre = recipe.learning_rate * (effective_depth(network) / effective_depth(baseline)) ** DEPTH_POWER
    return tuple(float(f"{centre * factor:.4g}") for factor in FACTORS)


def tuning_rate(recipe: Recipe, network: ConvNet) -> Recipe:
    """The recipe with a search among three learning rates by short trainings; a scaled network's are around what its
    depth beside its baseline's suggests, where the catalog has that. Raises ConfigError as `rates_to_try`."""
    origin = network.origin
    known = origin is not None and origin.baseline in CATALOG
    baseline = find_network(origin.baseline) if known and origin is not None else network
    rates = rates_to_try(recipe, network, baseline)
    search = SearchGrid(learning_rates=rates, share=HELD_OUT_SHARE, epochs_share=EPOCHS_SHARE)
    return replace(recipe, search=search)


def short(recipe: Recipe, share: float = EPOCHS_SHARE) -> Recipe:
    """The recipe over a share of its epochs, at least one, as a whole schedule."""
    return recipe if share == 1 else recipe.with_changes(epochs=max(1, round(recipe.epochs * share)))
