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
from convscale.evaluation.feature_extraction import Extracted, extract
from convscale.files import write_atomic
from convscale.nn import Lowered
from convscale.progress import Progress
from convscale.training.session import Session

PART_IMAGES = 1024


def stored_features(session: Session, images: ImageCollection | Stream, name: str) -> tuple[Extracted, float]:
    """What reaches the classifier of the session's model of all `images`, and the seconds that it took.

    Parts of RUN/features/NAME-*.safetensors that are there and whole are taken as they are. A stream is one part.
    Raises TrainingStopped at a signal, TrainingError where the disk is full.
    """
    folder, count = session.job.run.features, len(images)
    size = count if isinstance(images, Stream) else PART_IMAGES
    progress = Progress(count, quiet=session.job.quiet)
    session.doing, session.counting = "features", progress
    parts: list[Extracted] = []
    seconds = 0.0
    for start in range(0, count, size):
        path = folder / f"{name}-{start:09d}.safetensors"
        found = _read(path)
        if found is None:
            started = time.perf_counter()
            whole = images if isinstance(images, Stream) else Subset(images, np.arange(start, min(start + size, count)))
            found = _extract(session, whole, progress, name), time.perf_counter() - started
            _write(path, *found, session.job.resumed_by)
        else:
            progress.skip(len(found[0].labels) + len(found[0].missing))
        parts.append(found[0])
        seconds += found[1]
    session.doing, session.counting = "training", session.progress
    return _joined(parts), seconds


def _extract(session: Session, images: ImageCollection | Stream, progress: Progress, name: str) -> Extracted:
    job, parts = session.job, []
    for part in extract(
        session.state.model, Lowered.classified, images, job.preprocessing, workers=job.settings.workers
    ):
        parts.append(part)
        progress.step(f"features of {name} images", len(part.labels) + len(part.missing))
        session.pause(where=f"while features of the {name} images were computed")
    return _joined(parts)


def _joined(parts: list[Extracted]) -> Extracted:
    read = [part.features for part in parts if len(part.labels)]
    features = torch.cat(read) if read else torch.empty(0, 0)
    missing = tuple(entry for part in parts for entry in part.missing)
    return Extracted(features, torch.cat([part.labels for part in parts]), missing)


def _write(path: Path, found: Extracted, seconds: float, resumed_by: str) -> None:
    metadata = {"missing": json.dumps(found.missing), "seconds": repr(seconds)}
    data = safetensors.torch.save({"features": found.features, "labels": found.labels}, metadata)
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, lambda file: file.write(data))
    except OSError as error:
        raise TrainingError(
            f"{path}: the features cannot be written: {error.strerror}", hint=f"make room, then: {resumed_by}"
        ) from None


def _read(path: Path) -> tuple[Extracted, float] | None:
    """A stored part, None where there is none or it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            missing = tuple((str(name), str(reason)) for name, reason in json.loads(metadata["missing"]))
            return Extracted(file.get_tensor("features"), file.get_tensor("labels"), missing), float(
                metadata["seconds"]
            )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
