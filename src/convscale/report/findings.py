"""What a study found, in sentences, each with what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convscale.records import BASELINE, CURRENCIES, LengthChange, PairedDifference, PrimaryAnswer, StudyResult, StudyRow
from convscale.units import format_number

UNCORRECTED = (
    "- These results are from a version that did not correct comparisons together: none of them is called better. "
    "`convscale study resume DIR` judges the same trainings."
)


def missing(result: StudyResult) -> list[str]:
    """A line for all methods without a network at their cost; none where there are none."""
    names = [
        f"{one.baseline}, {one.method}" + (f" at {one.asked:g} times the cost" if one.asked else "")
        for one in result.unreachable
    ]
    return [f"**Missing**, for want of a network at this cost: {'; '.join(names)}."] if names else []


def conclusions(result: StudyResult) -> list[str]:
    """Lines of a list: the primary question, the rows that do not count, and for each baseline and cost which methods
    are better, all comparisons of the longest training corrected together."""
    if result.chance is None:
        return [UNCORRECTED]
    lines = [_primary(one, result) for one in result.primary]
    lines += _left_out(result)
    last = result.spec.lengths[-1]
    compared = [change for change in result.length_changes if change.epochs[1] == last]
    lines += [line for change in compared for line in _group(result, change)]
    return lines or ["- No two methods reached the same cost, so none can be compared: see the pictures and the rows."]


def _primary(one: PrimaryAnswer, result: StudyResult) -> str:
    line = f"- **Primary question**, {one.baseline} at {one.cost:g} times its {CURRENCIES[result.spec.equal]}: "
    line += f"{one.method} minus the best other "
    if one.mean is None:
        return line + f"method cannot be answered{_because(one)}."
    line += f"method ({one.best_other}) is {100 * one.mean:+.1f} points"
    if one.interval95 is not None:
        line += f" ({_points(one.interval95)}, simultaneous 95 % interval against {_methods(one.others)}"
        count = sum(answer.mean is not None for answer in result.primary)
        line += f", corrected for {count} such questions)" if count > 1 else ")"
    margin = f" within {100 * result.spec.equivalence:g} points" if one.verdict == "equivalent" else ""
    return line + f": **{one.verdict}{margin}**{_because(one)}."


def _because(one: PrimaryAnswer) -> str:
    return f"; left out: {', '.join(one.left_out)}" if one.left_out else ""


def _left_out(result: StudyResult) -> Iterator[str]:
    last = [row for row in result.rows if row.epochs == result.spec.lengths[-1]]
    unlearned = [row for row in last if row.accuracy is not None and not row.learned]
    moving = [row for row in last if row.learned and row.settled is False]
    chance = f"{100 * (result.chance or 0):.3g} %"
    if unlearned:
        yield f"- **Did not learn**, not above chance ({chance}) by its interval: {_listed(unlearned)}."
    if moving:
        short, long = result.spec.lengths[-2:]
        yield (
            f"- **Not settled**, its difference from the baseline still moved by more than noise between {short} and "
            f"{long} epochs: {_listed(moving)}."
        )
    if unlearned or moving:
        yield "- No conclusion rests on these rows."


def _listed(rows: Sequence[StudyRow]) -> str:
    names = [
        f"{row.baseline}, {row.method}"
        + ("" if row.method == BASELINE else f" at {row.asked or row.cost_ratio:.3g} times the cost")
        for row in rows
    ]
    return "; ".join(names)


def _group(result: StudyResult, change: LengthChange) -> list[str]:
    """What is better at one cost, and whether the training lengths agree."""
    where = change.baseline, change.asked, change.epochs[1]
    judged = [
        one
        for one in result.differences
        if (one.baseline, one.asked, one.epochs) == where and one.adjusted_interval95 is not None
    ]
    if not judged:
        return []
    named = {(one.baseline, one.cost, one.a, one.b) for one in result.claims}
    sure = [one for one in judged if _order(one) in named]
    line = f"- {change.baseline} at {change.asked:g} times its {CURRENCIES[result.spec.equal]}: "
    line += "; ".join(map(_sentence, sure)) if sure else "no difference exceeds the noise of the seeds"
    unsure = len(judged) - len(sure)
    line += f" ({unsure} of {len(judged)} comparisons are inconclusive" if unsure else " ("
    line += ("; " if unsure else "") + f"corrected for {format_number(result.comparisons, 'comparison')}). "
    order = change.change
    line += f"Between {change.epochs[0]} and {change.epochs[1]} epochs {order.swapped} of {order.pairs} pairs swap, "
    return [line + f"{order.certain_swaps} of them beyond the noise."]


def _order(one: PairedDifference) -> tuple[str, float | None, str, str]:
    better, worse = (one.a, one.b) if one.mean > 0 else (one.b, one.a)
    return one.baseline, one.asked, better, worse


def _sentence(one: PairedDifference) -> str:
    *_, better, worse = _order(one)
    ends = one.adjusted_interval95 or (0.0, 0.0)
    low, high = ends if one.mean > 0 else (-ends[1], -ends[0])
    seeds = f", {format_number(one.pairs, 'pair')}"
    return f"{better} beats {worse} by {100 * abs(one.mean):.1f} points ({100 * low:.1f} to {100 * high:.1f}{seeds})"


def _points(ends: tuple[float, float]) -> str:
    return f"{100 * ends[0]:+.1f} to {100 * ends[1]:+.1f}"


def _methods(names: Sequence[str]) -> str:
    return ", ".join(names)
