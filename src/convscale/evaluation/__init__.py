"""Accuracy of a trained network on images, its predictions for single ones, and what it sees in them."""

from convscale.evaluation.evaluate import evaluate, sweep
from convscale.evaluation.features import features
from convscale.evaluation.measure import measure
from convscale.evaluation.predict import predict
from convscale.evaluation.tally import Measured

__all__ = ["Measured", "evaluate", "features", "measure", "predict", "sweep"]
