"""write_report: runs, studies and searches as one self-contained HTML file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from convscale.errors import ConfigError, RunError
from convscale.files import read_json, write_text
from convscale.records import CoefficientSearch, GridResult, StudyResult, TrainedFamily, read_record
from convscale.report.cards import model_card
from convscale.report.pages.comparison import comparison_chapter
from convscale.report.pages.document import document
from convscale.report.pages.runs import run_chapter
from convscale.report.pages.studies import family_chapter, grid_chapter, search_chapter, study_chapter
from convscale.report.parts import Chapter
from convscale.runs import open_unfinished_run, read_row

RESULTS = ("results.json", "coefficients.json", "family.json")  # of studies, searches and families
_ALLOWED = "a folder that convscale train, fit, study run, coefficients or family --train made"


def write_report(sources: str | Path | Sequence[str | Path], output: str | Path) -> Path:
    """Write runs, studies, searches for coefficients and trained families as one HTML file that stands alone, whole or
    not at all, and return its path; beside it the model card of each run that is done (`card_path`). Nothing is
    computed: what has no record is left out, with the command for it.

    Raises RunError for a folder that is none of these or has no result yet, ConfigError where a record is damaged or
    the file cannot be written.
    """
    paths = [Path(one) for one in ([sources] if isinstance(sources, str | Path) else sources)]
    if not paths:
        raise ConfigError("a report needs something to report on", hint=f"name {_ALLOWED}")
    runs = [open_unfinished_run(path) for path in paths if _is_run(path)]
    chapters = [_chapter(path, alone=len(runs) == 1) for path in paths]
    title = chapters[0].title if len(chapters) == 1 else f"Report of {chapters[0].title} and {len(chapters) - 1} more"
    if len(runs) > 1:
        chapters.insert(0, comparison_chapter(runs))
    text, file = document(chapters, title), Path(output)
    done = [run for run in runs if read_row(run.path).state == "finished"]
    cards = {card_path(file, number): model_card(run) for number, run in enumerate(done, start=1)}
    try:
        for path, content in (cards | {file: text}).items():
            write_text(path, content)
    except OSError as error:
        raise ConfigError(
            f"{file}: the report cannot be written: {error.strerror}", hint="name a file in a folder that you may write"
        ) from None
    return file


def card_path(report: Path, number: int = 1) -> Path:
    """Where the model card of the report's run goes: `report.html` -> `report-model-card.md`, the second's with a 2."""
    return report.with_name(f"{report.stem}-model-card{'' if number == 1 else f'-{number}'}.md")


def _chapter(path: Path, *, alone: bool) -> Chapter:
    if not path.exists():
        raise RunError(f"{path}: no such folder")
    if _is_run(path):
        return run_chapter(open_unfinished_run(path), alone=alone)
    if path.is_dir() and not any((path / name).exists() for name in RESULTS):
        raise _nothing_to_report(path)
    match read_record(path):
        case StudyResult() as result:
            return study_chapter(result, path)
        case GridResult() as result:
            return grid_chapter(result)
        case CoefficientSearch() as found:
            return search_chapter(found)
        case TrainedFamily() as made:
            return family_chapter(made)
        case other:
            raise RunError(f"{path}: a {type(other).__name__} alone is not reported", hint=_ALLOWED)


def _is_run(path: Path) -> bool:
    return (path / "environment.json").exists()


def _nothing_to_report(path: Path) -> RunError:
    """The error for a folder without a result, by what else it holds."""
    quoted = shlex.quote(str(path))
    file = path / "settings.json"
    kind = read_json(file).get("kind") if file.exists() else None
    if kind == "study":
        return RunError(f"{path}: this study has no results yet", hint=f"convscale study report {quoted}")
    if kind is not None:
        return RunError(f"{path}: this {kind} search or training is not done", hint=f"convscale study resume {quoted}")
    return RunError(f"{path}: not a run, a study or a search", hint=_ALLOWED)
