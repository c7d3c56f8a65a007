"""Studies: what was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from convscale.display import Display, Displayed
from convscale.flattening import AsDict
from convscale.records.rates import RateChoice
from convscale.records.studies import StudySpec
from convscale.scaling import Scaling
from convscale.statistics import OrderChange
from convscale.units import format_count


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
    where none did; interval95 by Student's t with the noise of seeds pooled over the study, within 0 and 1, None where
    no two seeds show it. baseline_accuracy: of the baseline, trained as long. asked: the cost planned for, in the
    study's currency, times the baseline's; cost_ratio: its MACs, times the baseline's.

    learned: the accuracy is above chance by its interval, and by that of the test images. settled, at the greatest
    length alone: the difference from the baseline has not moved by more than noise since the length before; None where
    it cannot be judged. Rows that did not learn or settle enter no conclusion. seconds_per_image: of device time, for
    an image trained on once. device, precision: several are separated by commas. learning_rate: where it was tuned. All
    of these are unknown in files from before they were recorded.
    """

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
    learned: bool = True
    settled: bool | None = None
    seconds_per_image: float | None = None
    device: str = ""
    precision: str = ""
    learning_rate: float | None = None

    @property
    def counts(self) -> bool:
        """Whether conclusions may rest on it."""
        return self.learned and self.settled is not False and self.accuracy is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """a - b, two methods of one baseline at one cost and length, over pairs of the same seed, device and precision.

    interval95: of this difference alone. adjusted_interval95: of all comparisons of the study at its greatest length
    together (Holm); None at shorter lengths and where a row does not count. verdict: "a is better" or "b is better"
    where the adjusted interval excludes zero, else "cannot tell", as at shorter lengths, where nothing is decided.
    seeds_to_tell: how many seeds it would take to tell a difference of this size and noise, None where these suffice
    already, where 1,000 would not, or where nothing is decided.
    """

    JSON: ClassVar = (
        "baseline", "asked", "epochs", "steps", "a", "b", "mean", "interval95", "pairs", "verdict", "seeds_to_tell",
        "adjusted_interval95", "verdict=verdict",
    )  # fmt: skip

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
    adjusted_interval95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Method a beats method b, of one baseline at one cost, after the greatest length."""

    baseline: str
    cost: float
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryAnswer:
    """The primary method minus the best other one of its baseline and cost, after the greatest length.

    interval95: of all answers of the study together, over which of the `others` may be the best (Dunnett). best_other:
    the one that the primary method leads by least, `mean`. verdict: "better" or "worse" where the interval excludes
    zero, "equivalent" where it lies within the study's equivalence, else "cannot tell". left_out: methods that do not
    count, and why; with the primary among them nothing is compared.
    """

    baseline: str
    cost: float
    method: str
    others: tuple[str, ...]
    best_other: str
    mean: float | None
    interval95: tuple[float, float] | None
    verdict: str
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The noise of seeds at one length. spread: the standard deviation of one training's accuracy, without what all
    trainings of a seed share, over `networks` that learned, with `degrees` of freedom; None without two seeds of two
    networks. row_spread, row_degrees: with it. unequal_by: where noise differs, so that it is estimated by group too:
    "cost", "method", "network"."""

    epochs: int
    networks: int
    spread: float | None
    degrees: float
    row_spread: float | None
    row_degrees: float
    unequal_by: tuple[str, ...]


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
    cost's own best minus that of the method reused, over pairs of the same seed. verdict: "the same" method is best at
    both, "worse" where the two are told apart at the greatest length, else "cannot tell"."""

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
    """All that a study found.

    claims: every method that is better than another after the greatest length, of `comparisons` that are corrected
    together. primary: the answers to the primary question, one for each baseline and cost. chance: the accuracy of
    guessing, None for files from before it was recorded, whose comparisons were not corrected.
    """

    JSON: ClassVar = (
        "study=spec.name", "question=spec.question", "rows", "differences", "length_changes", "reuses", "unreachable",
        "rates", "device_seconds", "claims", "primary", "noise", "chance", "comparisons",
    )  # fmt: skip

    spec: StudySpec
    rows: tuple[StudyRow, ...]
    differences: tuple[PairedDifference, ...]
    length_changes: tuple[LengthChange, ...]
    reuses: tuple[Reuse, ...]
    unreachable: tuple[Unreachable, ...]
    claims: tuple[Claim, ...] = ()
    primary: tuple[PrimaryAnswer, ...] = ()
    noise: tuple[Noise, ...] = ()
    chance: float | None = None
    comparisons: int = 0
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
