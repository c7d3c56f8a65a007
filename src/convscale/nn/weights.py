"""Weights files: safetensors whose header carries the network, so that the file alone can be used."""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from convscale.errors import RunError
from convscale.files import write_atomic
from convscale.headers import RESTORE, WeightsHeader, read_header
from convscale.nn.model import Model, build
from convscale.runs import weights_file

# Counters that PyTorch keeps beside BN statistics; unused when the momentum is fixed.
_NOT_STORED = "num_batches_tracked"


def save_weights(path: str | Path, model: Model, header: WeightsHeader) -> None:
    """Write the model's parameters and BN statistics with `header`, whole or not at all."""
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.endswith(_NOT_STORED)
    }
    data = _sorted_header(safetensors.torch.save(tensors, header.as_metadata()))
    write_atomic(Path(path), lambda file: file.write(data))


def _sorted_header(data: bytes) -> bytes:
    """A safetensors file with the keys of its header's metadata in order: equal weights make equal files."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def load_weights(path: str | Path) -> tuple[Model, WeightsHeader]:
    """The model of a weights file, in eval mode, and its header.

    Raises RunError where the file is damaged or its tensors are not those of its network.
    """
    path = Path(path)
    header = read_header(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: damaged: {error}", hint=RESTORE) from None
    with torch.device("meta"):
        model = build(header.network)
    expected = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(_NOT_STORED)}
    wrong = sorted(expected.keys() ^ tensors.keys()) + sorted(
        name for name in expected.keys() & tensors.keys() if expected[name].shape != tensors[name].shape
    )
    if wrong:
        raise RunError(f"{path}: {len(wrong)} tensors do not fit its network, the first is {wrong[0]!r}", hint=RESTORE)
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise RunError(f"{path}: {name} is {tensor.dtype}, not float32")
        if not torch.isfinite(tensor).all():
            raise RunError(
                f"{path}: {name} holds NaN or infinite values", hint="the training that made it diverged: train again"
            )
    counters = {name: torch.zeros((), dtype=torch.long) for name in model.state_dict() if name.endswith(_NOT_STORED)}
    model.load_state_dict(tensors | counters, assign=True)
    model.preprocessing, model.classes = header.preprocessing, header.classes
    return model.eval(), header


def load(run_or_file: str | Path) -> Model:
    """The network of a run or a weights file, in eval mode, with its `preprocessing` and `classes`.

    Raises RunError as `load_weights` does.
    """
    model, _ = load_weights(weights_file(Path(run_or_file)))
    return model
