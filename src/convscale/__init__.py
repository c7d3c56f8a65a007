"""Convscale: a compute budget and a set of images to a trained, explained, deployable ConvNet.

    import convscale as cs

    net = cs.network("efficientnet-b0")
    plan = cs.plan(net, cs.Budget(macs="1G", params="8M"))
    model = cs.build(plan.network)

Names are loaded when first used, so planning never waits for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convscale.version import __version__

if TYPE_CHECKING:
    from convscale.catalog import network, write_network
    from convscale.costs import Cost, cost
    from convscale.data import Dataset, open_dataset
    from convscale.errors import ConvscaleError, InputError
    from convscale.evaluation import evaluate, predict
    from convscale.fitting import Fit, fit
    from convscale.layers import LayerGraph, resolve
    from convscale.networks import ConvNet
    from convscale.nn import Model, build, load_weights, save_weights
    from convscale.planning import Budget, Plan, plan
    from convscale.recipes import Recipe, recipe
    from convscale.records import Evaluation, Prediction
    from convscale.scaling import (
        Scaling,
        ScalingLaw,
        compound,
        compound_law,
        law,
        published,
        scale,
        shares_law,
    )
    from convscale.training import resume, train

_HOMES = {
    "catalog": ("network", "write_network"),
    "costs": ("Cost", "cost"),
    "data": ("Dataset", "open_dataset"),
    "errors": ("ConvscaleError", "InputError"),
    "evaluation": ("evaluate", "predict"),
    "fitting": ("Fit", "fit"),
    "layers": ("LayerGraph", "resolve"),
    "networks": ("ConvNet",),
    "nn": ("Model", "build", "load_weights", "save_weights"),
    "planning": ("Budget", "Plan", "plan"),
    "recipes": ("Recipe", "recipe"),
    "records": ("Evaluation", "Prediction"),
    "scaling": (
        "Scaling", "ScalingLaw", "compound", "compound_law", "law", "published", "scale", "shares_law",
    ),
    "training": ("resume", "train"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Budget",
    "ConvNet",
    "ConvscaleError",
    "Cost",
    "Dataset",
    "Evaluation",
    "Fit",
    "InputError",
    "LayerGraph",
    "Model",
    "Plan",
    "Prediction",
    "Recipe",
    "Scaling",
    "ScalingLaw",
    "__version__",
    "build",
    "compound",
    "compound_law",
    "cost",
    "evaluate",
    "fit",
    "law",
    "load_weights",
    "network",
    "open_dataset",
    "plan",
    "predict",
    "published",
    "recipe",
    "resolve",
    "resume",
    "save_weights",
    "scale",
    "shares_law",
    "train",
    "write_network",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'convscale' has no attribute {name!r}")
    value = getattr(import_module(f"convscale.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
