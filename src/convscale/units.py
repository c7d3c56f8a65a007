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

_CLOCK = re.compile(r"\s*(?:([0-9]{1,15})h)?\s*([0-9]{1,9})m\s*(?:([0-9]{1,9})s)?\s*", re.IGNORECASE)
_QUANTITY = re.compile(r"\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_count(value: str | float, name: str = "count") -> float:
    """'600M' -> 6e8. Raises UnitError for anything but a positive, finite quantity."""
    return _parse(value, COUNTS, name, "a count such as 600M, 1.5G or 250k")


def parse_bytes(value: str | float, name: str = "size") -> float:
    """'64MB' -> 6.4e7, '64MiB' -> 67108864. Raises UnitError."""
    return _parse(value, BYTES, name, "a size such as 64MB, 512KiB or 1.5GB")


def parse_seconds(value: str | float, name: str = "duration") -> float:
    """'15ms' -> 0.015, '1h06m' -> 3960. Raises UnitError."""
    clock = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    if clock and (clock[1] or clock[3]):  # 5m alone could be anything
        value = float(3600 * int(clock[1] or 0) + 60 * int(clock[2]) + int(clock[3] or 0))
    return _parse(value, SECONDS, name, "a duration such as 15ms, 2s or 1.5h")


def _parse(value: str | float, units: dict[str, int] | dict[str, float], name: str, want: str) -> float:
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        scale = units.get(match[2].lower()) if match else None
        if match is None or scale is None:
            raise UnitError(f"{name}: {shown(value)} is not a quantity", hint=f"write {want}")
        number = float(match[1]) * scale
    elif isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise UnitError(f"{name}: {shown(value)} is not a quantity", hint=f"write {want}")
    else:
        number = _as_float(value)
    if not math.isfinite(number) or number <= 0:
        raise UnitError(f"{name}: {shown(value)} is not a positive, finite quantity", hint=f"write {want}")
    return number


def _as_float(value: SupportsFloat) -> float:
    """The number, infinite where it is too large for one, NaN where it is none, as a whole array is."""
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):
        return math.nan


def format_count(value: float) -> str:
    """5288548 -> '5.29M'."""
    return _format(value, ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")))


def format_bytes(value: float) -> str:
    """21154192 -> '21.2MB'."""
    text = _format(value, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")))
    return text if text.endswith("B") else text + "B"


def format_seconds(value: float) -> str:
    """0.0152 -> '15.2ms', 75 -> '1m15s', 4000 -> '1h06m'."""
    if value < 0.9995:
        return f"{value * 1e3:.3g}ms"
    if value < 59.95:
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


def shown(value: object) -> str:
    """A value in a message, cut where it is long."""
    try:
        return f"{value!r:.80}"
    except ValueError:  # a whole number of thousands of digits
        return f"{type(value).__name__} too long to show"


def format_number(count: int, noun: str) -> str:
    """`1 epoch`, `1,200 epochs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def printable(text: str) -> str:
    """`text` in one line, control characters (of a file's name, say) made visible."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
