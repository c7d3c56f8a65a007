"""A model in the formats of other runtimes: the same function, the same bytes whoever asks for them."""

from convscale.deploy.conversion.onnx_files import as_onnx, write_onnx
from convscale.deploy.conversion.openvino_files import as_openvino, write_openvino

__all__ = ["as_onnx", "as_openvino", "write_onnx", "write_openvino"]
