"""Accuracy of a trained network on images, its predictions for single ones, and what it sees in them."""

from convscale.evaluation.evaluator import evaluate, sweep
from convscale.evaluation.feature_extraction import features
from convscale.evaluation.measurement import measure
from convscale.evaluation.predictor import predict
from convscale.evaluation.tally import Measured

__all__ = ["Measured", "evaluate", "features", "measure", "predict", "sweep"]
