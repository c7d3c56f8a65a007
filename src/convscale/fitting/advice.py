"""What a person should know before training: published weights would do better, or a budget leaves them few pixels."""

from __future__ import annotations

from convscale.catalog import network as find_network
from convscale.costs import cost
from convscale.data import Dataset, typical_image
from convscale.planning import Budget, Plan, format_limit
from convscale.planning.budget import costs_of
from convscale.recipes import Recipe
from convscale.report.plans import keeps_network

PHOTO_SIDE = 64  # pixels of the typical shorter side: published weights have seen photographs, not thumbnails
ENOUGH_IMAGES = 20_000  # with so many, training from random weights comes into its own
MEASURED = "measured on 3,068 photos of clothes: 40 % from random weights, 83 % with a linear probe on published ones"
MEASURED_PIXELS = "measured with MobileNetV2's weights on 2,000 photos: 95 % at 144 px, 90 % at 96 px, 73 % at 48 px"


def advise(dataset: Dataset, planned: Plan, recipe: Recipe, *, limited: bool) -> list[str]:
    """The notes on a plan. `limited`: the resolution was limited by name."""
    if keeps_network(planned):
        return [] if limited or planned.budget is None else _on_pixels(planned, planned.budget)
    assert planned.budget is not None, "only weights do without"
    return _on_weights(dataset, planned, planned.budget, recipe)


def _on_weights(dataset: Dataset, planned: Plan, budget: Budget, recipe: Recipe) -> list[str]:
    """For a training from random weights on few photographs: that published ones would do better, and which."""
    side, _ = typical_image(dataset.train)
    images = len(dataset.train)
    asks_for_weights = recipe.trainable == "head" or recipe.norm_statistics == "frozen"  # and the training says so
    if side < PHOTO_SIDE or images >= ENOUGH_IMAGES or asks_for_weights:
        return []
    name = suitable_weights(budget, planned.network.num_classes)
    return [
        f"{images:,} photos are few for training from random weights; published weights would likely do far "
        f"better ({MEASURED}): add --weights {name}, and --recipe linear-probe for a quick answer"
    ]


def _on_pixels(planned: Plan, budget: Budget) -> list[str]:
    """For weights whose input the budget shrinks: what that costs, and what else there is."""
    base, chosen, limits = planned.baseline, planned.network, budget.limits()
    if chosen.resolution >= base.resolution:
        return []
    figures = costs_of(cost(base), None)
    over = {key: figures[key] for key, limit in limits.items() if figures.get(key, 0) > limit}
    needed = ", ".join(f"{key} {format_limit(key, value)}" for key, value in over.items())
    larger = f"a budget of {needed}" if needed else "a larger budget"
    name = suitable_weights(budget, chosen.num_classes)
    smaller = _figures(name, chosen.num_classes)["macs"] < figures["macs"]
    return [
        f"the budget leaves {chosen.resolution} of the {base.resolution} px that these weights were trained for: "
        f"accuracy will drop, and more with fewer pixels ({MEASURED_PIXELS}); {larger} keeps them all"
        + (f", and a smaller network loses fewer: --weights {name}" if smaller else "")
    ]


def suitable_weights(budget: Budget, classes: int) -> str:
    """The name of published weights: of the largest network that keeps the budget at its own resolution, of the
    smallest of all where none does."""
    limits = budget.limits()
    figures = {name: _figures(name, classes) for name in _usual_weights()}
    by_size = sorted(figures, key=lambda name: figures[name]["macs"])
    fitting = [name for name in by_size if all(figures[name].get(key, 0) <= limit for key, limit in limits.items())]
    return (fitting or by_size[:1])[-1]


def _usual_weights() -> list[str]:
    """One name per network: the first of those for ImageNet's classes."""
    from convscale.dialects.hub_weights import hub_rows  # PyTorch is loaded with them

    names: dict[str, str] = {}
    for row in hub_rows():
        if row.classes == 1000:
            names.setdefault(row.network, row.name)
    return list(names.values())


def _figures(name: str, classes: int) -> dict[str, float]:
    """The costs of the network of published weights, as they want it, with so many classes."""
    from convscale.dialects.hub_weights import find_weights

    row = find_weights(name)
    return costs_of(cost(row.apply_to(find_network(row.network).with_classes(classes))), None)
