"""The linear probe: a logistic regression on what a network sees in the images, computed once for each.

Features are kept in RUN/features, part by part, so that an interrupted probe resumes where it was. They are scaled
to mean 0 and deviation 1 for the fit, and the classifier is written so that it takes them as they are.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convscale.data import ImageCollection
from convscale.data.balance import balanced_weights
from convscale.data.dataset import stratified_split
from convscale.data.images import Stream
from convscale.errors import ConfigError, TrainingError
from convscale.evaluation import Measured
from convscale.evaluation.feature_extraction import Extracted
from convscale.evaluation.measurement import require_readable
from convscale.evaluation.tally import Tally
from convscale.nn import pick_device
from convscale.recipes import LBFGS, Recipe
from convscale.records import EpochRecord, SearchRow
from convscale.training.job import Job
from convscale.training.session import Session
from convscale.training.step import training_loss
from convscale.training.stored import stored_features
from convscale.training.tuning import best_choice, settle


class Classifier(NamedTuple):
    """weight (classes, features) and bias (classes,) for features as they are; the loss that it was fitted to, and in
    how many iterations."""

    weight: Tensor
    bias: Tensor
    loss: float
    iterations: int


def fit_probe(session: Session) -> Measured:
    """Fit the classifier of the session's model to the training images' features, and evaluate it on the held-out ones;
    a validation split is what its weight decay is chosen by.

    Raises ConfigError in several processes, DataError where too many images cannot be read, TrainingError where
    features are not finite, TrainingStopped at a signal.
    """
    job, position = session.job, session.state.position
    if session.processes.world > 1:
        raise ConfigError("a linear probe runs in one process", hint="start it without torchrun")
    job.run.keep_metrics(0)  # of a probe that was stopped when it was all but done
    position.epoch = 0
    train, seconds = stored_features(session, job.train, "train")
    session.note_unreadable(train.missing)
    test = _held_out_features(session, job.dataset.test, "test")
    validation = None if job.validation is None else _held_out_features(session, job.validation, "validation")
    if not len(train.labels) or not train.features.isfinite().all():
        raise _not_finite()
    started = time.perf_counter()
    recipe = _chosen(session, train, validation)
    fitted = fit_classifier(train, len(job.dataset.classes), recipe)
    linear = session.state.model.head.get_submodule("classifier.linear")
    linear.load_state_dict({"weight": fitted.weight, "bias": fitted.bias})
    measured = _measured(fitted, test, job)
    judged = measured if validation is None else _measured(fitted, validation, job)
    position.total_steps = fitted.iterations
    position.training_images, position.training_seconds = len(train.labels), seconds
    fitting_seconds = time.perf_counter() - started
    session.progress.done_steps = session.progress.total_steps
    session.keep_record(
        EpochRecord(
            epoch=1, steps=fitted.iterations, learning_rate=recipe.learning_rate, train_loss=fitted.loss,
            gradient_norm=None, top1=judged.evaluation.top1, seconds=seconds + fitting_seconds, data_seconds=0.0,
            forward_seconds=seconds, backward_seconds=0.0, optimizer_seconds=fitting_seconds,
            images_per_second=len(train.labels) / max(seconds, 1e-9),
            mean_per_class=judged.evaluation.mean_per_class,
        )
    )  # fmt: skip
    return measured


def _held_out_features(session: Session, images: ImageCollection | Stream, name: str) -> Extracted:
    """Those of images that nothing is fitted to. Raises DataError where too many cannot be read."""
    found, _ = stored_features(session, images, name)
    require_readable([reason for _, reason in found.missing], len(images), session.job.recipe.max_unreadable)
    if not found.features.isfinite().all():
        raise _not_finite()
    return found


def _not_finite() -> TrainingError:
    return TrainingError("features are not finite: do the weights fit the network and its preprocessing?")


def _chosen(session: Session, train: Extracted, validation: Extracted | None) -> Recipe:
    """The recipe with the best of its weight decays, each judged by the validation images, or else fitted to all but a
    share of the training images and judged by those."""
    job, recipe = session.job, session.job.recipe
    choices = recipe.choices()
    if not choices:
        return recipe
    fitting, judging = train, validation
    if judging is None:
        parts = stratified_split(train.labels.numpy(), recipe.search.share, job.settings.seed, job.dataset.classes)
        fitting, judging = (Extracted(train.features[part], train.labels[part]) for part in parts)
    rows: list[SearchRow] = []
    start = None
    for choice in choices:
        started = time.perf_counter()
        start = fit_classifier(fitting, len(job.dataset.classes), choice, start)
        accuracy = _measured(start, judging, job).evaluation.accuracy(job.dataset.metric)
        seconds = time.perf_counter() - started
        rows.append(SearchRow(choice.learning_rate, choice.weight_decay, accuracy, len(judging.labels), seconds))
        session.pause(where="while the weight decay was chosen")
    job.run.write_searched(rows)
    return settle(job, best_choice(choices, rows), rows, session.processes)


def fit_classifier(images: Extracted, classes: int, recipe: Recipe, start: Classifier | None = None) -> Classifier:
    """The classifier whose mean cross entropy and squared weights, times half the weight decay, are least together.

    The weights that count are those for scaled features. `start` is a classifier to begin with, for speed.
    """
    assert isinstance(recipe.optimizer, LBFGS)
    device = pick_device()
    features, labels = images.features.to(device), images.labels.to(device)
    weights = None
    if recipe.class_weights == "balanced":
        weights = torch.from_numpy(balanced_weights(images.labels.numpy(), classes)).to(device)
    deviation, mean = torch.std_mean(features, dim=0, correction=0)
    deviation = deviation.where(deviation > 0, 1)
    scaled = (features - mean) / deviation
    weight, bias = torch.zeros(classes, scaled.shape[1], device=device), torch.zeros(classes, device=device)
    if start is not None:
        weight = start.weight.to(device) * deviation
        bias = start.bias.to(device) + start.weight.to(device) @ mean
    parameters = [weight.requires_grad_(), bias.requires_grad_()]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=recipe.optimizer.max_iterations, tolerance_grad=1e-5, tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = training_loss(F.linear(scaled, weight, bias), labels, recipe.label_smoothing, weights)
        loss = loss + recipe.weight_decay / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    iterations = int(optimizer.state[weight]["n_iter"])
    with torch.no_grad():
        loss = float(training_loss(F.linear(scaled, weight, bias), labels, recipe.label_smoothing, weights))
        unscaled = weight / deviation
        return Classifier(unscaled.cpu(), (bias - unscaled @ mean).cpu(), loss, iterations)


@torch.inference_mode()
def _measured(classifier: Classifier, images: Extracted, job: Job) -> Measured:
    """What the classifier gets right, counted as `evaluation.measure` counts."""
    tally = Tally(len(job.dataset.classes))
    if len(images.labels):
        tally.add(F.linear(images.features, classifier.weight, classifier.bias), images.labels)
    return tally.measured(job.dataset.classes, tuple(reason for _, reason in images.missing))
