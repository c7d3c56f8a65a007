"""What the report of an unfinished study lacks."""

from __future__ import annotations

from collections.abc import Sequence

from convscale.records import StudyResult, StudyRow
from convscale.units import format_number


def unfinished(result: StudyResult) -> list[str]:
    """List items that say which trainings have not ended; none where all have."""
    seeds = result.spec.seeds
    left = [(row, seeds - row.seeds - len(row.failures)) for row in result.rows]
    total, waiting = seeds * len(left), sum(count for _, count in left)
    if not waiting:
        return []
    lines = [f"- **Unfinished**: {total - waiting:,} of {total:,} trainings have ended; what follows rests on these."]
    for missing in sorted({count for _, count in left if count}, reverse=True):
        rows = [row for row, count in left if count == missing]
        heading = "Not trained yet" if missing == seeds else f"Missing {missing} of {seeds} seeds"
        lines.append(f"- {heading}: {_listed(rows) if len(rows) < len(left) else 'every network'}.")
    return lines


def _listed(rows: Sequence[StudyRow]) -> str:
    """Rows by baseline and method, each with its lengths."""
    lengths: dict[str, list[int]] = {}
    for row in rows:
        cost = f" at {row.asked:g} times the cost" if row.asked else ""
        epochs = lengths.setdefault(f"{row.baseline}, {row.method}{cost}", [])
        epochs += [row.epochs] if row.epochs not in epochs else []
    return "; ".join(
        f"{name} ({', '.join(map(str, epochs[:-1]))}{' and ' * (len(epochs) > 1)}{format_number(epochs[-1], 'epoch')})"
        for name, epochs in lengths.items()
    )
