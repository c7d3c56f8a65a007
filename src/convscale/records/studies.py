"""Studies: what is asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Literal

from convscale.display import Display, Displayed
from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.preprocessing import require_range
from convscale.scaling import Scaling, ScalingLaw, law, read_coefficients, shares_law
from convscale.schema import check

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

    @property
    def counts(self) -> tuple[str, str]:
        """How many training and held-out images, in words: "all" or a number."""
        train, held_out = ("all" if one is None else f"{one:,}" for one in (self.train_images, self.test_images))
        return train, held_out


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
    primary: str = ""
    """The method whose difference from the best other one is the primary question, written down before the study."""
    equivalence: float = 0.005
    """Two accuracies that differ by less than this, a fraction, are equivalent to the primary question."""

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
        if self.primary and self.primary not in [method.title for method in self.methods]:
            raise ConfigError(
                f"{where}: primary {self.primary!r} is not one of its methods",
                hint=f"one of {', '.join(method.title for method in self.methods)}",
            )
        if not 0 <= self.equivalence < 1:
            raise ConfigError(f"{where}: equivalence {self.equivalence}", hint="a fraction, 0.005 for half a point")
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
            "primary": self.primary,
        }
        shown = tuple((name, text) for name, text in rows.items() if text)
        return Display(f"StudySpec {self.name}: {self.question}", rows=shown)

    def choice(self) -> DataChoice:
        """The images. Raises ConfigError where the study names none."""
        if self.data is None:
            raise ConfigError(f"study {self.name!r} names no images", hint="--data DATA, or [data] source = ... in it")
        return self.data
