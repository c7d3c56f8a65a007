"""What published trainings over width and resolution say about mixing the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.flattening import AsDict
from convscale.schema import check
from convscale.units import format_count

Dimension = Literal["width", "resolution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSpec:
    """A study of published trainings, which trains nothing. Raises ConfigError without costs, all above 0."""

    name: str
    """Its name in reports."""
    question: str
    """What it asks, in a sentence."""
    table: str
    """The file of published figures beside it."""
    source: str
    """Where they were published."""
    costs: tuple[float, ...]
    """MACs at which networks are compared."""

    def __post_init__(self) -> None:
        check(self)
        if not self.costs or not all(cost > 0 for cost in self.costs):
            raise ConfigError(f"study {self.name!r}: costs {list(self.costs)}", hint="MACs above 0, at least one")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPoint:
    """A published training. macs: by the network's own layers; published_macs: as printed, rounded to millions."""

    network: str
    width: float
    resolution: int
    macs: int
    published_macs: int
    top1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridLaw:
    """log(1 - top1) of a family as a quadratic in x and z = log(resolution / 224).

    x is log(width) as its cost counts it, half of the logarithm of the MACs at 224 px beside those of width 1: channels
    are rounded, and some layers keep theirs, so that a width of 0.75 of MobileNetV2 costs what 0.83 should.
    coefficients: of 1, x, z, x^2, xz, z^2. residual: the residual standard deviation of log(1 - top1).
    leave_one_out: the mean absolute error of the top-1 of each training, a fraction, predicted from all others.
    """

    network: str
    points: int
    coefficients: tuple[float, ...]
    residual: float
    leave_one_out: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridNetwork:
    """A network of a family, by its width and resolution (pixels, not whole ones), and its top-1 by the law."""

    width: float
    resolution: float
    top1: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GridGain:
    """How far the mixed network is ahead of a pure one of the same cost, in top-1, a fraction, by the law.

    against: the dimension that the pure network is scaled in; the other is that of width 1 at 224 px. mixed: the best
    mix by the law. even: gain and interval of the network that takes half of the saving, in logarithms, from each
    dimension, which no accuracy chose. Both None outside the grid, gain also where the pure network is, and `reason`
    then says why. interval95: by the delta method and Student's t.
    """

    JSON: ClassVar = (
        "network", "macs", "against", "pure", "mixed", "gain", "interval95", "even_gain", "even_interval95", "reason",
    )  # fmt: skip

    network: str
    macs: float
    against: Dimension
    pure: GridNetwork | None
    mixed: GridNetwork | None
    gain: float | None
    interval95: tuple[float, float] | None
    even_gain: float | None
    even_interval95: tuple[float, float] | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCurve:
    """The law over the costs (MACs, top-1) of networks of one resolution, or of the best mixes where it is None."""

    network: str
    resolution: int | None
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GridResult(AsDict, Displayed):
    """What a study of published trainings found."""

    JSON: ClassVar = ("study=spec.name", "question=spec.question", "source=spec.source", "points", "laws", "gains")

    spec: GridSpec
    points: tuple[GridPoint, ...]
    laws: tuple[GridLaw, ...]
    gains: tuple[GridGain, ...]
    curves: tuple[GridCurve, ...]

    def _display(self) -> Display:
        """Each gain with its interval."""
        rows = []
        for one in self.gains:
            interval, gain = one.reason, ""
            if one.gain is not None and one.interval95 is not None:
                low, high = one.interval95
                interval, gain = f"{100 * low:+.2f} to {100 * high:+.2f}", f"{100 * one.gain:+.2f}"
            rows.append((one.network, format_count(one.macs), one.against, gain, interval))
        columns = ("network", "MACs", "mixed minus", "points", "95 %")
        title = f"Study {self.spec.name}: {len(self.points)} published trainings"
        return Display(title, columns, tuple(rows), notes=(self.spec.question,), left=3)
