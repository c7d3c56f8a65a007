"""Accuracy of a trained network on images, its predictions for single ones, and what it sees in them."""

from convscale.evaluation.evaluate import Measured, evaluate, measure
from convscale.evaluation.features import features
from convscale.evaluation.predict import predict

__all__ = ["Measured", "evaluate", "features", "measure", "predict"]
