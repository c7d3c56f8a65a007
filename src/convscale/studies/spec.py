"""A study as a table: which networks, made how, at which costs, trained on what, for how long, from how many seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

from convscale.errors import ConfigError, UnknownNameError
from convscale.files import read_toml, read_toml_text
from convscale.scaling import Scaling, ScalingLaw, law, read_coefficients, shares_law
from convscale.schema import check, from_table
from convscale.studies.trial import DataChoice, data_choice

BASELINE = "baseline"  # the method of a baseline as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One way to spend a cost. Raises ConfigError unless exactly one of law, coefficients and shares is given."""

    law: str = ""
    """A scaling law by name."""
    coefficients: str = ""
    """Text as 1.2,1.1,1.15, a file, or a search's folder."""
    shares: tuple[float, ...] = ()
    """Of the extra cost, for depth, width and resolution."""
    name: str = ""
    """What rows call it, where not by one of these."""

    def __post_init__(self) -> None:
        check(self)
        if sum(map(bool, (self.law, self.coefficients, self.shares))) != 1 or len(self.shares) not in (0, 3):
            raise ConfigError(
                f"method {self.title!r} says how to scale {'twice' if self.law or self.coefficients else 'not at all'}",
                hint="one of law = NAME, coefficients = 'A,B,G', shares = [DEPTH, WIDTH, RESOLUTION]",
            )
        if self.title == BASELINE:
            raise ConfigError(f"a method cannot be called {BASELINE!r}", hint="every study has that one")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySpec:
    """A study. Raises ConfigError for one that compares nothing or cannot conclude."""

    name: str
    """What reports call it."""
    question: str = ""
    """What it asks, in a sentence."""
    baselines: tuple[str, ...]
    """Names or files of networks."""
    resolution: int | None = None
    """Pixels a side that the baselines are taken at; their own without it."""
    methods: tuple[Method, ...] = ()
    """Ways to spend a cost; each is taken at each cost."""
    costs: tuple[float, ...] = ()
    """True costs, times the baseline's MACs, above 1."""
    curves: tuple[FactorCurve, ...] = ()
    """Networks by explicit factors instead, whatever they cost."""
    lengths: tuple[int, ...]
    """Training lengths in epochs, two at least, each a whole schedule of the recipe."""
    seeds: int = 3
    """Trainings of each network, from 0 to seeds - 1; two at least."""
    recipe: str = "small-images"
    """A name or a file."""
    settings: tuple[str, ...] = ()
    """Values of the recipe that are changed, KEY=VALUE."""
    quoted: bool = False
    """Also draw the paper's figures."""
    data: DataChoice | None = None
    """The images; None where the command names them."""

    def __post_init__(self) -> None:
        check(self)
        where = f"study {self.name!r}"
        if not self.baselines:
            raise ConfigError(f"{where} has no baselines", hint="baselines = ['small-mbconv']")
        if bool(self.methods) != bool(self.costs) or not (self.methods or self.curves):
            raise ConfigError(f"{where} compares nothing", hint="methods and costs, or curves, or both")
        if any(not cost > 1 for cost in self.costs) or len(set(self.costs)) != len(self.costs):
            raise ConfigError(
                f"{where}: costs {list(self.costs)}", hint="different, above 1: times the baseline's MACs"
            )
        titles = [method.title for method in self.methods] + [curve.name for curve in self.curves]
        if len(set(titles)) != len(titles):
            raise ConfigError(f"{where}: two of {titles} have one name", hint="give methods and curves different names")
        if len(self.lengths) < 2 or any(a >= b for a, b in pairwise(self.lengths)) or min(self.lengths) < 1:
            raise ConfigError(
                f"{where}: lengths {list(self.lengths)}",
                hint="two or more, in epochs, increasing: short trainings alone mislead",
            )
        if self.seeds < 2:
            raise ConfigError(f"{where}: {self.seeds} seeds", hint="2 or more: one says nothing about noise")

    def choice(self) -> DataChoice:
        """The images. Raises ConfigError where the study names none."""
        if self.data is None:
            raise ConfigError(f"study {self.name!r} names no images", hint="--data DATA, or [data] source = ... in it")
        return self.data

    def settled(self) -> StudySpec:
        """Itself as it is run and recorded: coefficients as numbers, paths absolute."""
        data = self.choice()
        source = data_choice(data.source).source
        baselines = tuple(str(Path(one).absolute()) if Path(one).exists() else one for one in self.baselines)
        return replace(
            self, methods=tuple(method.settled() for method in self.methods), data=replace(data, source=source),
            baselines=baselines,
        )  # fmt: skip


def studies() -> list[str]:
    """The names of the studies that come along."""
    folder = resources.files("convscale.studies") / "library"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_study(name_or_file: str | Path) -> StudySpec:
    """A study by name, or from a TOML file. Raises UnknownNameError and ConfigError."""
    path = Path(name_or_file)
    if path.suffix == ".toml":
        return from_table(StudySpec, read_toml(path), str(path))
    name = str(name_or_file)
    if name not in studies():
        raise UnknownNameError("study", name, studies())
    text = (resources.files("convscale.studies") / "library" / f"{name}.toml").read_text(encoding="utf-8")
    return from_table(StudySpec, read_toml_text(text, name), name)
