"""Exported files as engines, without PyTorch: FILE.onnx in ONNX Runtime, FILE.xml with its FILE.bin in OpenVINO."""

from __future__ import annotations

import mmap
from pathlib import Path

from convscale.deploy.engines.failures import cannot_run
from convscale.deploy.engines.kinds import engine_kind, require_dtype_here, require_threads
from convscale.deploy.engines.protocol import Dtype
from convscale.deploy.engines.runtime_engines import RuntimeEngine, open_onnx, open_xml
from convscale.errors import ConfigError, RunError

FILE_ENGINES = {".onnx": "onnxruntime", ".xml": "openvino"}
_QUANTISED = {".onnx": b"DequantizeLinear", ".xml": b'type="FakeQuantize"'}  # operations that only int8 networks have


def has_engine(path: str | Path) -> bool:
    """Whether a file is, by its name, one that an engine runs."""
    return Path(path).suffix in FILE_ENGINES


def open_file(path: str | Path, *, threads: int = 1, dtype: Dtype | None = None) -> RuntimeEngine:
    """The network of an exported file in the engine of its format, in the numbers of the file, or in bfloat16 where
    it is float32 and the engine is OpenVINO's.

    Raises RunError for a file that is missing, damaged or of another format, MissingExtraError where the engine is not
    installed, ConfigError for threads or numbers that cannot be had.
    """
    path = Path(path)
    if path.suffix not in FILE_ENGINES:
        raise RunError(f"{path}: not an exported file that runs here", hint="FILE.onnx, or FILE.xml beside FILE.bin")
    kind = engine_kind(FILE_ENGINES[path.suffix])
    require_threads(threads)
    for part in (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,):
        if not part.is_file():
            raise RunError(f"{part}: no such file", hint="convscale export makes it")
    own: Dtype = "int8" if _contains(path, _QUANTISED[path.suffix]) else "float32"
    if dtype not in (None, own) and (own, dtype, kind.name) != ("float32", "bfloat16", "openvino"):
        raise ConfigError(f"{path}: it computes in {own}, not in {dtype}", hint="export it again, or leave dtype out")
    require_dtype_here(dtype or own)
    try:
        opened = open_xml if path.suffix == ".xml" else open_onnx
        return opened(path, threads, dtype or own)
    except Exception as error:  # runtimes raise their own kinds
        raise cannot_run(kind.name, str(path), error) from error


def _contains(path: Path, word: bytes) -> bool:
    if not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(word) >= 0
