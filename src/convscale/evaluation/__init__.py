"""Accuracy of a trained network on images, and its predictions for single ones."""

from convscale.evaluation.evaluate import Measured, evaluate, measure
from convscale.evaluation.predict import predict

__all__ = ["Measured", "evaluate", "measure", "predict"]
