"""Files of PyTorch's own exporters: torch.export's programs, ExecuTorch, LiteRT and Core ML, each in one call."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from convscale.deploy.conversion.plain import LOGITS, Plain, exported_program, exporting
from convscale.exported import format_named
from convscale.exported.torch_program import METADATA


def save_program(given: Plain, path: Path, metadata: Mapping[str, str]) -> None:
    """A program of torch.export, FILE.pt2."""
    program = exported_program(given, format_named("torch").max_batch)
    archive = io.BytesIO()  # whose name is not in the file
    with exporting():
        torch.export.save(program, archive, extra_files={METADATA: json.dumps(dict(metadata), ensure_ascii=False)})
    path.write_bytes(archive.getvalue())


def save_executorch(given: Plain, path: Path, metadata: Mapping[str, str]) -> None:
    """ExecuTorch's file, FILE.pte, for XNNPACK. It keeps no metadata."""
    with exporting():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        program = exported_program(given, format_named("executorch").max_batch)
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    path.write_bytes(lowered.buffer)


def save_litert(given: Plain, path: Path, metadata: Mapping[str, str]) -> None:
    """LiteRT's file, FILE.tflite, for one image at a time. It keeps no metadata."""
    with exporting():
        import litert_torch

        litert_torch.convert(given.module, (given.example[:1],)).export(str(path))


def save_coreml(given: Plain, path: Path, metadata: Mapping[str, str]) -> None:
    """Core ML's folder, NAME.mlpackage, in float16, as Apple's neural engine computes. It has no bytes: pixels are
    floats from 0 to 255."""
    given = given._replace(example=given.example.float())
    with exporting():
        import coremltools

        program = exported_program(given, format_named("coreml").max_batch).run_decompositions({})
        converted = coremltools.convert(program, outputs=[coremltools.TensorType(name=LOGITS)])
        converted.user_defined_metadata.update(metadata)
        converted.save(str(path))
