"""A planned network, measured: whether the prediction held, and the plan corrected once where it did not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from convscale.costs import LatencyPredictor
from convscale.errors import BudgetError
from convscale.layers import BlockGraph
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.records import Profile
from convscale.units import format_seconds

MakePlan = Callable[[LatencyPredictor], Plan]
Measure = Callable[[ConvNet], "Measured"]

SECONDS = 1.0  # for which an answer is timed
TRIES = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """A network, and the anchor around it, timed now. busy: while the machine did something else."""

    seconds: float
    anchor_seconds: float
    busy: bool


@dataclass(frozen=True, slots=True)
class Verified:
    """A plan and what its network takes.

    anchor_ratio: the anchor's time over that of the profile: above 1 this machine is slower than it was. corrected:
    whether the first plan was off by more than the noise, so that this is the second. noise: the profile's own error.
    """

    plan: Plan
    measured: Measured
    anchor_ratio: float
    corrected: bool
    machine_changed: bool
    noise: float

    @property
    def off(self) -> float:
        """Measured over predicted, were the machine as fast as it was for the profile."""
        predicted = self.plan.chosen.latency_seconds
        assert predicted is not None, "a plan of a profile limits latency"
        return self.measured.seconds / self.anchor_ratio / predicted

    @property
    def is_tie(self) -> bool:
        """Whether measured and predicted differ by no more than the profile's own error."""
        return abs(self.off - 1) <= self.noise

    @property
    def figures(self) -> dict[str, float | bool]:
        """What `plan --verify --json` adds to a plan."""
        return {
            "measured_ms": 1e3 * self.measured.seconds, "anchor_ratio": self.anchor_ratio, "busy": self.measured.busy,
            "machine_changed": self.machine_changed, "corrected": self.corrected,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """What was measured, in words."""
        seconds, off = format_seconds(self.measured.seconds), self.off - 1
        verdict = "a tie with the prediction"
        if not self.is_tie:
            verdict = f"{abs(off):.1%} {'more' if off > 0 else 'less'} than predicted"
        told = [f"measured: {seconds}; anchor x{self.anchor_ratio:.3f}, so in the profile's terms {verdict}"]
        if self.corrected:
            told.append("corrected once: the first plan was off by more than the profile's error")
        if self.machine_changed:
            told.append("machine changed: the anchor moved further than it does by itself; `convscale profile` again")
        if self.measured.busy:
            told.append("busy: something else ran meanwhile, so this says little; repeat it on a quiet machine")
        return told


class _Corrected:
    """A predictor whose predictions are all off by the same factor."""

    def __init__(self, predictor: LatencyPredictor, factor: float) -> None:
        self.predictor, self.factor = predictor, factor

    def seconds(self, block: BlockGraph) -> float:
        """The seconds of a block."""
        return self.factor * self.predictor.seconds(block)


def verify(make_plan: MakePlan, profile: Profile, measure: Measure) -> Verified:
    """Plan by the profile, measure, and plan once more with predictions corrected by what was measured where those
    differ by more than the noise. Where a corrected budget is met by no network, the first plan stays."""
    predictor = profile.predictor()
    first = _measured(make_plan(predictor), profile, measure)
    if first.is_tie or first.measured.busy:
        return first
    try:
        again = make_plan(_Corrected(predictor, first.off))
    except BudgetError:
        return first
    return replace(_measured(again, profile, measure), corrected=True)


def _measured(plan: Plan, profile: Profile, measure: Measure) -> Verified:
    found = measure(plan.network)
    ratio, moved = found.anchor_seconds / profile.anchor_seconds, profile.has_moved(found.anchor_seconds)
    return Verified(plan, found, ratio, False, moved, profile.fit.median_error)


def measure_here(profile: Profile) -> Measure:
    """What times networks on this machine, in the profile's engine, dtype and threads."""
    from convscale.deploy.profiling.measuring import opened, time_network

    def measure(network: ConvNet) -> Measured:
        engine = opened(network, profile.engine, profile.threads, profile.dtype)
        timing = time_network(engine, network, seconds=SECONDS, tries=TRIES)
        return Measured(timing.median_ms / 1e3, timing.anchor_ms / 1e3, timing.busy)

    return measure
