"""Accuracy of a trained network on images, and its predictions for single ones."""

from convscale.evaluation.evaluate import evaluate, evaluate_model
from convscale.evaluation.predict import predict

__all__ = ["evaluate", "evaluate_model", "predict"]
