"""Maps of where the evidence for a class lies: each method a function of the features before the pool.

All give (n, h, w), one value a cell, of features (n, channels, h, w) and the class of each image; none has a parameter.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convscale.errors import UnknownNameError
from convscale.explanation.looking import classifier, classify, is_linear, require_linear
from convscale.networks import ConvNet
from convscale.nn import Model

Method = Callable[[Model, Tensor, Tensor], Tensor]


def cam(model: Model, features: Tensor, classes: Tensor) -> Tensor:
    """What each cell adds to the logit, in logits: with the classifier's bias the cells sum to it (Zhou et al. 2016,
    equation 2, here divided by the number of cells, as the pool does). Raises ConfigError for a head with a hidden
    layer."""
    require_linear(model.network)
    cells = features.shape[-2] * features.shape[-1]
    weights = classifier(model).weight.detach()[classes].double() / cells
    return torch.einsum("nc,nchw->nhw", weights, features.double())


def gradcam(model: Model, features: Tensor, classes: Tensor) -> Tensor:
    """Features weighted by the mean gradient of the logit by their channel (Selvaraju et al. 2017, equations 1 and 2),
    before the paper's ReLU: what speaks against the class stays negative."""
    weights = gradients(model, features, classes).mean((2, 3)).double()
    return torch.einsum("nc,nchw->nhw", weights, features.double())


def gradcam_plus_plus(model: Model, features: Tensor, classes: Tensor) -> Tensor:
    """Features weighted by their channel's positive gradients, of which those count more whose second and third powers
    say so (Chattopadhyay et al. 2018, equations 14 and 19, with the logit's exponential as score); not below 0."""
    slopes = gradients(model, features, classes).double()
    squares, cubes = slopes**2, slopes**3
    below = 2 * squares + features.double().sum((2, 3), keepdim=True) * cubes
    shares = torch.where(below != 0, squares / torch.where(below != 0, below, 1.0), 0.0)
    weights = (shares * slopes.clamp(min=0)).sum((2, 3))
    return torch.einsum("nc,nchw->nhw", weights, features.double()).clamp(min=0)


def layercam(model: Model, features: Tensor, classes: Tensor) -> Tensor:
    """Features weighted by their own gradient where that is positive (Jiang et al. 2021, equations 3 to 5); not below
    0."""
    slopes = gradients(model, features, classes).double().clamp(min=0)
    return (slopes * features.double()).sum(1).clamp(min=0)


def eigencam(model: Model, features: Tensor, classes: Tensor) -> Tensor:
    """Features along their first principal direction (Muhammad and Yeasin 2020, equation 1): where most happens,
    whatever the class. Its sign is chosen so that the map sums to more than 0."""
    cells = features.double().flatten(2).transpose(1, 2)  # (n, h w, channels)
    direction = torch.linalg.svd(cells, full_matrices=False).Vh[:, 0]
    maps = torch.einsum("npc,nc->np", cells, direction)
    signs = torch.where(maps.sum(1, keepdim=True) < 0, -1.0, 1.0)
    return (maps * signs).reshape(len(maps), *features.shape[-2:])


def gradients(model: Model, features: Tensor, classes: Tensor) -> Tensor:
    """Of each image's logit of its class by its features, (n, channels, h, w); weights get none."""
    with torch.enable_grad():
        leaf = features.detach().clone().requires_grad_()
        logits = classify(model, leaf).gather(1, classes[:, None])
        return torch.autograd.grad(logits.sum(), leaf)[0]


METHODS: dict[str, Method] = {
    "cam": cam,
    "gradcam": gradcam,
    "gradcam++": gradcam_plus_plus,
    "layercam": layercam,
    "eigencam": eigencam,
}


def method_for(name: str | None, network: ConvNet) -> str:
    """The method called `name`; without a name cam where the head allows it, else gradcam. Raises UnknownNameError, and
    ConfigError for cam where the head has a hidden layer."""
    if name is None:
        return "cam" if is_linear(network) else "gradcam"
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    if name == "cam":
        require_linear(network)
    return name
