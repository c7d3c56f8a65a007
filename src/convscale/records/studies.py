"""Studies: what is asked, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Literal

from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.flattening import AsDict
from convscale.networks import ConvNet
from convscale.preprocessing import require_range
from convscale.records.rates import RateChoice
from convscale.scaling import Scaling, ScalingLaw, law, read_coefficients, shares_law
from convscale.schema import check
from convscale.statistics import OrderChange
from convscale.units import format_count

Currency = Literal["macs", "seconds", "activations"]

CURRENCIES: dict[Currency, str] = {
    "macs": "MACs",
    "seconds": "seconds per training image",
    "activations": "activations",
}

BASELINE = "baseline"  # the method of an unscaled baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class DataChoice:
    """Images, and how many of them. Raises ConfigError for counts below 2."""

    source: str
    """Whatever `open_dataset` opens."""
    label_column: str = "label"
    """The label column of a CSV or parquet file."""
    seed: int = 0
    """The seed for drawing both counts, and a split."""
    train_images: int | None = None
    """Training images to draw; None for all."""
    test_images: int | None = None
    """Held-out images to draw; None for all."""
    layout: Literal["classes", "splits"] | None = None
    """What the subfolders of a folder are; None where their names and contents show it."""
    stored_range: tuple[float, float] | None = None
    """The values in image files that become 0 and 255; None for all that a file can hold."""
    tuning: bool = False
    """Judge by a tenth of the training images in place of the held-out ones, for what these must not decide."""

    def __post_init__(self) -> None:
        check(self)
        if self.stored_range is not None:
            require_range(self.stored_range)
        for name in ("train_images", "test_images"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ConfigError(f"{name} {value} is not allowed", hint="2 or more, or omit it for all images")


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to spend a cost. Raises ConfigError unless exactly one of law, coefficients and shares is given."""

    law: str = ""
    """A scaling law by name."""
    coefficients: str = ""
    """Text as 1.2,1.1,1.15, a file, or a search's folder."""
    shares: tuple[float, ...] = ()
    """Shares of the extra cost for depth, width and resolution."""
    name: str = ""
    """Its name in rows, where not one of these."""

    def __post_init__(self) -> None:
        check(self)
        if sum(map(bool, (self.law, self.coefficients, self.shares))) != 1 or len(self.shares) not in (0, 3):
            raise ConfigError(
                f"method {self.title!r} gives {'several ways' if self.law or self.coefficients else 'no way'} to scale",
                hint="give one of law = NAME, coefficients = 'A,B,G', shares = [DEPTH, WIDTH, RESOLUTION]",
            )
        if self.title == BASELINE:
            raise ConfigError(f"a method cannot be called {BASELINE!r}", hint="every study already has that row")

    @property
    def title(self) -> str:
        """What rows call it."""
        shares = "/".join(f"{share:g}" for share in self.shares)
        return self.name or self.law or (f"shares {shares}" if shares else f"coefficients {self.coefficients}")

    def scaling_law(self) -> ScalingLaw:
        """The law. Raises UnknownNameError and ConfigError."""
        if self.law:
            return law(self.law)
        if self.coefficients:
            return read_coefficients(self.coefficients).law()
        depth, width, resolution = self.shares
        return shares_law(depth, width, resolution)

    def settled(self) -> Method:
        """Itself, with coefficients as numbers and a name, so that it means the same wherever it is read."""
        if not self.coefficients:
            return replace(self, name=self.title)
        found = read_coefficients(self.coefficients)
        return replace(
            self, name=self.name or "searched", coefficients=f"{found.alpha!r},{found.beta!r},{found.gamma!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorCurve:
    """Networks by explicit factors."""

    name: str
    """What rows call it."""
    points: tuple[tuple[float, float, float], ...]
    """Multipliers (depth, width, resolution) of the baseline."""

    def __post_init__(self) -> None:
        check(self)
        for point in self.points:
            Scaling(*point)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StudySpec(Displayed):
    """A study. Raises ConfigError for one that compares nothing or cannot conclude."""

    name: str
    """Its name in reports."""
    question: str = ""
    """What it asks, in a sentence."""
    baselines: tuple[str | ConvNet, ...]
    """Names, TOML files, runs, weights files or networks."""
    resolution: int | None = None
    """The input side of all baselines in pixels; None for their own."""
    methods: tuple[Method, ...] = ()
    """Ways to spend a cost; each is applied at each cost."""
    costs: tuple[float, ...] = ()
    """True costs, times the baseline's in the currency of `equal`, above 1."""
    curves: tuple[FactorCurve, ...] = ()
    """Networks by explicit factors instead, whatever they cost."""
    lengths: tuple[int, ...]
    """Training lengths in epochs, at least two, each a whole schedule of the recipe."""
    seeds: int = 3
    """Seeds per network, 0 to seeds - 1; at least two."""
    recipe: str = "small-images"
    """A name or a file."""
    settings: tuple[str, ...] = ()
    """Changes to the recipe, KEY=VALUE."""
    quoted: bool = False
    """Also draw the paper's figures."""
    data: DataChoice | None = None
    """The images; None where the command names them."""
    equal: Currency = "macs"
    """What networks at one cost have in common with each other: MACs, seconds per training image, or activations;
    costs are multiples of the baseline's."""
    tune_rate: bool = False
    """Choose each network's learning rate among three by short trainings, by images that are drawn for it."""
    allow_missing: bool = False
    """Run even where fewer than two methods have a network at a cost."""

    def __post_init__(self) -> None:
        if isinstance(self.baselines, tuple | list):
            named = tuple(str(one) if isinstance(one, Path) else one for one in self.baselines)
            object.__setattr__(self, "baselines", named)
        check(self)
        where = f"study {self.name!r}"
        if not self.baselines:
            raise ConfigError(f"{where} has no baselines", hint="baselines = ['small-mbconv']")
        if bool(self.methods) != bool(self.costs) or not (self.methods or self.curves):
            raise ConfigError(f"{where} compares nothing", hint="methods and costs, or curves, or both")
        if any(not cost > 1 for cost in self.costs) or len(set(self.costs)) != len(self.costs):
            raise ConfigError(
                f"{where}: costs {list(self.costs)}",
                hint=f"different values above 1, as multiples of the baseline's {CURRENCIES[self.equal]}",
            )
        titles = [method.title for method in self.methods] + [curve.name for curve in self.curves]
        if len(set(titles)) != len(titles):
            raise ConfigError(
                f"{where}: two of {titles} have the same name", hint="give methods and curves different names"
            )
        if len(self.lengths) < 2 or any(a >= b for a, b in pairwise(self.lengths)) or min(self.lengths) < 1:
            raise ConfigError(
                f"{where}: lengths {list(self.lengths)}",
                hint="two or more, in epochs, increasing: short trainings alone mislead",
            )
        if self.seeds < 2:
            raise ConfigError(f"{where}: {self.seeds} seeds", hint="2 or more: one says nothing about noise")

    def _display(self) -> Display:
        """What is compared, and how."""
        baselines = [one.name if isinstance(one, ConvNet) else one for one in self.baselines]
        rows = {
            "baselines": ", ".join(baselines) + (f", at {self.resolution} px" if self.resolution else ""),
            "methods": ", ".join(method.title for method in self.methods),
            "costs": ", ".join(f"{cost:g}" for cost in self.costs),
            "equal": "" if self.equal == "macs" else CURRENCIES[self.equal],
            "curves": ", ".join(curve.name for curve in self.curves),
            "lengths": ", ".join(f"{epochs:,}" for epochs in self.lengths) + " epochs",
            "seeds": str(self.seeds),
            "recipe": ", ".join((self.recipe, *self.settings)) + ", tuned learning rates" * self.tune_rate,
            "data": "" if self.data is None else self.data.source,
        }
        shown = tuple((name, text) for name, text in rows.items() if text)
        return Display(f"StudySpec {self.name}: {self.question}", rows=shown)

    def choice(self) -> DataChoice:
        """The images. Raises ConfigError where the study names none."""
        if self.data is None:
            raise ConfigError(f"study {self.name!r} names no images", hint="--data DATA, or [data] source = ... in it")
        return self.data


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A method without a network at its cost, and why."""

    baseline: str
    method: str
    asked: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRow:
    """A network of a study after one training length. accuracy: mean over the `seeds` that finished, a fraction, None
    where none did; interval95 by Student's t, None for one seed. baseline_accuracy: of the baseline, trained as long.
    asked: the cost planned for, times the baseline's MACs; cost_ratio: the true one."""

    baseline: str
    method: str
    asked: float | None
    cost_ratio: float
    scaling: Scaling
    shares: tuple[float, ...] | None
    network: str
    resolution: int
    macs: int
    params: int
    epochs: int
    steps: int
    accuracy: float | None
    interval95: tuple[float, float] | None
    seeds: int
    baseline_accuracy: float | None
    device_seconds: float
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """a - b, two methods of one baseline at one cost and length, over their common seeds. verdict: "a is better", "b
    is better", "cannot tell". seeds_to_tell: how many seeds it would take to tell a difference of this size and spread,
    None where these suffice already, or where 1,000 would not."""

    baseline: str
    asked: float | None
    epochs: int
    steps: int
    a: str
    b: str
    mean: float
    interval95: tuple[float, float] | None
    pairs: int
    verdict: str = field(metadata={"key": "told"})
    seeds_to_tell: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthChange:
    """How the order of the methods of one baseline at one cost changes between two lengths, in epochs."""

    baseline: str
    asked: float | None
    epochs: tuple[int, int]
    change: OrderChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Reuse:
    """What it costs to reuse the method that is best at one cost at another cost: regret is the accuracy of the other
    cost's own best minus that of the method reused, over paired seeds."""

    baseline: str
    epochs: int
    found_at: float
    used_at: float
    reused: str
    own_best: str
    regret: float
    interval95: tuple[float, float] | None
    verdict: str = field(metadata={"key": "told"})


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StudyResult(AsDict, Displayed):
    """All that a study found."""

    JSON: ClassVar = (
        "study=spec.name", "question=spec.question", "rows", "differences", "length_changes", "reuses", "unreachable",
        "rates", "device_seconds",
    )  # fmt: skip

    spec: StudySpec
    rows: tuple[StudyRow, ...]
    differences: tuple[PairedDifference, ...]
    length_changes: tuple[LengthChange, ...]
    reuses: tuple[Reuse, ...]
    unreachable: tuple[Unreachable, ...]
    rates: tuple[RateChoice, ...] = ()

    def _display(self) -> Display:
        """The rows of the longest training, the best first."""
        longest = max(self.spec.lengths)
        last = [row for row in self.rows if row.epochs == longest]
        rows = tuple(
            (
                row.baseline, row.method, f"{row.cost_ratio:.2f}x", str(row.resolution),
                format_count(row.params), format_count(row.macs),
                ("failed" if row.failures else "waiting") if row.accuracy is None else f"{row.accuracy:.4f}",
                "" if row.interval95 is None else f"{row.interval95[0]:.4f} to {row.interval95[1]:.4f}", str(row.seeds),
            )
            for row in sorted(last, key=lambda row: -(row.accuracy or 0.0))
        )  # fmt: skip
        columns = ("baseline", "method", "cost", "px", "params", "MACs", "top-1", "95 %", "seeds")
        title = f"Study {self.spec.name} after {longest:,} epochs, {len(self.rows):,} rows in all"
        return Display(title, columns, rows, notes=(self.spec.question,), left=2)

    @property
    def device_seconds(self) -> float:
        """Device time of all trainings; a network that two methods share counts once for each."""
        return sum(row.device_seconds for row in self.rows)
