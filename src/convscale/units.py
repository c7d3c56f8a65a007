"""Quantities as people write them: '1.5G' multiply-adds, '64MB', '15ms'. Counts are decimal (1G is 1e9),
bytes take decimal (MB) and binary (MiB) suffixes, durations are seconds."""

from __future__ import annotations

import math
import re
from typing import SupportsFloat

from convscale.errors import UnitError

COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
BYTES = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for suffix, base in (("", 1000), ("b", 1000), ("ib", 1024))
    for power, prefix in enumerate("kmgt", start=1)
}
SECONDS = {"": 1.0, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}

_QUANTITY = re.compile(r"\s*([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_count(value: str | float, name: str = "count") -> float:
    """'600M' -> 6e8. Raises UnitError for anything but a positive, finite quantity."""
    return _parse(value, COUNTS, name, "a count such as 600M, 1.5G or 250k")


def parse_bytes(value: str | float, name: str = "size") -> float:
    """'64MB' -> 6.4e7, '64MiB' -> 67108864. Raises UnitError."""
    return _parse(value, BYTES, name, "a size such as 64MB, 512KiB or 1.5GB")


def parse_seconds(value: str | float, name: str = "duration") -> float:
    """'15ms' -> 0.015. Raises UnitError."""
    return _parse(value, SECONDS, name, "a duration such as 15ms, 2s or 1.5h")


def _parse(value: str | float, units: dict[str, int] | dict[str, float], name: str, want: str) -> float:
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        scale = units.get(match[2].lower()) if match else None
        if match is None or scale is None:
            raise UnitError(f"{name}: {value!r} is not a quantity", hint=f"write {want}")
        number = float(match[1]) * scale
    elif isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise UnitError(f"{name}: {value!r} is not a quantity", hint=f"write {want}")
    else:
        number = float(value) if abs(float(str(value))) < math.inf else math.inf
    if not math.isfinite(number) or number <= 0:
        raise UnitError(f"{name}: {value!r} is not a positive, finite quantity", hint=f"write {want}")
    return number


def format_count(value: float) -> str:
    """5288548 -> '5.29M'."""
    return _format(value, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")))


def format_bytes(value: float) -> str:
    """21154192 -> '21.2MB'."""
    text = _format(value, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")))
    return text if text.endswith("B") else text + "B"


def format_seconds(value: float) -> str:
    """0.0152 -> '15.2ms', 75 -> '1m15s', 4000 -> '1h06m'."""
    if value < 1:
        return f"{value * 1e3:.3g}ms"
    if value < 60:
        return f"{value:.1f}s"
    minutes, seconds = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}m{seconds:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def _format(value: float, scales: tuple[tuple[float, str], ...]) -> str:
    for scale, suffix in scales:
        if abs(value) >= scale * 0.9995:
            shown = value / scale
            return (f"{shown:.3g}" if shown < 999.5 else f"{shown:.0f}") + suffix
    return f"{value:.6g}"


def printable(text: str) -> str:
    """`text` in one line, control characters (of a file's name, say) made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
