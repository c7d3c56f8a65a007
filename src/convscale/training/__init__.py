"""Training: a network, data and a recipe to a run folder; resuming one; estimates of what it would take."""

from convscale.records import Estimate
from convscale.training.estimation import estimate
from convscale.training.memory import fitted_to_memory
from convscale.training.trainer import resume, train

__all__ = ["Estimate", "estimate", "fitted_to_memory", "resume", "train"]
