"""An exported file as a network: pixels in, logits out, and all that the file says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convscale.data.loader import Normalise
from convscale.errors import ConfigError, ConvscaleError, RunError
from convscale.exported.formats import Format, format_of
from convscale.exported.runtime import Runtime
from convscale.files import sha256_of
from convscale.headers import RESTORE, WeightsHeader, header_from
from convscale.records import ExportInput, ExportRecord, read_as
from convscale.records.exports import manifest_name

CPU = torch.device("cpu")


class ExportedNetwork:
    """An exported file that runs, on the CPU. header: its network, preprocessing and classes. input: what it takes."""

    def __init__(self, path: Path, kind: Format, runtime: Runtime, header: WeightsHeader, taken: ExportInput) -> None:
        self.path, self.format, self.runtime, self.header, self.input = path, kind, runtime, header, taken
        self._normalise = Normalise(header.preprocessing, CPU)

    def logits(self, pixels: Tensor) -> Tensor:
        """(n, c, size, size) uint8, resized and cropped -> (n, classes) float32.

        Raises ConfigError for images of another size than the file was made for.
        """
        size = self.header.preprocessing.size
        if pixels.shape[-2:] != (size, size):
            asked = f"{pixels.shape[-1]} px"
            raise ConfigError(f"{self.path}: it takes images of {size} px, not {asked}", hint=f"export it at {asked}")
        most = self.format.max_batch
        parts = torch.split(pixels, most)
        return torch.cat([torch.from_numpy(self.runtime(self._input(part))) for part in parts])

    def _input(self, pixels: Tensor) -> Any:
        given = pixels if self.input == "pixels" else self._normalise(pixels)
        return given.contiguous().numpy()


def open_exported(path: str | Path, *, threads: int | None = None) -> ExportedNetwork:
    """An exported file, on so many threads, by default as many as PyTorch computes on.

    Raises RunError where it is damaged, or says nothing about itself and has no manifest beside it; MissingExtraError
    where what runs it is not installed; ConfigError where nothing on this system does.
    """
    path = Path(path)
    kind = format_of(path)
    if kind is None:
        raise RunError(f"{path}: not a file that convscale export writes")
    if not path.exists():
        raise RunError(f"{path}: no such file")
    opened = kind.require_runtime(path)
    try:
        runtime = opened(path, threads or torch.get_num_threads())
    except ConvscaleError:
        raise
    except Exception as error:  # each runtime has errors of its own
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RunError(f"{path}: {kind.title} cannot open it: {first}", hint=RESTORE) from None
    header, taken = _described(path, runtime.metadata)
    return ExportedNetwork(path, kind, runtime, header, taken)


def _described(path: Path, metadata: Mapping[str, str]) -> tuple[WeightsHeader, ExportInput]:
    """By the file itself, or by the manifest beside it where its format keeps no metadata."""
    if "network" in metadata:
        return header_from(metadata, path), "pixels" if metadata.get("input") == "pixels" else "images"
    manifest = Path(manifest_name(str(path)))
    if not manifest.exists():
        raise RunError(
            f"{path}: it does not say which classes it knows and how images are prepared",
            hint=f"write it with convscale export, and keep {manifest.name} beside it",
        )
    record = read_as(ExportRecord, manifest)
    if record.files[0].sha256 != sha256_of(path):
        raise RunError(f"{path}: not the file that {manifest.name} describes", hint="export it again")
    return WeightsHeader(record.network, record.preprocessing, record.classes), record.input
