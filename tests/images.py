"""Hostile image files, made by hand."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

import convscale as cs


def bomb(side: int) -> bytes:
    """A PNG of a few kB that unpacks to side x side pixels, all black."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + (side + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def digit_photos(folder: Path, count: int) -> Path:
    """Digits of three classes as PNG files in `folder`, `count` of each."""
    digits = cs.open_dataset("digits").train
    for label in range(3):
        (folder / str(label)).mkdir(parents=True)
        for index in np.flatnonzero(digits.labels == label)[:count]:
            digits.image(int(index)).resize((20, 18)).save(folder / str(label) / f"{index}.png")
    return folder
