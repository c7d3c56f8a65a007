"""train: one plain loop. Order of a step: learning rate, forward, loss, backward, clip, update."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from convscale.data import Dataset, open_dataset
from convscale.data.loader import Normalise, steps_per_epoch, training_batches
from convscale.errors import ConfigError, DataError, TrainingError
from convscale.evaluation import evaluate_model
from convscale.networks import ConvNet
from convscale.nn import Model, build, pick_device, place, save_weights
from convscale.preprocessing import Preprocessing, default_preprocessing
from convscale.progress import Progress
from convscale.recipes import Recipe
from convscale.records import EpochRecord, Evaluation
from convscale.runs import Run, WeightsHeader, create_run
from convscale.training.optimizer import learning_rate, make_optimizer
from convscale.units import format_count


def train(
    network: ConvNet,
    data: Dataset | str | Path,
    recipe: Recipe,
    output: str | Path,
    *,
    seed: int = 0,
    workers: int = 0,
    quiet: bool = False,
) -> tuple[Run, Evaluation]:
    """Train `network` on `data` by `recipe`; the run folder `output` is made and must be empty.

    The classifier takes the data's number of classes. The last epoch's weights are kept and evaluated on the
    held-out images, which choose nothing. Raises ConfigError, DataError and RunError for what cannot be
    trained, TrainingError where the loss is no longer finite.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(data, seed=seed)
    if network.input_channels not in (1, 3):
        raise ConfigError(f"input_channels {network.input_channels}: images are grey (1) or RGB (3)")
    if len(dataset.train) < 2:
        raise DataError(f"{dataset.source}: {len(dataset.train)} training images are too few")
    network = network.with_classes(len(dataset.classes))
    preprocessing = default_preprocessing(network.resolution, network.input_channels)
    settings = {"seed": seed, "torch_threads": torch.get_num_threads(), "device": str(pick_device())}
    run = create_run(Path(output), network, recipe, dataset.record(), settings)
    torch.manual_seed(seed)
    model = place(build(network, recipe.dropout, recipe.drop_path, norm_momentum=recipe.norm_momentum))
    try:
        evaluation = _fit(model, dataset, preprocessing, recipe, run, seed=seed, workers=workers, quiet=quiet)
    except BaseException:
        if not run.has_metrics():
            run.discard()  # not one epoch to keep: leave the name free for the next try
        raise
    save_weights(run.weights, model, WeightsHeader(network, preprocessing, dataset.classes))
    run.write_evaluation(evaluation)
    return run, evaluation


def _fit(
    model: Model,
    dataset: Dataset,
    preprocessing: Preprocessing,
    recipe: Recipe,
    run: Run,
    *,
    seed: int,
    workers: int,
    quiet: bool,
) -> Evaluation:
    """All epochs, each with a line of metrics; the evaluation after the last."""
    device = next(model.parameters()).device
    normalise = Normalise(preprocessing, device)
    optimizer = make_optimizer(model, recipe)
    steps = steps_per_epoch(len(dataset.train), recipe.batch)
    progress = Progress(steps * recipe.epochs, quiet=quiet)
    for epoch in range(recipe.epochs):
        model.train()
        started = time.monotonic()
        losses = torch.zeros((), device=device)
        images = 0
        batches = training_batches(
            dataset.train, preprocessing, recipe.augmentation, recipe.batch,
            seed=seed, epoch=epoch, workers=workers,
        )  # fmt: skip
        for step, (pixels, labels) in enumerate(batches):
            rate = learning_rate(recipe, epoch + (step + 1) / steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            logits = model(normalise(pixels))
            loss = F.cross_entropy(logits, labels.to(device), label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if recipe.gradient_clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip)
            optimizer.step()
            losses += loss.detach()
            images += len(labels)
            progress.step(f"epoch {epoch + 1}/{recipe.epochs}  step {step + 1}/{steps}")
        seconds = time.monotonic() - started
        train_loss = float(losses) / steps
        if not math.isfinite(train_loss):
            raise TrainingError(
                f"the loss is {train_loss} in epoch {epoch + 1}, at learning rate {rate:.3g}",
                hint="lower the learning rate, or clip gradients (gradient_clip in the recipe)",
            )
        evaluation = evaluate_model(
            model, dataset.test, preprocessing, dataset.classes, batch=recipe.batch, workers=workers
        )
        record = EpochRecord(
            epoch + 1, steps * (epoch + 1), rate, train_loss, evaluation.top1, seconds, images / seconds
        )
        run.append_metrics(record)
        progress.line(
            f"epoch {epoch + 1}/{recipe.epochs}  loss {train_loss:.4f}  held-out top-1 "
            f"{evaluation.top1:.4f}  {format_count(images / seconds)} images/s"
        )
    return evaluation
