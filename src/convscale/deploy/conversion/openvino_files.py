"""OpenVINO: FILE.xml describes the network, FILE.bin beside it holds the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from convscale.deploy.conversion.plain import LOGITS, Plain, exporting, plain
from convscale.exported import format_named
from convscale.exported.openvino_runtime import METADATA
from convscale.files import write_together
from convscale.nn import Model
from convscale.preprocessing import Preprocessing

if TYPE_CHECKING:
    import openvino

OPENVINO = format_named("openvino")


def write_openvino(
    model: Model,
    path: str | Path,
    *,
    metadata: Mapping[str, str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> None:
    """Write `model` with batch norms folded as PATH, which ends in .xml, and the .bin beside it, in float32, whole or
    not at all.

    Inputs and outputs are those of `write_onnx`, for any n. Equal models and metadata make equal files. Raises
    MissingExtraError.
    """
    save_openvino(as_openvino(plain(model, preprocessing), metadata or {}), Path(path))


def as_openvino(given: Plain, metadata: Mapping[str, str]) -> openvino.Model:
    """The same in memory. Operations are called after their layers: "__module.stem.conv.conv/aten::_convolution"."""
    OPENVINO.require_writer()
    import openvino as ov

    with exporting():
        traced = torch.jit.trace(given.module, given.example, check_trace=False)  # type: ignore[no-untyped-call]
        shape = ov.PartialShape([-1, *given.example.shape[1:]])
        converted = ov.convert_model(traced, example_input=given.example, input=[(given.input_name, shape)])
    converted.outputs[0].get_tensor().set_names({LOGITS})
    _forget_counters(converted)
    for key in sorted(metadata):
        converted.set_rt_info(metadata[key], [METADATA, key])
    return converted


def _forget_counters(converted: openvino.Model) -> None:
    """Operations without a layer are called after a counter that runs on from conversion to conversion: count anew."""
    converted.set_friendly_name("convscale")
    for place, operation in enumerate(converted.get_ordered_ops()):
        if re.fullmatch(r"\w+_\d+", operation.get_friendly_name()):
            operation.set_friendly_name(f"{operation.get_type_name()}_{place}")


def save_openvino(converted: openvino.Model, path: Path) -> None:
    """Write both files, each whole or not at all, the weights first."""
    import openvino as ov

    def save(folder: Path) -> None:
        ov.save_model(converted, folder / path.with_suffix(".xml").name, compress_to_fp16=False)

    write_together(path.parent, (path.with_suffix(".bin").name, path.with_suffix(".xml").name), save)
