"""What is trained when: the classifier alone at first, where the recipe says so, then everything."""

from __future__ import annotations

from convscale.nn import Model
from convscale.recipes import Recipe
from convscale.training.optimizer import is_norm


def is_classifier_alone(recipe: Recipe, epoch: int) -> bool:
    """Whether only the classifier is trained in an epoch, counted from 0."""
    return recipe.trainable == "head" or epoch < recipe.head_epochs


def set_learning(model: Model, recipe: Recipe, epoch: int) -> None:
    """Set what is trained in an epoch and how batch norm behaves, as the recipe says."""
    alone = is_classifier_alone(recipe, epoch)
    if recipe.trainable == "all" and recipe.head_epochs:
        model.requires_grad_(True)
        if alone:
            train_classifier_alone(model)
    model.train(not alone)
    model.head.get_submodule("classifier").train()
    if recipe.norm_statistics == "frozen":
        for module in filter(is_norm, model.modules()):
            module.eval()


def train_classifier_alone(model: Model) -> None:
    """Gradients for the classifier only."""
    model.requires_grad_(False).head.get_submodule("classifier").requires_grad_(True)
