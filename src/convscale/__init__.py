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
    from convscale.dialects import Conversion, convert, pretrained
    from convscale.errors import ConvscaleError, InputError
    from convscale.evaluation import evaluate, features, predict
    from convscale.fitting import Fit, fit
    from convscale.layers import LayerGraph, resolve
    from convscale.networks import ConvNet
    from convscale.nn import Model, build, load, load_weights, save_weights
    from convscale.planning import Budget, Family, Plan, family, plan
    from convscale.recipes import Recipe, recipe
    from convscale.records import CoefficientSearch, Evaluation, Prediction, StudyResult, StudySpec
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
    from convscale.search.coefficients import find_coefficients
    from convscale.studies.running import run_study
    from convscale.studies.spec import read_study
    from convscale.training import resume, train
    from convscale.trials.local import LocalExecutor

_HOMES = {
    "catalog": ("network", "write_network"),
    "costs": ("Cost", "cost"),
    "data": ("Dataset", "open_dataset"),
    "dialects": ("Conversion", "convert", "pretrained"),
    "errors": ("ConvscaleError", "InputError"),
    "evaluation": ("evaluate", "features", "predict"),
    "fitting": ("Fit", "fit"),
    "layers": ("LayerGraph", "resolve"),
    "networks": ("ConvNet",),
    "nn": ("Model", "build", "load", "load_weights", "save_weights"),
    "planning": ("Budget", "Family", "Plan", "family", "plan"),
    "recipes": ("Recipe", "recipe"),
    "records": ("CoefficientSearch", "Evaluation", "Prediction", "StudyResult", "StudySpec"),
    "scaling": (
        "Scaling", "ScalingLaw", "compound", "compound_law", "law", "published", "scale", "shares_law",
    ),
    "search.coefficients": ("find_coefficients",),
    "studies.running": ("run_study",),
    "studies.spec": ("read_study",),
    "training": ("resume", "train"),
    "trials.local": ("LocalExecutor",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Budget",
    "CoefficientSearch",
    "ConvNet",
    "Conversion",
    "ConvscaleError",
    "Cost",
    "Dataset",
    "Evaluation",
    "Family",
    "Fit",
    "InputError",
    "LayerGraph",
    "LocalExecutor",
    "Model",
    "Plan",
    "Prediction",
    "Recipe",
    "Scaling",
    "ScalingLaw",
    "StudyResult",
    "StudySpec",
    "__version__",
    "build",
    "compound",
    "compound_law",
    "convert",
    "cost",
    "evaluate",
    "family",
    "features",
    "find_coefficients",
    "fit",
    "law",
    "load",
    "load_weights",
    "network",
    "open_dataset",
    "plan",
    "predict",
    "pretrained",
    "published",
    "read_study",
    "recipe",
    "resolve",
    "resume",
    "run_study",
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
