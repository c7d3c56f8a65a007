"""A study from its table to its report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convscale.errors import RunError
from convscale.figures import Curve, draw_lines
from convscale.files import read_json, write_json, write_text, write_toml
from convscale.schema import to_table
from convscale.studies.coordinator import run_trials
from convscale.studies.design import design
from convscale.studies.executor import Executor
from convscale.studies.folder import Holding, StudyFolder, read_settings, require_same_settings, to_plain
from convscale.studies.paper import QUOTED
from convscale.studies.results import Row, StudyResult, collect
from convscale.studies.spec import BASELINE, StudySpec
from convscale.studies.study_report import report, rows_as_csv

KIND = "study"
RESULT = "results.json"


def run_study(
    spec: StudySpec, folder: Path, executor: Executor, *, storage: str | None = None, quiet: bool = False
) -> StudyResult:
    """Run what of `spec` the folder has no record of, and write study.toml, results.json, rows.csv,
    report.md and pictures/.

    Raises as `design` and `run_trials` do, and RunError where the folder holds another study.
    """
    spec = spec.settled()
    with Holding(folder) as study:
        designed = design(spec)  # first, so that a study that cannot begin leaves no settings behind
        require_same_settings(study.path, KIND, spec, read_spec)
        trials = designed.trials()
        records = run_trials(study.path, list(trials.values()), executor, storage=storage, quiet=quiet)
        result = collect(designed, dict(zip(trials, records, strict=True)))
        _write(study, result)
    return result


def resume_study(folder: Path, executor: Executor, *, storage: str | None = None, quiet: bool = False) -> StudyResult:
    """Go on with the study in `folder`. Raises RunError where there is none, and as `run_study`."""
    return run_study(read_spec(folder), folder, executor, storage=storage, quiet=quiet)


def kind_of(folder: Path) -> str:
    """What the folder's settings say it is: "study", "coefficients", "family". Raises RunError where it is nothing."""
    file = folder / "settings.json"
    table = read_json(file) if file.exists() else None
    if not isinstance(table, dict) or "kind" not in table:
        raise RunError(f"{folder}: no study here", hint="convscale study run NAME -o DIR makes one")
    return str(table["kind"])


def read_spec(folder: Path) -> StudySpec:
    """The study that `folder` holds. Raises RunError where it holds none."""
    if kind_of(folder) != KIND:
        raise RunError(f"{folder} holds no study but a {kind_of(folder)} search or training")
    return read_settings(folder, KIND, StudySpec)


def _write(study: StudyFolder, result: StudyResult) -> None:
    write_toml(study.path / "study.toml", to_table(result.spec))
    write_text(study.path / "rows.csv", rows_as_csv(result))
    write_text(study.path / "report.md", "\n".join(report(result)) + "\n")
    draw(result, study.path / "pictures")
    write_json(study.path / RESULT, to_plain(result.as_dict()))  # last: what has it is done


def draw(result: StudyResult, folder: Path) -> None:
    """accuracy.png: accuracy against MACs and against parameters after the longest training, a line a method; a file a
    baseline where methods are compared, one for all baselines where there is one method."""
    last = [row for row in result.rows if row.epochs == result.spec.lengths[-1] and row.accuracy is not None]
    baselines = list(dict.fromkeys(row.baseline for row in last))
    if len({row.method for row in last} - {BASELINE}) == 1:
        families = [_curve(name, [row for row in last if row.baseline == name]) for name in baselines]
        _draw({"families": families}, result, folder)
    else:
        _draw({name: _methods([row for row in last if row.baseline == name]) for name in baselines}, result, folder)


def _draw(pictures: dict[str, list[dict[str, Curve]]], result: StudyResult, folder: Path) -> None:
    for name, curves in pictures.items():
        panels: list[tuple[str, str, list[Curve]]] = [
            (f"{name}, {result.spec.lengths[-1]} epochs", "MACs, millions", [one["macs"] for one in curves]),
            ("measured here, over the seeds", "parameters, millions", [one["params"] for one in curves]),
        ]
        if result.spec.quoted:
            panels.append(("the paper's, on ImageNet", "MACs, millions", _quoted()))
        draw_lines(panels, folder / f"{name}.png")


def _methods(rows: list[Row]) -> list[dict[str, Curve]]:
    """A line a method, each from the baseline where costs are equal; lines by factors stand for themselves."""
    base = [row for row in rows if row.method == BASELINE]
    methods = dict.fromkeys(row.method for row in rows if row.method != BASELINE)
    by_method = {method: [row for row in rows if row.method == method] for method in methods}
    return [_curve(method, (base if own[0].asked else []) + own) for method, own in by_method.items()]


def _curve(label: str, rows: list[Row]) -> dict[str, Curve]:
    def points(key: str) -> tuple[Any, ...]:
        return tuple((getattr(row, key) / 1e6, row.accuracy, *(row.interval95 or (None, None))) for row in rows)

    return {key: Curve(label, points(key)) for key in ("macs", "params")}


def _quoted() -> list[Curve]:
    return [
        Curve(name, tuple((macs / 1e6, top1, None, None) for _, macs, top1 in family.values()), quoted=True)
        for name, family in QUOTED.items()
    ]
