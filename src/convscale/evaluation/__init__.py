"""Accuracy of a trained network on images, and its predictions for single ones."""

from convscale.evaluation.evaluate import evaluate, sweep
from convscale.evaluation.measure import measure
from convscale.evaluation.predict import predict
from convscale.evaluation.tally import Measured

__all__ = ["Measured", "evaluate", "measure", "predict", "sweep"]
