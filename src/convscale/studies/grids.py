"""A study without trainings: published accuracies over width and resolution, and what a law fitted to them says."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from convscale.catalog import network
from convscale.costs import cost
from convscale.errors import RunError
from convscale.figures import draw_grids
from convscale.files import write_text
from convscale.library import Library
from convscale.records import (
    GridCurve,
    GridGain,
    GridLaw,
    GridNetwork,
    GridPoint,
    GridResult,
    GridSpec,
    read_record,
    write_record,
)
from convscale.records.grids import Dimension
from convscale.report.grids import report
from convscale.scaling import Scaling, scale
from convscale.statistics import student_t
from convscale.units import format_count

FULL = 224  # pixels: the resolution of what is scaled in width alone
STEPS = 300  # widths tried for the best mix
PUBLISHED = resources.files("convscale.studies") / "published"
GRIDS = Library("study", GridSpec, PUBLISHED)

Array = NDArray[np.float64]
Place = tuple[float, float]  # x and z of GridLaw


def run_grids(name: str = "grids", folder: str | Path | None = None) -> GridResult:
    """Fit the laws of a study of published trainings, and compare networks of the same cost; trains nothing and needs
    no data. Into `folder`, if given, it writes results.json, report.md and pictures/grids.png (SVG and PDF beside it).

    Raises UnknownNameError for another name, and RunError where the folder holds something else.
    """
    result = analysed(GRIDS.read(name))
    if folder is not None:
        _write(result, Path(folder))
    return result


def analysed(spec: GridSpec) -> GridResult:
    """The laws of a study's families, and what they say of networks of the same cost."""
    points = read_points(spec)
    families = [_Family(one, points) for one in dict.fromkeys(point.network for point in points)]
    return GridResult(
        spec=spec,
        points=points,
        laws=tuple(family.law() for family in families),
        gains=tuple(
            family.gain(macs, against)
            for family in families
            for macs in spec.costs
            for against in get_args(Dimension)
        ),
        curves=tuple(curve for family in families for curve in family.curves()),
    )  # fmt: skip


def _write(result: GridResult, folder: Path) -> None:
    if any((folder / name).exists() for name in ("settings.json", "results.json")) and not _is_own(folder, result):
        raise RunError(f"{folder} holds something else", hint="name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.md", "\n".join(report(result)) + "\n")
    draw_grids(result, folder / "pictures" / "grids.png")
    write_record(folder / "results.json", result)  # last: a folder that has it is finished


def _is_own(folder: Path, result: GridResult) -> bool:
    """Whether the folder holds a study of this kind and name."""
    if (folder / "settings.json").exists():
        return False
    found = read_record(folder / "results.json")
    return isinstance(found, GridResult) and found.spec.name == result.spec.name


def read_points(spec: GridSpec) -> tuple[GridPoint, ...]:
    """The published trainings of a study, their costs counted by the layers of the catalog's networks."""
    rows = csv.DictReader((PUBLISHED / spec.table).read_text(encoding="utf-8").splitlines())
    return tuple(
        GridPoint(
            network=row["network"],
            width=float(row["width"]),
            resolution=int(row["resolution"]),
            macs=_macs(row["network"], float(row["width"]), int(row["resolution"])),
            published_macs=int(row["macs_millions"]) * 10**6,
            top1=round(float(row["top1"]) / 100, 6),
        )
        for row in rows
    )


def _macs(name: str, width: float, resolution: int) -> int:
    return cost(scale(network(name), Scaling(width=width)).at_resolution(resolution)).macs


class _Family:
    """The trainings of one network: its law, and its costs, interpolated between those of the published widths and
    resolutions in logarithms."""

    def __init__(self, name: str, points: Sequence[GridPoint]) -> None:
        own = [point for point in points if point.network == name]
        self.name = name
        self.widths = sorted({point.width for point in own})
        full = _macs(name, 1.0, FULL)
        self.xs = [math.log(_macs(name, width, FULL) / full) / 2 for width in self.widths]
        self.x = np.interp([point.width for point in own], self.widths, self.xs)
        self.z = np.log([point.resolution / FULL for point in own])
        self.log_error = np.log([1 - point.top1 for point in own])
        self.design = np.stack([_terms((x, z)) for x, z in zip(self.x, self.z, strict=True)])
        self.coefficients = np.linalg.lstsq(self.design, self.log_error, rcond=None)[0]
        self.residuals = self.log_error - self.design @ self.coefficients
        self.degrees = len(own) - self.design.shape[1]
        self.variance = float(self.residuals @ self.residuals) / self.degrees
        self.covariance = self.variance * np.linalg.inv(self.design.T @ self.design)
        self.sides = sorted({point.resolution for point in own})
        self.log_sides = [math.log(side / FULL) for side in self.sides]
        self.log_costs = np.log([[_macs(name, width, side) for side in self.sides] for width in self.widths])
        self._log_costs_at: dict[float, list[float]] = {}  # by width, over the resolutions

    def law(self) -> GridLaw:
        leverage = np.diag(self.design @ np.linalg.inv(self.design.T @ self.design) @ self.design.T)
        predicted = self.log_error - self.residuals / (1 - leverage)
        return GridLaw(
            network=self.name,
            points=len(self.x),
            coefficients=tuple(self.coefficients.tolist()),
            residual=math.sqrt(self.variance),
            leave_one_out=float(np.abs(np.exp(predicted) - np.exp(self.log_error)).mean()),
        )

    def error(self, place: Place) -> float:
        return math.exp(float(_terms(place) @ self.coefficients))

    def log_cost(self, place: Place) -> float:
        by_width = [np.interp(place[1], self.log_sides, row) for row in self.log_costs]
        return float(np.interp(place[0], self.xs, by_width))

    def pure(self, macs: float, dimension: Dimension) -> Place | None:
        """The network of this cost that is scaled in one dimension alone, None outside the grid."""
        if dimension == "resolution":
            return self.at_width(macs, 0.0)
        log_costs = [self.log_cost((x, 0.0)) for x in self.xs]
        x = _inverse(math.log(macs), log_costs, self.xs)
        return None if x is None or x > 0 else (x, 0.0)

    def at_width(self, macs: float, x: float) -> Place | None:
        """The network of this cost and width, None outside the grid."""
        if x not in self._log_costs_at:
            self._log_costs_at[x] = [self.log_cost((x, z)) for z in self.log_sides]
        z = _inverse(math.log(macs), self._log_costs_at[x], self.log_sides)
        return None if z is None else (x, z)

    def best(self, macs: float) -> Place | None:
        """The mix with the least error by the law."""
        places = [self.at_width(macs, float(x)) for x in np.linspace(self.xs[0], 0, STEPS)]
        return min((place for place in places if place is not None), key=self.error, default=None)

    def even(self, macs: float) -> Place | None:
        """The mix that takes half of the saving from each dimension."""
        full = math.exp(self.log_cost((0.0, 0.0)))
        half = self.pure(math.sqrt(macs * full), "width") if macs <= full else None
        return None if half is None else self.at_width(macs, half[0])

    def gain(self, macs: float, against: Dimension) -> GridGain:
        pure, mixed, even = self.pure(macs, against), self.best(macs), self.even(macs)
        gain, interval = self._difference(mixed, pure)
        even_gain, even_interval = self._difference(even, pure)
        end = f"a width below {self.widths[0]:g}" if against == "width" else f"fewer than {self.sides[0]} px"
        return GridGain(
            network=self.name, macs=macs, against=against, pure=self._network(pure), mixed=self._network(mixed),
            gain=gain, interval95=interval, even_gain=even_gain, even_interval95=even_interval,
            reason="" if pure else f"{against} alone would need {end} for {format_count(macs)} MACs: not in the grid",
        )  # fmt: skip

    def _network(self, place: Place | None) -> GridNetwork | None:
        if place is None:
            return None
        x, z = place
        width = math.exp(float(np.interp(x, self.xs, np.log(self.widths))))
        return GridNetwork(width=width, resolution=FULL * math.exp(z), top1=1 - self.error(place))

    def _difference(self, better: Place | None, other: Place | None) -> tuple[float | None, tuple[float, float] | None]:
        """How much less error the law gives the first, with its 95 % interval by the delta method."""
        if better is None or other is None:
            return None, None
        gain = self.error(other) - self.error(better)
        slope = self.error(other) * _terms(other) - self.error(better) * _terms(better)
        half = student_t(self.degrees) * math.sqrt(float(slope @ self.covariance @ slope))
        return gain, (gain - half, gain + half)

    def curves(self) -> list[GridCurve]:
        """Each published resolution over its widths, and the best mixes over the costs of the grid."""
        found = []
        for side in self.sides:
            z = math.log(side / FULL)
            own = [x for x, other in zip(self.x, self.z, strict=True) if math.isclose(other, z, abs_tol=1e-9)]
            line = [(float(x), z) for x in np.linspace(min(own), max(own), 60)]
            found.append(self._curve(side, line))
        least, most = self.log_cost((self.xs[0], self.log_sides[0])), self.log_cost((0.0, 0.0))
        costs = np.exp(np.linspace(least, most - 1e-9, 60))
        return [*found, self._curve(None, [place for macs in costs if (place := self.best(float(macs))) is not None])]

    def _curve(self, side: int | None, line: Sequence[Place]) -> GridCurve:
        points = tuple((math.exp(self.log_cost(place)), 1 - self.error(place)) for place in line)
        return GridCurve(network=self.name, resolution=side, points=points)


def _inverse(value: float, rising: Sequence[float], places: Sequence[float]) -> float | None:
    """The place where a rising line has this value, None beyond its ends."""
    return float(np.interp(value, rising, places)) if rising[0] <= value <= rising[-1] else None


def _terms(place: Place) -> Array:
    """(6,): what the coefficients of a law are of."""
    x, z = place
    return np.array([1.0, x, z, x * x, x * z, z * z])
