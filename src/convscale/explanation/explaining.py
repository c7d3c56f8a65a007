"""explain: a run or a weights file, and images, to maps of where the evidence lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from convscale.data.images import ImageCollection, Pixels
from convscale.data.loader import Normalise
from convscale.data.transforms import cut_of, picture_of, view_of
from convscale.errors import ConfigError, DataError, UnknownNameError
from convscale.evaluation.inputs import GivenImage, given_images
from convscale.explanation.explained import Explanation, LogitParts
from convscale.explanation.looking import classifier, field_of, is_linear, look, shell
from convscale.explanation.methods import METHODS, cam, method_for
from convscale.explanation.placing import MapAxis
from convscale.figures.explanations import PANEL_PIXELS
from convscale.nn import Model, load, to_default_device
from convscale.preprocessing import Preprocessing
from convscale.progress import print_note


class Unreadable(NamedTuple):
    """An image that could not be read, and why."""

    image: str
    reason: str


class _Loaded(NamedTuple):
    """An image: what the network sees of it, (channels, size, size) uint8, and how it lies in the image."""

    name: str
    view: Pixels
    shown: NDArray[np.uint8]
    rows: MapAxis
    columns: MapAxis


def explain(
    run_or_file: str | Path | Model,
    images: GivenImage | Sequence[GivenImage],
    *,
    method: str | None = None,
    class_name: str | None = None,
    batch: int = 16,
) -> list[Explanation]:
    """Where the network finds what it says of each image, in the order given.

    run_or_file: a run, a weights file, or a model from `load`, which is left as it is: its mode, gradients and hooks,
    whoever else uses it meanwhile. images: as for `predict`. method: one of `explanation.METHODS`; unless given, cam
    where the head is a pool and a linear layer, else gradcam. class_name: the class to explain, of each image the most
    probable one unless given.

    Raises RunError for the run, UnknownNameError for a class or a method that does not exist, ConfigError for cam of
    a head with a hidden layer, DataError naming an image that is missing or unreadable.
    """
    model = opened(run_or_file)
    given, notes = given_images(images)
    for note in notes:
        print_note(note)
    found = []
    for one in explained(model, given, method=method, class_name=class_name, batch=batch):
        if isinstance(one, Unreadable):
            raise DataError(f"{one.image}: {one.reason}", hint="remove it or replace it")
        found.append(one)
    return found


def opened(source: str | Path | Model) -> Model:
    """A model that nobody else has: that of a run or a file, or a shell of the given one.

    Raises RunError for a run, ConfigError for a model that does not say how its images are prepared.
    """
    if not isinstance(source, Model):
        return to_default_device(load(source))
    if source.preprocessing is None:
        raise ConfigError(
            "the model has no preprocessing", hint="cs.load(FILE) returns one that has it, or set model.preprocessing"
        )
    return shell(source)


def explained(
    model: Model,
    images: ImageCollection,
    *,
    method: str | None = None,
    class_name: str | None = None,
    batch: int = 16,
) -> Iterator[Explanation | Unreadable]:
    """The map of each image, or why there is none, in their order; `model` as `opened` gives it."""
    if batch < 1:
        raise ConfigError(f"batch {batch} is not allowed", hint="at least 1")
    name = method_for(method, model.network)
    wanted = None if class_name is None else class_index(model, class_name)
    assert model.preprocessing is not None
    axis = axis_of(model, model.preprocessing)
    return _explained(model, images, name, wanted, axis, batch)


def _explained(
    model: Model, images: ImageCollection, method: str, wanted: int | None, axis: MapAxis, batch: int
) -> Iterator[Explanation | Unreadable]:
    assert model.preprocessing is not None
    normalise = Normalise(model.preprocessing, next(model.parameters()).device)
    for first in range(0, len(images), batch):
        indices = range(first, min(first + batch, len(images)))
        found = [_load(images, index, model.preprocessing, axis) for index in indices]
        loaded = [one for one in found if isinstance(one, _Loaded)]
        with torch.inference_mode(False), torch.no_grad():  # whatever mode the caller is in
            maps = iter(_maps(model, loaded, method, wanted, normalise) if loaded else ())
        for one in found:
            yield next(maps) if isinstance(one, _Loaded) else one


def class_index(model: Model, name: str) -> int:
    """The number of a class. Raises UnknownNameError."""
    names = class_names(model)
    if name not in names:
        holding = [repr(other) for other in names if name.lower() in other.lower()][:3] if name else []
        hint = f"did you mean {' or '.join(holding)}?" if holding else ""
        raise UnknownNameError("class", name, names, hint=hint)
    return names.index(name)


def class_names(model: Model) -> tuple[str, ...]:
    """Of its classes; their numbers where it does not name them."""
    return model.classes or tuple(map(str, range(model.network.num_classes)))


def axis_of(model: Model, preprocessing: Preprocessing) -> MapAxis:
    """Where the cells lie along a side of the network's view."""
    field = field_of(model.network, preprocessing.size)
    cells = -(-preprocessing.size // field.step)
    return MapAxis(field.centre, field.step, cells, preprocessing.size)


def _load(images: ImageCollection, index: int, preprocessing: Preprocessing, axis: MapAxis) -> _Loaded | Unreadable:
    name = images.name(index)
    try:
        picture = picture_of(images, index, preprocessing)
        view = view_of(picture, preprocessing)
        cut = cut_of(picture.size, preprocessing)
        width, height = picture.size
        pixels = picture.pixels(picture.divisor((0, 0, width, height), PANEL_PIXELS))
    except DataError as error:
        return Unreadable(name, error.message.removeprefix(f"{name}: "))
    rows, columns = (
        axis._replace(cut=left_out, resized=side) for left_out, side in ((cut.top, cut.height), (cut.left, cut.width))
    )
    return _Loaded(name, view, _shown(pixels), rows, columns)


def _shown(pixels: Pixels) -> NDArray[np.uint8]:
    """(height, width[, channels]) as it is drawn, no larger than a panel: in grey, or the first three channels."""
    if pixels.ndim == 3:
        pixels = pixels[..., :3] if pixels.shape[2] > 2 else pixels[..., 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((PANEL_PIXELS, PANEL_PIXELS))
    return np.array(image)


def _maps(
    model: Model, loaded: Sequence[_Loaded], method: str, wanted: int | None, normalise: Normalise
) -> list[Explanation]:
    """The maps of a batch."""
    names = class_names(model)
    seen = look(model, normalise(torch.from_numpy(np.stack([one.view for one in loaded]))))
    logits = seen.logits.float()
    classes = logits.argmax(1) if wanted is None else torch.full((len(logits),), wanted, device=logits.device)
    chosen = logits.gather(1, classes[:, None])[:, 0].tolist()
    probabilities = logits.softmax(1).gather(1, classes[:, None])[:, 0].tolist()
    maps = METHODS[method](model, seen.features, classes).float().cpu().numpy()
    parts = _parts(model, seen.features, classes)
    return [
        Explanation(
            image=one.name, class_name=names[index], probability=probabilities[at], logit=chosen[at], method=method,
            map=maps[at].copy(), logit_parts=parts[at], rows=one.rows, columns=one.columns, view=one.view,
            shown=one.shown,
        )
        for at, (one, index) in enumerate(zip(loaded, classes.tolist(), strict=True))
    ]  # fmt: skip


def _parts(model: Model, features: Tensor, classes: Tensor) -> list[LogitParts | None]:
    """The exact parts of each logit, where the head has them."""
    if not is_linear(model.network):
        return [None] * len(features)
    biases = classifier(model).bias.detach()[classes].double().tolist()
    cells = cam(model, features, classes).cpu().numpy()
    return [LogitParts(part, bias) for part, bias in zip(cells, biases, strict=True)]
