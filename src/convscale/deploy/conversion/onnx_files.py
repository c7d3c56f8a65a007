"""ONNX: one file, which ONNX Runtime and many others run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from convscale.deploy.conversion.plain import LOGITS, Plain, exporting, plain
from convscale.exported import format_named
from convscale.files import write_atomic
from convscale.nn import Model
from convscale.preprocessing import Preprocessing

if TYPE_CHECKING:
    from onnx import ModelProto

ONNX = format_named("onnx")
OPSET = 20  # of 2023: every runtime of today has it


def write_onnx(
    model: Model,
    path: str | Path,
    *,
    metadata: Mapping[str, str] | None = None,
    preprocessing: Preprocessing | None = None,
) -> None:
    """Write `model` with batch norms folded as an ONNX file, whole or not at all.

    Inputs are `images` (n, c, h, w) float32, normalised, for any n from 1 to 1024, at the network's resolution; with
    `preprocessing` they are `pixels` (n, c, h, w) uint8, resized and cropped. Outputs are `logits` (n, classes). Equal
    models and metadata make equal files. Raises MissingExtraError.
    """
    save_onnx(as_onnx(plain(model, preprocessing), metadata or {}), Path(path))


def as_onnx(given: Plain, metadata: Mapping[str, str]) -> ModelProto:
    """The same in memory. Nodes are called after the layer that they come from: "stem.conv.conv/node_Conv_44"."""
    ONNX.require_writer()
    batch = torch.export.Dim("batch", min=1, max=ONNX.max_batch)
    with exporting():
        program: Any = torch.onnx.export(
            given.module, (given.example,), dynamo=True, input_names=[given.input_name], output_names=[LOGITS],
            dynamic_shapes=({0: batch},), opset_version=OPSET, verbose=False,
        )  # fmt: skip
        proto: ModelProto = program.model_proto
    _forget_origin(proto)
    for key in sorted(metadata):
        proto.metadata_props.add(key=key, value=metadata[key])
    return proto


def save_onnx(proto: ModelProto, path: Path) -> None:
    """Write it, whole or not at all."""
    data = proto.SerializeToString(deterministic=True)
    write_atomic(path, lambda file: file.write(data))


def _forget_origin(proto: ModelProto) -> None:
    """Leave out what the exporter notes on every node: lines of code, with paths of this machine. Layers stay named."""
    graph = proto.graph
    for node in graph.node:
        scopes = [entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
        if scopes and (layers := [name for name in scopes[0].strip("[]'").split("', '")[:-1] if name]):
            node.name = f"{layers[-1]}/{node.name}"
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del graph.metadata_props[:]
    del proto.metadata_props[:]
