"""What a study found: rows with intervals over seeds, paired differences, and where training lengths disagree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise

from convscale.records import LengthChange, Reuse, StudyResult, StudyRow
from convscale.statistics import CANNOT_TELL, order_changes, within_unit
from convscale.studies.comparing import LEVEL, Comparisons, primary_answers
from convscale.studies.designs import Design
from convscale.studies.trainings import Places, Records, Trainings, settled
from convscale.trials.trial import TrialResult


def collect(design: Design, records: Records) -> StudyResult:
    """Put the records of a design's trials together; (point, epochs, seed) -> record, of those that have ended."""
    places = Places(design)
    lengths = [Trainings(places, records, epochs) for epochs in design.spec.lengths]
    long = lengths[-1]
    judged = settled(places, lengths[-2], long)
    reasons = [_reason(long, place, judged[place]) for place in range(len(design.points))]
    compared = Comparisons(places, long, [not reason for reason in reasons])
    return StudyResult(
        spec=design.spec,
        rows=tuple(
            _row(trainings, place, judged[place] if trainings is long else None)
            for place in range(len(design.points))
            for trainings in lengths
        ),
        differences=tuple(compared.differences(lengths)),
        length_changes=tuple(_length_changes(compared, lengths)),
        reuses=tuple(_reuses(compared, lengths)),
        unreachable=design.unreachable,
        claims=tuple(compared.claims()),
        primary=tuple(primary_answers(compared, reasons)),
        noise=tuple(trainings.noise_record() for trainings in lengths),
        chance=max(map(places.chance, range(len(design.points)))),
        comparisons=len(compared.pairs),
        rates=design.rates,
    )


def _reason(long: Trainings, place: int, judged: bool | None) -> str:
    """Why conclusions do not rest on a place, "" where they do."""
    if long.estimates[place] is None:
        return "has no finished training"
    if not long.learned[place]:
        return "did not learn"
    return "has not settled" if judged is False else ""


def _row(trainings: Trainings, place: int, judged: bool | None) -> StudyRow:
    places, found = trainings.places, trainings.estimates[place]
    point, base = places.points[place], trainings.estimates[places.baselines[place]]
    results = list(trainings.results[place].values())
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
        epochs=trainings.epochs,
        steps=results[0].steps if results else 0,
        accuracy=found.mean if found else None,
        interval95=within_unit(found.interval()) if found else None,
        seeds=len(results),
        baseline_accuracy=base.mean if base else None,
        device_seconds=sum(result.device_seconds for result in results),
        failures=tuple(record.failure for record in trainings.records[place] if record.result is None),
        learned=trainings.learned[place],
        settled=judged,
        seconds_per_image=_seconds_per_image(results),
        device=", ".join(dict.fromkeys(result.device for result in results if result.device)),
        precision=", ".join(dict.fromkeys(result.precision for result in results if result.precision)),
        learning_rate=_only({result.learning_rate for result in results}),
    )


def _seconds_per_image(results: Sequence[TrialResult]) -> float | None:
    counted = [result for result in results if result.images]
    images = sum(result.images for result in counted)
    return sum(result.device_seconds for result in counted) / images if images else None


def _only(values: set[float | None]) -> float | None:
    return values.pop() if len(values) == 1 else None


def _length_changes(compared: Comparisons, lengths: Sequence[Trainings]) -> Iterable[LengthChange]:
    """Of the methods that count; a swap is certain where both lengths show it, each by an interval corrected for all
    comparisons of the study."""
    places, confidence = compared.places, 1 - LEVEL / max(1, len(compared.pairs))
    for (baseline, asked), members in places.groups.items():
        for short, long in pairwise(lengths):

            def certain(a: int, b: int, both: tuple[Trainings, Trainings] = (short, long)) -> bool:
                found = [one.difference(a, b) for one in both]
                return all(one is not None and one.certain(confidence) for one in found)

            counted = [one for one in members if compared.counts[one] and short.learned[one] and long.learned[one]]
            before, after = ({one: _by_seed(by, one) for one in counted} for by in (short, long))
            change = order_changes(before, after, certain)
            yield LengthChange(baseline=baseline, asked=asked, epochs=(short.epochs, long.epochs), change=change)


def _by_seed(trainings: Trainings, place: int) -> dict[int, float]:
    return {seed: result.accuracy for seed, result in trainings.results[place].items()}


def _reuses(compared: Comparisons, lengths: Sequence[Trainings]) -> Iterable[Reuse]:
    """The best method at each cost, reused at every greater cost that has it."""
    groups = compared.places.groups
    for (baseline, low), (other, high) in combinations(groups, 2):
        if baseline == other and low < high:
            for trainings in lengths:
                yield from _reuse(compared, trainings, groups[baseline, low], groups[baseline, high])


def _reuse(compared: Comparisons, trainings: Trainings, low: list[int], high: list[int]) -> Iterable[Reuse]:
    points = compared.places.points
    at_low, at_high = (
        {points[one].method: one for one in members if compared.counts[one] and trainings.learned[one]}
        for members in (low, high)
    )
    both = [method for method in at_low if method in at_high]
    if len(both) < 2:
        return

    def best(at: dict[str, int]) -> str:
        means = {method: found.mean for method in both if (found := trainings.estimates[at[method]]) is not None}
        return max(means, key=lambda method: means[method])

    reused, own = best(at_low), best(at_high)
    regret = trainings.difference(at_high[own], at_high[reused])
    if regret is not None:
        worse = trainings is compared.long and compared.better(at_high[own], at_high[reused])
        point, asked = points[low[0]], (points[low[0]].asked, points[high[0]].asked)
        yield Reuse(
            baseline=point.baseline, epochs=trainings.epochs, found_at=asked[0] or 0.0, used_at=asked[1] or 0.0,
            reused=reused, own_best=own, regret=regret.mean, interval95=regret.interval(),
            verdict="the same" if own == reused else "worse" if worse else CANNOT_TELL,
        )  # fmt: skip
