"""The optimizer and the learning rate's course, from a recipe."""

from __future__ import annotations

import torch
from torch import nn

from convscale.nn import Model, SyncBatchNorm
from convscale.recipes import LBFGS, SGD, AdamW, Recipe, RMSProp
from convscale.training.rmsprop import TensorFlowRMSProp

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, SyncBatchNorm)


def make_optimizer(model: Model, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over what can be trained; weight decay on all but the weights and biases of batch norm,
    biases of squeezes and of the classifier included, as the reference's main.py has it. A group's `rate_share` is
    what its learning rate is multiplied with."""
    norms = {id(p) for module in model.modules() if is_norm(module) for p in module.parameters()}
    groups = []
    for part, share in _rate_shares(model, recipe):
        trainable = [parameter for parameter in part if parameter.requires_grad]
        for decay, normal in ((recipe.weight_decay, False), (0.0, True)):
            chosen = [p for p in trainable if (id(p) in norms) == normal]
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "rate_share": share})
    rate = recipe.learning_rate
    match recipe.optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            nesterov = nesterov and momentum > 0
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)
        case RMSProp(decay=decay, momentum=momentum, eps=eps):
            return TensorFlowRMSProp(groups, rate, decay, momentum, eps)
        case AdamW(beta1=beta1, beta2=beta2, eps=eps):
            return torch.optim.AdamW(groups, lr=rate, betas=(beta1, beta2), eps=eps, fused=True)
        case LBFGS():  # no steps on batches: `probe` fits, and keeps nothing of the way there
            return torch.optim.SGD(groups, lr=rate)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a batch norm, of one process or of several."""
    return isinstance(module, _NORMS)


def _rate_shares(model: Model, recipe: Recipe) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters with the share of the learning rate that they get: all of it in the head, `layer_decay` times as much
    in each part before. The classifier is by itself where it learns before the others: momentum begins for a group at
    once."""
    if recipe.layer_decay == 1:
        parts = [(list(model.parameters()), 1.0)]
    else:
        modules = [model.stem, *model.stages, model.head]
        parts = [
            (list(module.parameters()), recipe.layer_decay ** (len(modules) - 1 - index))
            for index, module in enumerate(modules)
        ]
    if not recipe.head_epochs:
        return parts
    classifier = list(model.head.get_submodule("classifier").parameters())
    alone = {id(parameter) for parameter in classifier}
    return [([p for p in part if id(p) not in alone], share) for part, share in parts] + [(classifier, 1.0)]


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate after `epoch` epochs, a fraction within one: all of it while the classifier is trained alone;
    then a linear rise from 0, then the recipe's course. A course that counts from the first step, as the staircase,
    has gone on during the warm-up."""
    if epoch < recipe.head_epochs:
        return recipe.learning_rate
    epoch, epochs = epoch - recipe.head_epochs, recipe.epochs - recipe.head_epochs
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * epoch / recipe.warmup_epochs
    return recipe.learning_rate * recipe.schedule.factor(epoch, recipe.warmup_epochs, epochs)
