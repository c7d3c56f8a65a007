"""What a study found: rows with intervals over seeds, paired differences, and where training lengths disagree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

from convscale.search import Difference, OrderChange, mean_interval, order_changes, paired_difference
from convscale.studies.design import Design, Point, Unreachable
from convscale.studies.spec import BASELINE, StudySpec
from convscale.studies.trial import TrialRecord

ALL_PAIRS = 5  # methods up to which every pair is compared, beyond it each with the first
MAX_SEEDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A network of a study after one training length. accuracy: mean over the `seeds` that finished, a fraction, None
    where none did; interval95 by Student's t, None for one seed. baseline_accuracy: of the baseline, as long trained.
    asked: the cost planned to, times the baseline's MACs; cost_ratio: the true one."""

    baseline: str
    method: str
    asked: float | None
    cost_ratio: float
    scaling: dict[str, float]
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
    """a - b, two methods of one baseline at one cost and length, over their common seeds. told: "a is better", "b is
    better", "cannot tell". seeds_to_tell: how many seeds would tell a difference of this size and spread, None where
    it is told already, or where 1,000 would not."""

    baseline: str
    asked: float | None
    epochs: int
    steps: int
    a: str
    b: str
    mean: float
    interval95: tuple[float, float] | None
    pairs: int
    told: str
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
    """What it costs to take the method that is best at one cost to another cost: regret is the accuracy of the other
    cost's own best minus that of the method reused, over paired seeds."""

    baseline: str
    epochs: int
    found_at: float
    used_at: float
    reused: str
    own_best: str
    regret: float
    interval95: tuple[float, float] | None
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """All that a study found."""

    spec: StudySpec
    rows: tuple[Row, ...]
    differences: tuple[PairedDifference, ...]
    length_changes: tuple[LengthChange, ...]
    reuses: tuple[Reuse, ...]
    unreachable: tuple[Unreachable, ...]

    @property
    def device_seconds(self) -> float:
        """Of all trainings; a network that two methods share counts once for each."""
        return sum(row.device_seconds for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "study": self.spec.name,
            "question": self.spec.question,
            "rows": [asdict(row) for row in self.rows],
            "differences": [asdict(one) for one in self.differences],
            "length_changes": [asdict(one) for one in self.length_changes],
            "reuses": [asdict(one) for one in self.reuses],
            "unreachable": [asdict(one) for one in self.unreachable],
            "device_seconds": self.device_seconds,
        }


Accuracies = dict[int, float]  # by seed
Group = tuple[str, float | None]  # baseline and cost asked: what is compared


def collect(design: Design, records: Mapping[tuple[Point, int, int], TrialRecord]) -> StudyResult:
    """Put the records of a design's trials together; (point, epochs, seed) -> record."""
    spec = design.spec
    found = {
        (point, epochs): [records[point, epochs, seed] for seed in range(spec.seeds)]
        for point in design.points
        for epochs in spec.lengths
    }
    accuracies = {key: _accuracies(group) for key, group in found.items()}
    bases = {
        (point.baseline, epochs): _mean(by_seed)
        for (point, epochs), by_seed in accuracies.items()
        if point.method == BASELINE
    }
    rows = [_row(*key, group, bases[key[0].baseline, key[1]]) for key, group in found.items()]
    groups: dict[Group, list[Point]] = {}
    for point in design.points:
        if point.asked is not None:
            groups.setdefault((point.baseline, point.asked), []).append(point)
    steps = {row.epochs: row.steps for row in rows if row.steps}
    return StudyResult(
        spec=spec,
        rows=tuple(rows),
        differences=tuple(_differences(groups, spec.lengths, accuracies, steps)),
        length_changes=tuple(_length_changes(groups, spec.lengths, accuracies)),
        reuses=tuple(_reuses(groups, spec, accuracies)),
        unreachable=design.unreachable,
    )


def _accuracies(records: Sequence[TrialRecord]) -> Accuracies:
    return {seed: record.result.accuracy for seed, record in enumerate(records) if record.result is not None}


def _mean(by_seed: Accuracies) -> float | None:
    return math.fsum(by_seed.values()) / len(by_seed) if by_seed else None


def _row(point: Point, epochs: int, records: Sequence[TrialRecord], base: float | None) -> Row:
    results = [record.result for record in records if record.result is not None]
    interval = mean_interval([result.accuracy for result in results]) if results else None
    return Row(
        baseline=point.baseline,
        method=point.method,
        asked=point.asked,
        cost_ratio=point.cost_ratio,
        scaling=point.scaling.as_dict(),
        shares=point.shares,
        network=point.network.name,
        resolution=point.network.resolution,
        macs=point.macs,
        params=point.params,
        epochs=epochs,
        steps=results[0].steps if results else 0,
        accuracy=interval.mean if interval else None,
        interval95=interval.interval95 if interval else None,
        seeds=len(results),
        baseline_accuracy=base,
        device_seconds=sum(result.device_seconds for result in results),
        failures=tuple(record.failure for record in records if record.result is None),
    )


def _differences(
    groups: Mapping[Group, Sequence[Point]],
    lengths: Iterable[int],
    accuracies: Mapping[tuple[Point, int], Accuracies],
    steps: Mapping[int, int],
) -> Iterable[PairedDifference]:
    for (baseline, asked), points in groups.items():
        pairs = list(combinations(points, 2))
        if len(points) > ALL_PAIRS:
            pairs = [(points[0], other) for other in points[1:]]
        for epochs in lengths:
            for a, b in pairs:
                one, other = accuracies[a, epochs], accuracies[b, epochs]
                if one.keys() & other.keys():
                    difference = paired_difference(one, other)
                    yield PairedDifference(
                        baseline=baseline, asked=asked, epochs=epochs, steps=steps[epochs], a=a.method, b=b.method,
                        mean=difference.mean, interval95=difference.interval95, pairs=difference.pairs,
                        told=difference.told, seeds_to_tell=seeds_to_tell(difference),
                    )  # fmt: skip


def seeds_to_tell(difference: Difference) -> int | None:
    """How many seeds would tell a difference of this mean and spread from none."""
    if difference.tells or difference.interval95 is None or difference.mean == 0:
        return None
    from scipy.stats import t

    half = (difference.interval95[1] - difference.interval95[0]) / 2
    spread = half * math.sqrt(difference.pairs) / float(t.ppf(0.975, difference.pairs - 1))
    for seeds in range(difference.pairs + 1, MAX_SEEDS + 1):
        if float(t.ppf(0.975, seeds - 1)) * spread / math.sqrt(seeds) < abs(difference.mean):
            return seeds
    return None


def _length_changes(
    groups: Mapping[Group, Sequence[Point]],
    lengths: Sequence[int],
    accuracies: Mapping[tuple[Point, int], Accuracies],
) -> Iterable[LengthChange]:
    for (baseline, asked), points in groups.items():
        for short, long in pairwise(lengths):
            change = order_changes(
                {point.method: accuracies[point, short] for point in points},
                {point.method: accuracies[point, long] for point in points},
            )
            yield LengthChange(baseline=baseline, asked=asked, epochs=(short, long), change=change)


def _reuses(
    groups: Mapping[Group, Sequence[Point]],
    spec: StudySpec,
    accuracies: Mapping[tuple[Point, int], Accuracies],
) -> Iterable[Reuse]:
    """The best method of each cost, taken to every greater one that has it."""
    for (baseline, low), (other, high) in combinations(groups, 2):
        if baseline != other or low is None or high is None or low >= high:
            continue
        for epochs in spec.lengths:
            at = {
                cost: {point.method: by for point in groups[baseline, cost] if (by := accuracies[point, epochs])}
                for cost in (low, high)
            }
            both = at[low].keys() & at[high].keys()
            if len(both) < 2:
                continue
            reused = max(both, key=lambda method: _mean(at[low][method]) or 0.0)
            best = max(both, key=lambda method: _mean(at[high][method]) or 0.0)
            if not at[high][best].keys() & at[high][reused].keys():
                continue
            regret = paired_difference(at[high][best], at[high][reused])
            yield Reuse(
                baseline=baseline, epochs=epochs, found_at=low, used_at=high, reused=reused, own_best=best,
                regret=regret.mean, interval95=regret.interval95,
                told="the same" if best == reused else "worse" if regret.tells else "cannot tell",
            )  # fmt: skip
