"""A budget: limits on any of the cost keys, and on latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from convscale.costs import COST_KEYS, Cost
from convscale.errors import BudgetError
from convscale.files import read_json, read_toml
from convscale.schema import from_table
from convscale.units import (
    format_bytes,
    format_count,
    format_seconds,
    parse_bytes,
    parse_count,
    parse_seconds,
)

LATENCY = "latency_seconds"
COUNT_KEYS = ("params", "macs", "activations")

# The share of a binding limit that a plan must use to count as spent: widths move in steps of 8 channels, so
# weights are the coarser currency.
SPENT = dict.fromkeys(COST_KEYS, 0.99) | {
    "params": 0.97,
    "file_bytes": 0.97,
    "training_memory_bytes_fixed": 0.97,
    LATENCY: 0.97,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits that a network must keep, each under the name of its cost key; None is no limit.

    Values are numbers or strings with a unit: counts "600M", bytes "64MB" or "64MiB", durations "15ms". They are kept
    as numbers. Raises UnitError for what does not parse, NaN, zero and negatives, and BudgetError for no limit at all.
    """

    macs: float | str | None = None
    """Multiply-adds per image."""
    params: float | str | None = None
    """Parameters."""
    activations: float | str | None = None
    """Outputs of all convolutions per image."""
    file_bytes: float | str | None = None
    """Size of the weights file."""
    inference_memory_bytes: float | str | None = None
    """Memory at batch 1: fp32 weights and the peak of live tensors."""
    training_memory_bytes_fixed: float | str | None = None
    """Training memory that does not depend on the batch."""
    training_memory_bytes_per_image: float | str | None = None
    """Training memory per image of a batch."""
    latency_seconds: float | str | None = None
    """Latency of one image, where it can be predicted."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, _parser(field.name)(value, field.name))
        if not self.limits():
            raise BudgetError("a budget needs at least one limit", hint="for example macs 600M or params 5M")

    def limits(self) -> dict[str, float]:
        """The limits that are set, in base units (counts, bytes, seconds)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: float(value) for name, value in values.items() if value is not None}


def read_budget(path: Path) -> Budget:
    """The budget in a JSON or TOML file, one limit per key, as `to_table` writes it. Raises ConfigError, UnitError and
    BudgetError."""
    return from_table(Budget, read_json(path) if path.suffix == ".json" else read_toml(path), str(path))


def _parser(key: str) -> Callable[[float | str, str], float]:
    if key == LATENCY:
        return parse_seconds
    return parse_count if key in COUNT_KEYS else parse_bytes


def format_limit(key: str, value: float) -> str:
    """A cost as people read it: counts with k, M, G; bytes; durations."""
    if key == LATENCY:
        return format_seconds(value)
    return format_count(value) if key in COUNT_KEYS else format_bytes(value)


def costs_of(cost: Cost, latency_seconds: float | None) -> dict[str, float]:
    """Every cost key's figure, and the latency where one is predicted."""
    values: dict[str, float] = {key: getattr(cost, key) for key in COST_KEYS}
    return values if latency_seconds is None else values | {LATENCY: latency_seconds}


def binding_limits(used: dict[str, float]) -> tuple[str, ...]:
    """The limits that these shares spend, or the fullest where none is spent; none where nothing is limited."""
    spent = tuple(key for key in used if used[key] >= SPENT[key])
    return spent or tuple(sorted(used, key=lambda key: used[key])[-1:])
