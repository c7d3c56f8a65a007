"""Ways to turn a network into int8, those of NNCF for OpenVINO and those of ONNX Runtime, the usual one first."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from convscale.deploy.conversion.onnx_files import as_onnx, save_onnx
from convscale.deploy.conversion.openvino_files import as_openvino, save_openvino
from convscale.deploy.conversion.plain import Plain, exporting
from convscale.errors import ConfigError, MissingExtraError
from convscale.exported.signal_stack import signal_stack_kept

Batches = Sequence[NDArray[Any]]  # each of one image, as the file takes it
Quantise = Callable[[Any, Batches, Collection[str]], Any]  # network, calibration, layers that stay -> network


@dataclass(frozen=True, slots=True)
class Quantiser:
    """How a format is quantised. Networks are in memory, as their package has them."""

    convert: Callable[[Plain, dict[str, str]], Any]
    """The network in float32, with metadata."""
    save: Callable[[Any, Path], None]
    algorithms: dict[str, Quantise]


def quantiser(to: str) -> Quantiser:
    """That of a format. Raises ConfigError for one that has none, MissingExtraError."""
    if to not in QUANTISERS:
        raise ConfigError(f"{to} files are not quantised here", hint=f"--to {' or '.join(QUANTISERS)}")
    if to == "openvino":
        try:
            import nncf  # noqa: F401
        except ImportError:
            raise MissingExtraError("nncf", "quantise", "int8 for OpenVINO") from None
    else:
        try:
            import onnxruntime.quantization  # noqa: F401
        except ImportError:
            raise MissingExtraError("onnxruntime", "onnx", "int8 for ONNX") from None
    return QUANTISERS[to]


def names_of(nodes: Sequence[str], layers: Collection[str]) -> list[str]:
    """The nodes of a converted network that belong to layers: "__module.stem.conv.conv/..." to "stem.conv.conv"."""
    found = [re.compile(rf"(?:^|\.){re.escape(layer)}/") for layer in layers]
    return [node for node in nodes if any(one.search(node) for one in found)]


def _nncf(**options: Any) -> Quantise:
    def quantise(network: Any, batches: Batches, kept: Collection[str]) -> Any:
        with exporting():
            import nncf

            if options.get("preset") == "mixed":
                options["preset"] = nncf.QuantizationPreset.MIXED
            nodes = [one.get_friendly_name() for one in network.get_ordered_ops()
                     if one.get_type_name() in ("Convolution", "GroupConvolution", "MatMul")]  # fmt: skip
            names = names_of(nodes, kept)
            ignored = nncf.IgnoredScope(names=names) if names else None
            with quiet_nncf(), signal_stack_kept():
                return nncf.quantize(
                    network.clone(), nncf.Dataset(list(batches)), subset_size=len(batches), ignored_scope=ignored,
                    **options,
                )  # fmt: skip

    return quantise


def quiet_nncf() -> Any:
    """Its progress bars do not appear."""
    import contextlib
    import io

    return contextlib.redirect_stdout(io.StringIO())


def _onnxruntime(method: str, **extra: Any) -> Quantise:
    def quantise(network: Any, batches: Batches, kept: Collection[str]) -> Any:
        with exporting(), tempfile.TemporaryDirectory() as folder:
            import onnx
            from onnxruntime import quantization

            class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
                def __init__(self) -> None:
                    self.left = iter(batches)

                def get_next(self) -> dict[str, Any] | None:
                    given = next(self.left, None)
                    return None if given is None else {network.graph.input[0].name: given}

            before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
            before.write_bytes(network.SerializeToString(deterministic=True))
            quantization.quantize_static(
                before, after, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True,
                activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=names_of([node.name for node in network.graph.node], kept),
                calibrate_method=quantization.CalibrationMethod[method], extra_options=extra,
            )  # fmt: skip
            return onnx.load(after)

    return quantise


QUANTISERS = {
    "openvino": Quantiser(
        as_openvino,
        save_openvino,
        {
            "performance preset": _nncf(),
            "mixed preset": _nncf(preset="mixed"),
            "full bias correction": _nncf(fast_bias_correction=False),
        },
    ),
    "onnx": Quantiser(
        as_onnx,
        save_onnx,
        {
            "per channel": _onnxruntime("MinMax"),
            "per channel, moving averages": _onnxruntime("MinMax", CalibMovingAverage=True),
            "per channel, percentiles": _onnxruntime("Percentile"),
        },
    ),
}
