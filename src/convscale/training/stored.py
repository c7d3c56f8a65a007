"""Features of many images, kept on the disk part by part while they are computed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from convscale.data import ImageCollection
from convscale.data.images import Stream, Subset
from convscale.errors import TrainingError
from convscale.evaluation.feature_extraction import Seen, look
from convscale.files import write_atomic
from convscale.nn import Model
from convscale.progress import Progress
from convscale.training.session import Session

PART_IMAGES = 1024


def stored_features(session: Session, images: ImageCollection | Stream, name: str) -> tuple[Seen, float]:
    """What the classifier of the session's model sees of all `images`, and the seconds that looking took.

    Parts of RUN/features/NAME-*.safetensors that are there and whole are taken as they are. A stream is one part.
    Raises TrainingStopped at a signal, TrainingError where the disk is full.
    """
    folder, count = session.job.run.features, len(images)
    size = count if isinstance(images, Stream) else PART_IMAGES
    progress = Progress(count, quiet=session.job.quiet)
    session.doing, session.counting = "features", progress
    parts: list[Seen] = []
    seconds = 0.0
    for start in range(0, count, size):
        path = folder / f"{name}-{start:09d}.safetensors"
        found = _read(path)
        if found is None:
            started = time.perf_counter()
            whole = images if isinstance(images, Stream) else Subset(images, np.arange(start, min(start + size, count)))
            found = _look(session, whole, progress, name), time.perf_counter() - started
            _write(path, *found, session.job.resumed_by)
        else:
            progress.skip(len(found[0].labels) + len(found[0].missing))
        parts.append(found[0])
        seconds += found[1]
    session.doing, session.counting = "training", session.progress
    return _joined(parts), seconds


def _look(session: Session, images: ImageCollection | Stream, progress: Progress, name: str) -> Seen:
    job, parts = session.job, []
    for seen in look(session.state.model, Model.classified, images, job.preprocessing, workers=job.settings.workers):
        parts.append(seen)
        progress.step(f"features of {name} images", len(seen.labels) + len(seen.missing))
        session.pause(f"while features of the {name} images were computed")
    return _joined(parts)


def _joined(parts: list[Seen]) -> Seen:
    read = [part.features for part in parts if len(part.labels)]
    features = torch.cat(read) if read else torch.empty(0, 0)
    missing = tuple(entry for part in parts for entry in part.missing)
    return Seen(features, torch.cat([part.labels for part in parts]), missing)


def _write(path: Path, seen: Seen, seconds: float, resumed_by: str) -> None:
    metadata = {"missing": json.dumps(seen.missing), "seconds": repr(seconds)}
    data = safetensors.torch.save({"features": seen.features, "labels": seen.labels}, metadata)
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, lambda file: file.write(data))
    except OSError as error:
        raise TrainingError(
            f"{path}: the features cannot be written: {error.strerror}", hint=f"make room, then: {resumed_by}"
        ) from None


def _read(path: Path) -> tuple[Seen, float] | None:
    """A stored part, None where there is none or it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            missing = tuple((str(name), str(reason)) for name, reason in json.loads(metadata["missing"]))
            return Seen(file.get_tensor("features"), file.get_tensor("labels"), missing), float(metadata["seconds"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
