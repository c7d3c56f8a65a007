"""The runs below a folder, one row each: what they are, their state, their accuracy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from convscale.costs import cost
from convscale.errors import RunError
from convscale.locks import is_locked
from convscale.records import RunRow, RunState
from convscale.runs.progress import read_progress
from convscale.runs.run import Run, open_unfinished_run

_ATTEMPT = re.compile(r"attempt-\d+")


def list_runs(folder: Path | str = "runs", *, attempts: bool = False) -> list[RunRow]:
    """The runs in `folder` and below, the oldest first. With `attempts` also the trials of studies and the trainings of
    searches. What is damaged has a row that says so. Raises RunError where there is no such folder."""
    root = Path(folder)
    if not root.is_dir():
        raise RunError(f"{root}: no such folder", hint="convscale fit DATA makes runs/NAME-N")
    rows = [read_row(path) for path in _run_folders(root, attempts)]
    return sorted(rows, key=lambda row: (row.started or "~", row.path))


def _run_folders(root: Path, attempts: bool) -> Iterator[Path]:
    for place, folders, files in os.walk(root):
        path = Path(place)
        is_run = "environment.json" in files or {"network.toml", "recipe.toml", "settings.json"} <= set(files)
        if is_run:
            yield path
        if is_run and not attempts:
            folders.clear()
        elif "trial.toml" in files and not attempts:
            folders[:] = [name for name in folders if not _ATTEMPT.fullmatch(name)]


def read_row(path: Path) -> RunRow:
    """The row of a run folder, "damaged" where it cannot be read."""
    try:
        return _row(open_unfinished_run(path))
    except Exception as error:  # whatever is wrong with one folder, the others are listed
        return RunRow(path=str(path), state="damaged", reason=str(error) or type(error).__name__)


def run_state(run: Run) -> RunState:
    """How a run stands, by its folder: finished, held by the process that trains it, or left. Raises ConfigError where
    its result is damaged."""
    if run.result() is not None:
        return "finished"
    if is_locked(run.path / "lock"):
        return "running"
    progress = read_progress(run)
    return "failed" if progress is not None and progress.state == "failed" else "interrupted"


def started(run: Run) -> str:
    """When a run began, ISO 8601 in UTC; of a run older than its story, when its network was written."""
    story = run.story()
    if story is not None and story.started:
        return story.started
    written = (run.path / "network.toml").stat().st_mtime
    return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")


def _row(run: Run) -> RunRow:
    state, result, network, data, plan = run_state(run), run.result(), run.network(), run.data(), run.plan()
    costs, epochs = cost(network), run.metrics()
    evaluation = run.evaluation() if result is not None else None
    progress = read_progress(run)
    return RunRow(
        path=str(run.path),
        data=None if data is None else data.source,
        network=network.name,
        budget=None if plan is None or plan.budget is None else plan.budget.limits(),
        macs=costs.macs,
        params=costs.params,
        top1=evaluation.top1 if evaluation is not None else epochs[-1].top1 if epochs else None,
        interval95=None if evaluation is None else evaluation.interval95,
        state=state,
        started=started(run),
        seconds=sum(one.seconds for one in epochs) if result is None else result.seconds,
        reason=progress.reason if progress is not None and state in ("failed", "interrupted") else "",
    )
