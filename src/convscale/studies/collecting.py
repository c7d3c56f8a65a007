"""What a study found: rows with intervals over seeds, paired differences, and where training lengths disagree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise

from convscale.records import BASELINE, LengthChange, PairedDifference, Reuse, StudyResult, StudyRow, StudySpec
from convscale.statistics import CANNOT_TELL, Difference, mean_interval, order_changes, paired_difference, student_t
from convscale.studies.designs import Design, Point
from convscale.trials.trial import TrialRecord

ALL_PAIRS = 5  # up to this many methods every pair is compared, beyond it each with the first
MAX_SEEDS = 1000


Accuracies = dict[int, float]  # by seed
Group = tuple[str, float | None]  # baseline and cost asked: what is compared


def collect(design: Design, records: Mapping[tuple[Point, int, int], TrialRecord]) -> StudyResult:
    """Put the records of a design's trials together; (point, epochs, seed) -> record, of those that have ended."""
    spec = design.spec
    found = {
        (point, epochs): {
            seed: records[place] for seed in range(spec.seeds) if (place := (point, epochs, seed)) in records
        }
        for point in design.points
        for epochs in spec.lengths
    }
    accuracies = {key: _accuracies(group) for key, group in found.items()}
    bases = {
        (point.baseline, epochs): _mean(by_seed)
        for (point, epochs), by_seed in accuracies.items()
        if point.method == BASELINE
    }
    rows = [_row(*key, list(group.values()), bases[key[0].baseline, key[1]]) for key, group in found.items()]
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
        rates=design.rates,
    )


def _accuracies(records: Mapping[int, TrialRecord]) -> Accuracies:
    return {seed: record.result.accuracy for seed, record in records.items() if record.result is not None}


def _mean(by_seed: Accuracies) -> float | None:
    return math.fsum(by_seed.values()) / len(by_seed) if by_seed else None


def _row(point: Point, epochs: int, records: Sequence[TrialRecord], base: float | None) -> StudyRow:
    results = [record.result for record in records if record.result is not None]
    interval = mean_interval([result.accuracy for result in results]) if results else None
    return StudyRow(
        baseline=point.baseline,
        method=point.method,
        asked=point.asked,
        cost_ratio=point.cost_ratio,
        scaling=point.scaling,
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
                        verdict=difference.verdict, seeds_to_tell=seeds_to_tell(difference),
                    )  # fmt: skip


def seeds_to_tell(difference: Difference) -> int | None:
    """How many seeds it would take to tell a difference of this mean and spread from none."""
    if difference.certain or difference.interval95 is None or difference.mean == 0:
        return None
    half = (difference.interval95[1] - difference.interval95[0]) / 2
    spread = half * math.sqrt(difference.pairs) / student_t(difference.pairs - 1)
    for seeds in range(difference.pairs + 1, MAX_SEEDS + 1):
        if student_t(seeds - 1) * spread / math.sqrt(seeds) < abs(difference.mean):
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
    """The best method at each cost, reused at every greater cost that has it."""
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
                verdict="the same" if best == reused else "worse" if regret.certain else CANNOT_TELL,
            )  # fmt: skip
