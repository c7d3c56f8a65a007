"""Training: a network, data and a recipe to a run folder."""

from convscale.training.train import train

__all__ = ["train"]
