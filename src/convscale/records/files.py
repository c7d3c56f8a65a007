"""Files of records: JSON with every value of the record, its kind, and the format version.

`read_record` opens whatever was kept, a file or the folder that it lies in. Files without a kind are from before format
version 2; `records.before` says what they mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from convscale.catalog import write_network
from convscale.errors import ConfigError, RunError
from convscale.files import read_json, write_json
from convscale.formats import FORMAT_VERSION, read_kept, require_version
from convscale.planning import Family, Plan
from convscale.records.before import upgraded
from convscale.records.coefficients import CoefficientSearch
from convscale.records.details import EvaluationDetails
from convscale.records.engines import EngineChoice
from convscale.records.evaluation import Evaluation, PredictionSet, Sweep
from convscale.records.explanations import ExplanationComparison, Explanations
from convscale.records.exports import ExportRecord
from convscale.records.grids import GridResult
from convscale.records.latency import Bench
from convscale.records.networks import FitRecord, ScaledNetwork, TrainedFamily, TrainedMember
from convscale.records.profiles import Profile
from convscale.records.runs import ProgressRecord, RunRow, RunStory, Story
from convscale.records.study_results import StudyResult
from convscale.records.training import DataRecord, PrecisionChoice, TrainedRun, TrainRecord, ValueSearch
from convscale.records.trials import TrialRecord
from convscale.schema import to_table
from convscale.version import __version__

T = TypeVar("T")

# Kind -> class: all that is kept, and all that `--json` prints as a result.
RECORDS: dict[str, type[Any]] = {
    "plan": Plan,
    "scaled network": ScaledNetwork,
    "family": Family,
    "trained family": TrainedFamily,
    "fit": FitRecord,
    "data": DataRecord,
    "training": TrainRecord,
    "trained run": TrainedRun,
    "value search": ValueSearch,
    "story": Story,
    "progress": ProgressRecord,
    "run": RunRow,
    "run story": RunStory,
    "evaluation": Evaluation,
    "evaluation details": EvaluationDetails,
    "sweep": Sweep,
    "predictions": PredictionSet,
    "explanations": Explanations,
    "explanation comparison": ExplanationComparison,
    "precision": PrecisionChoice,
    "export": ExportRecord,
    "engine choice": EngineChoice,
    "trial": TrialRecord,
    "study": StudyResult,
    "grids": GridResult,
    "coefficients": CoefficientSearch,
    "bench": Bench,
    "profile": Profile,
}
_KINDS = {form: kind for kind, form in RECORDS.items()}

# The file of a folder that holds its result, and its kind where the file does not name it.
_OF_FOLDERS = {
    "results.json": "study",
    "coefficients.json": "coefficients",
    "family.json": "family",
    "fit.json": "fit",
    "evaluation.json": "evaluation",
    "record.json": "trial",
    "explanations.json": "explanations",
    "comparison.json": "explanation comparison",
}
_OF_FILES = _OF_FOLDERS | {
    "result.json": "training",
    "search.json": "value search",
    "data.json": "data",
    "story.json": "story",
}

MAX_RECORD_BYTES = 100_000_000  # a search keeps every candidate's network


def write_record(path: Path, record: Any, *, durable: bool = True) -> None:
    """Write a record of one of RECORDS as JSON, whole or not at all; not `durable`, a crash may lose it."""
    head = {"kind": _KINDS[type(record)], "format_version": FORMAT_VERSION, "convscale": __version__}
    write_json(path, head | to_table(record, complete=True, nulls=True), durable=durable)


def write_family(family: Family | TrainedFamily, folder: Path) -> None:
    """Write every network as BASELINE-phiPHI.toml, and family.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for member in family.members:
        own = member.member if isinstance(member, TrainedMember) else member
        write_network(own.network, folder / f"{family.baseline.name}-phi{own.phi:g}.toml")
    write_record(folder / "family.json", family)


def read_as(form: type[T], path: Path) -> T:
    """The record of the class `form` in a file, of any format version. Raises ConfigError where it is damaged or of
    another kind, RunError where it is from a newer version."""
    record: T = _read(path, read_json(path, MAX_RECORD_BYTES), _KINDS[form])
    return record


def read_record(path: str | Path) -> Any:
    """The record in a file, or of a folder: of a study, a search for coefficients, a family, a run.

    Raises RunError where there is none or where it is from a newer version, ConfigError where it is damaged or says too
    little, like some files from before format version 2.
    """
    file = Path(path)
    if file.is_dir():
        found = [file / name for name in _OF_FOLDERS if (file / name).exists()]
        if not found:
            raise RunError(f"{file}: there is no result here", hint=f"a folder with one of {', '.join(_OF_FOLDERS)}")
        file = found[0]
    table = read_json(file, MAX_RECORD_BYTES)
    kind = table.get("kind") if isinstance(table, dict) else None
    kind = kind or _OF_FILES.get(file.name)
    if kind is None:
        raise ConfigError(f"{file}: names no kind", hint=f"a record of Convscale's, one of: {', '.join(RECORDS)}")
    return _read(file, table, kind)


def _read(path: Path, table: Any, kind: str) -> Any:
    if isinstance(table, dict) and "format_version" in table:
        require_version(path, table["format_version"])
    if not isinstance(table, dict) or "kind" not in table:
        kind, table = upgraded(kind, table, path)
    elif table["kind"] != kind or kind not in RECORDS:
        raise ConfigError(f"{path}: its kind {table['kind']!r} is not {kind!r}", hint=f"known: {', '.join(RECORDS)}")
    left = {key: value for key, value in table.items() if key not in ("kind", "format_version", "convscale")}
    return read_kept(RECORDS[kind], left, str(path))
