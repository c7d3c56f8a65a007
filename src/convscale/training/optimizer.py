"""The optimizer and the learning rate's course, from a recipe."""

from __future__ import annotations

import torch
from torch import nn

from convscale.nn import SyncBatchNorm
from convscale.recipes import SGD, AdamW, Recipe, RMSProp
from convscale.training.rmsprop import TensorFlowRMSProp

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm, SyncBatchNorm)


def make_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over what can be trained; weight decay on all but the weights and biases of batch norm,
    biases of squeezes and of the classifier included, as the reference's main.py has it."""
    norms = {id(p) for module in model.modules() if isinstance(module, _NORMS) for p in module.parameters()}
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if id(p) not in norms], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trainable if id(p) in norms], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = recipe.learning_rate
    match recipe.optimizer:
        case SGD(momentum=momentum, nesterov=nesterov):
            nesterov = nesterov and momentum > 0
            return torch.optim.SGD(groups, lr=rate, momentum=momentum, nesterov=nesterov, fused=True)
        case RMSProp(decay=decay, momentum=momentum, eps=eps):
            return TensorFlowRMSProp(groups, rate, decay, momentum, eps)
        case AdamW(beta1=beta1, beta2=beta2, eps=eps):
            return torch.optim.AdamW(groups, lr=rate, betas=(beta1, beta2), eps=eps, fused=True)


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate after `epoch` epochs, a fraction within one: a linear rise from 0, then the recipe's
    course. A course that counts from the first step, as the staircase, has gone on during the warm-up."""
    if epoch < recipe.warmup_epochs:
        return recipe.learning_rate * epoch / recipe.warmup_epochs
    return recipe.learning_rate * recipe.schedule.factor(epoch, recipe.warmup_epochs, recipe.epochs)
