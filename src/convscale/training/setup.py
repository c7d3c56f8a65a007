"""Before the first step: a job whose parts fit together, its initial state, and disk space for what it writes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from convscale.costs import cost
from convscale.data import Dataset, ImageCollection
from convscale.data.channel_statistics import measured
from convscale.data.dataset import stratified_split
from convscale.data.images import Stream, Subset
from convscale.data.loader import training_batches
from convscale.data.randomness import Purpose, keyed
from convscale.data.typical import notes_on_pixels, require_channels
from convscale.errors import ConfigError, DataError, RunError
from convscale.figures import SHEET_IMAGES, draw_sheet
from convscale.headers import read_header
from convscale.layers import LinearLayer, resolve
from convscale.machine import speaks
from convscale.networks import ConvNet
from convscale.nn import Model, build, keep_memory, load_weights, pick_device, synchronise_norms, to_default_device
from convscale.nn.processes import Processes
from convscale.preprocessing import Preprocessing, default_preprocessing
from convscale.progress import print_note
from convscale.recipes import LBFGS, Recipe
from convscale.runs import Run, Settings, weights_file
from convscale.training.checkpoint import free_bytes
from convscale.training.ema import EMA
from convscale.training.job import Job
from convscale.training.memory import available_bytes, training_bytes
from convscale.training.optimizer import make_optimizer
from convscale.training.phases import train_classifier_alone
from convscale.training.state import Position, TrainingState
from convscale.units import format_bytes

# The two newest and the one being written, and the two weights files.
CHECKPOINTS_ON_DISK = 3


def make_job(
    network: ConvNet,
    dataset: Dataset,
    recipe: Recipe,
    run: Run,
    settings: Settings,
    *,
    preprocessing: Preprocessing | None = None,
    world: int = 1,
    quiet: bool = False,
) -> Job:
    """A job whose parts fit each other. Images are prepared as `preprocessing` says, else as those were that the
    weights to start from were trained on, else as is usual. Raises ConfigError and DataError where they do not fit."""
    for part in (dataset.train, dataset.test, dataset.validation):
        if part is not None:
            require_channels(part, network.input_channels)
    train, validation = _split_validation(dataset, recipe, settings.seed)
    if isinstance(train, Stream):
        _require_no_balance(recipe, dataset)
    images = len(train)
    if images < 2:
        raise DataError(f"{dataset.source}: {images} training images are too few")
    recipe = recipe.for_images(images)
    if recipe.batch % world or images < world:
        raise ConfigError(
            f"a batch of {recipe.batch} cannot be shared by {world} processes",
            hint="the batch counts the images of all processes: --batch with a multiple of their number",
        )
    network = network.with_classes(len(dataset.classes))
    speaking = speaks() and not quiet
    preprocessing = preprocessing or _preprocessing(network, settings, train, speaking)
    recipe = _for_channels(recipe.for_network(network), network.input_channels, speaking)
    return Job(network, dataset, preprocessing, recipe, settings, run, train, validation, quiet)


def _for_channels(recipe: Recipe, channels: int, speaking: bool) -> Recipe:
    """The recipe without a policy of grey and colours where images are neither."""
    policy = recipe.augmentation.policy
    if channels in (1, 3) or policy == "none":
        return recipe
    if speaking:
        print_note(f"augmentation.policy {policy} left out: it is made for grey and RGB, not for {channels} channels")
    return replace(recipe, augmentation=replace(recipe.augmentation, policy="none"))


def _require_no_balance(recipe: Recipe, dataset: Dataset) -> None:
    """Raise DataError for what needs the labels of all images, which a stream does not give beforehand."""
    for name, value in (("sampling", recipe.sampling), ("class_weights", recipe.class_weights)):
        if value == "balanced":
            raise DataError(
                f"{dataset.source}: {name} 'balanced' needs the labels of all images, which a stream does not give "
                "beforehand",
                hint=f"read the data as hf:... or from a folder, or leave {name} out",
            )


def _split_validation(
    dataset: Dataset, recipe: Recipe, seed: int
) -> tuple[ImageCollection | Stream, ImageCollection | Stream | None]:
    """The images to train on, and those that epochs are judged by where not the held-out ones: the validation split,
    or for early stopping a share of each class."""
    if dataset.validation is not None:
        return dataset.train, dataset.validation
    if not recipe.patience:
        return dataset.train, None
    return split_training(dataset, recipe.validation_share, seed, "early stopping")


def split_training(dataset: Dataset, share: float, seed: int, why: str) -> tuple[ImageCollection, ImageCollection]:
    """The training images but for `share` of each class, and those. Raises DataError where they cannot be drawn."""
    if isinstance(dataset.train, Stream):
        raise DataError(
            f"{dataset.source}: {why} holds out training images, which a stream does not allow",
            hint="read the data as hf:... or from a folder",
        )
    try:
        kept, held = stratified_split(dataset.train.labels, share, seed, dataset.classes)
    except DataError as error:
        message = f"{why} holds out {share:.0%} of the {len(dataset.train):,} training images: {error.message}"
        raise DataError(message, hint="add images, or turn it off") from None
    return Subset(dataset.train, kept), Subset(dataset.train, held)


def _preprocessing(
    network: ConvNet, settings: Settings, train: ImageCollection | Stream, speaking: bool
) -> Preprocessing:
    """As the weights to start from say, else ImageNet's for grey and RGB, else measured on the training images."""
    chosen, known = default_preprocessing(network.resolution, network.input_channels), network.input_channels in (1, 3)
    if settings.weights is not None:
        found = read_header(weights_file(Path(settings.weights))).preprocessing
        if found.channels == network.input_channels:
            chosen, known = found.at(network.resolution), True
    if settings.stored_range is not None:
        chosen = replace(chosen, stored_range=settings.stored_range)
    if known or isinstance(train, Stream):
        return chosen
    chosen = measured(train, chosen)
    if speaking:
        print_note(f"{chosen.channels} channels, measured on training images: {chosen.in_words()}")
    return chosen


def make_state(job: Job, processes: Processes, *, from_start: bool = True) -> TrainingState:
    """Model, average and optimizer as they are before the first step; where a checkpoint follows, not `from_start`,
    the weights to start from are not looked for."""
    keep_memory()
    recipe, settings = job.recipe, job.settings
    model = build(job.network, recipe.dropout, recipe.drop_path, norm_momentum=recipe.norm_momentum, seed=settings.seed)
    if settings.weights is not None and from_start:
        start_from(model, _weights_of(settings), job.dataset.classes)
    model = to_default_device(model)
    if processes.world > 1:
        synchronise_norms(model)
    if recipe.trainable == "head":
        train_classifier_alone(model)
    ema = EMA(model, recipe.ema_decay) if recipe.ema_decay else None
    position = Position(seed=_seed_of_order(settings), accumulation=recipe.accumulation)
    return TrainingState(model, ema, make_optimizer(model, recipe), position)


def _seed_of_order(settings: Settings) -> int:
    """What images are shuffled and augmented by: another seed than before in a run that continues one."""
    if not settings.epochs_before:
        return settings.seed
    return int(keyed(Purpose.CONTINUED, settings.seed, settings.epochs_before).integers(2**63))


def weights_sha256(path: str) -> str:
    """The sha256 of a weights file, or of a run's. Raises RunError where there is none."""
    with weights_file(Path(path)).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights_of(settings: Settings) -> Path:
    """The weights to start from. Raises RunError where they are gone, or not those that they were at first: what was
    trained from them until now would not belong to what follows."""
    path, wanted = Path(settings.weights or ""), settings.weights_sha256
    if not path.exists() or (wanted and weights_sha256(str(path)) != wanted):
        what = "not the weights that the run began with" if path.exists() else "no such run folder or weights file"
        raise RunError(f"{path}: {what}", hint="restore the original weights, or train again")
    return weights_file(path)


def start_from(model: Model, path: Path, classes: tuple[str, ...]) -> None:
    """Give `model` the weights of a file, all but the classifier's where the file's classes are others: that begins at
    zero then, every class as probable as another. Values drawn as for a training from nothing would be confident in
    something from the first step on, and what follows would spoil the weights.

    Raises RunError where the networks differ in anything else.
    """
    found, header = load_weights(path)
    if header.network.with_classes(model.network.num_classes).at_resolution(model.network.resolution) != model.network:
        raise RunError(f"{path}: weights of another network, {header.network.name}", hint=f"train its own: {path}")
    weights = found.state_dict()
    if header.classes != classes:
        fresh = model.state_dict()
        weights |= {name: fresh[name].zero_() for name in weights if name.startswith("head.classifier.")}
    model.load_state_dict(weights)


def draw_first_batch(job: Job) -> None:
    """A sheet of the first batch's images as augmented, before mixup and cutmix, with their classes."""
    path = job.run.path / "pictures" / "first-batch.png"
    if not path.exists():
        batches = training_batches(
            job.train, job.preprocessing, job.recipe.augmentation, min(SHEET_IMAGES, job.recipe.batch),
            seed=job.settings.seed, epoch=0, sampling=job.recipe.sampling,
        )  # fmt: skip
        first = next(batches)
        if len(first.pixels):
            draw_sheet(first.pixels.numpy(), path, [job.dataset.classes[label] for label in first.labels.tolist()])


def warn_of_memory(job: Job, processes: Processes) -> None:
    """Warn beforehand that a batch will not fit, by the cost model."""
    images = job.recipe.batch // processes.world // job.recipe.accumulation
    needed, free = training_bytes(job.network, images), available_bytes(pick_device())
    if free is not None and needed > free and processes.first and not job.quiet:
        print_note(f"{images} images at once need {format_bytes(needed)}, {format_bytes(free)} are free: --batch auto")


def warn_of_no_weights(job: Job, processes: Processes) -> None:
    """Warn that a recipe which freezes trained weights was given none."""
    recipe = job.recipe
    keeps = recipe.trainable == "head" or recipe.norm_statistics == "frozen"
    if keeps and job.settings.weights is None and processes.first and not job.quiet:
        what = "everything before the classifier" if recipe.trainable == "head" else "statistics of batch norm"
        print_note(f"the recipe freezes {what}, but training starts from random weights: add --weights FILE")


def warn_of_pixels(job: Job, processes: Processes) -> None:
    """Report which part of the pixels the network does not see, judged by some of the images."""
    if processes.first and not job.quiet:
        for note in notes_on_pixels(job.train, job.preprocessing.stored_range, job.network.input_channels):
            print_note(note)


def disk_bytes(job: Job) -> int:
    """The most disk space that a run needs at one time."""
    costs = cost(job.network)
    features = 0
    if isinstance(job.recipe.optimizer, LBFGS):
        classifier = resolve(job.network).head.layers[-1]
        images = len(job.train) + len(job.dataset.test) + (0 if job.validation is None else len(job.validation))
        features = 4 * images * classifier.in_channels if isinstance(classifier, LinearLayer) else 0
    return CHECKPOINTS_ON_DISK * costs.training_memory_bytes_fixed + 2 * costs.file_bytes + features


def require_disk(job: Job) -> None:
    """Raise RunError where the disk has no room for what the run will write."""
    needed, free = disk_bytes(job), free_bytes(job.run.path.absolute())
    if needed > free:
        raise RunError(
            f"{job.run.path}: checkpoints and weights need up to {format_bytes(needed)}, {format_bytes(free)} are free",
            hint="make room, or choose another disk with -o",
        )
