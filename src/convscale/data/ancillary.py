"""Image files without what does not matter for their pixels: damage there is no reason to refuse an image.

A PNG keeps the chunks that say what its pixels are and how they are turned (PNG specification, 4.7.2), a JPEG the
segments that libjpeg reads and EXIF, a TIFF the tags of its first directory that describe pixels (TIFF 6.0, section 2).
The bytes of the pixels stay as they are, and so does a file whose structure cannot be followed: the decoder says what
is wrong with it.
"""

from __future__ import annotations

import struct
import zlib

from convscale.units import format_number

_PNG = b"\x89PNG\r\n\x1a\n"
_XMP = b"XML:com.adobe.xmp\0"
_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"})  # tRNS changes what is seen
_MAX_XMP = 1 << 20  # bytes; Pillow refuses a longer text

_START_OF_SCAN, _COMMENT = 0xDA, 0xFE
_JPEG_LENGTHS = {0xE0: 14, 0xE1: 6, 0xEE: 12}  # APP0 JFIF, APP1 EXIF and XMP, APP14 Adobe: the fewest bytes of each

_TIFF = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_TAGS = frozenset({
    254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332,
    333, 334, 336, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 50674,
})  # fmt: skip
_TIFF_XMP, _BYTES = 700, (1, 7)  # BYTE and UNDEFINED
_BITS, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT, _SHORT, _FLOAT = 258, 277, 339, 3, 3


def pixels_alone(content: bytes) -> bytes:
    """The file with what its pixels and its orientation need, the same object where that is all of it."""
    if content.startswith(_PNG):
        return _bare_png(content)
    if content.startswith(b"\xff\xd8"):
        return _bare_jpeg(content)
    return _bare_tiff(content, _TIFF[content[:4]]) if content[:4] in _TIFF else content


def _bare_png(content: bytes) -> bytes:
    """Without ancillary chunks, but for whole ones that tell the orientation or the number of frames."""
    kept, start, position = [_PNG], len(_PNG), len(_PNG)
    while position + 12 <= len(content):
        (length,), kind = struct.unpack_from(">I", content, position), content[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(content) or not kind.isalpha():
            break
        if kind not in _CRITICAL and not (kind[0:1].isupper() or _matters(kind, content[position + 4 : end])):
            kept.append(content[start:position])
            start = end
        position = end
        if kind == b"IEND":
            break
    return content if len(kept) == 1 else b"".join((*kept, content[start:]))


def _matters(kind: bytes, chunk: bytes) -> bool:
    """Whether an ancillary chunk, from its type to its checksum, is whole and says how the pixels are shown."""
    data, checksum = chunk[4:-4], int.from_bytes(chunk[-4:], "big")
    if kind == b"acTL":
        wanted = len(data) == 8
    elif kind == b"iTXt":
        wanted = data.startswith(_XMP + b"\0") and len(data) < _MAX_XMP  # not compressed
    else:
        wanted = kind == b"eXIf"
    return wanted and zlib.crc32(chunk[:-4]) == checksum


def _bare_jpeg(content: bytes) -> bytes:
    """Without comments and application segments before its pixels, but for whole JFIF and Adobe ones, which tell its
    colours, and EXIF and XMP."""
    kept, start, position = [content[:2]], 2, 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != _START_OF_SCAN:
        marker, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4], "big")
        if marker == 0xFF or length < 2:  # what fills up, or damage
            break
        end = position + 2 + length
        if (0xE0 <= marker <= 0xEF or marker == _COMMENT) and length - 2 < _JPEG_LENGTHS.get(marker, 1 << 16):
            kept.append(content[start:position])
            start = end
        position = end
    return content if len(kept) == 1 else b"".join((*kept, content[start:]))


def tiff_in_words(content: bytes) -> str:
    """ "a TIFF of 5 channels of 8 bits", or nothing if it is no TIFF."""
    order = _TIFF.get(content[:4])
    found: dict[int, int] = {}
    for entry in [] if order is None else _directory(content, order)[1]:
        tag, kind, count = struct.unpack_from(f"{order}HHI", entry)
        if tag in (_BITS, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT) and kind == _SHORT:
            at = struct.unpack_from(f"{order}I", entry, 8)[0]
            where = entry[8:10] if count <= 2 else content[at : at + 2]  # the first one, of the first channel
            found[tag] = struct.unpack(f"{order}H", where)[0] if len(where) == 2 else 0
    if _BITS not in found:
        return ""
    channels = found.get(_SAMPLES_PER_PIXEL, 1)
    floats = " (floating point)" if found.get(_SAMPLE_FORMAT) == _FLOAT else ""
    return f"a TIFF of {format_number(channels, 'channel')} of {found[_BITS]} bits{floats}"


def _directory(content: bytes, order: str) -> tuple[int, list[bytes], int]:
    """Where the first directory begins, its whole entries of 12 bytes, and how many there should be."""
    (start,) = struct.unpack_from(f"{order}I", content.ljust(8, b"\0"), 4)
    if not 8 <= start <= len(content) - 2:
        return 0, [], 0
    (count,) = struct.unpack_from(f"{order}H", content, start)
    entries = [content[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
    return start, [entry for entry in entries if len(entry) == 12], count


def _bare_tiff(content: bytes, order: str) -> bytes:
    """With only the tags of the first directory that matter; no byte behind or before it moves."""
    start, entries, count = _directory(content, order)
    kept = [entry for entry in entries if _describes_pixels(entry, order)]
    if len(kept) == count:
        return content
    end = start + 2 + 12 * count
    table = struct.pack(f"{order}H", len(kept)) + b"".join(kept) + content[end : end + 4].ljust(4, b"\0")
    return content[:start] + table + content[start + len(table) :]


def _describes_pixels(entry: bytes, order: str) -> bool:
    tag, kind = struct.unpack_from(f"{order}HH", entry)
    return tag in _TIFF_TAGS or (tag == _TIFF_XMP and kind in _BYTES)
