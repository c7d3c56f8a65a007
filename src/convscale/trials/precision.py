"""The numbers that the trials of a study compute in on CPUs: the first worker chooses, and all that follow do alike."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from convscale.records import PrecisionChoice, read_as, write_record
from convscale.trials.folders import StudyFolder
from convscale.trials.trial import Trial, TrialResult

FILE = "precision.json"


def study_of(run: Path) -> StudyFolder | None:
    """The study whose attempt trains in the folder `run`, None where it stands alone."""
    trials = run.absolute().parent.parent
    return StudyFolder(trials.parent) if trials.name == "trials" else None


def shared_precision(study: StudyFolder, trial: Trial) -> PrecisionChoice:
    """What precision.json of the study says; written by whoever comes first, by measurements on its own trial, or as
    the trials were trained that ended before there was such a file."""
    file = study.path / FILE
    if not file.exists():
        _write_once(file, _as_before(study) or _measured(trial))
    return read_as(PrecisionChoice, file)


def _measured(trial: Trial) -> PrecisionChoice:
    from convscale.training.precision import choose_precision  # which brings PyTorch

    return choose_precision(trial.network, max(2, trial.recipe.batch // trial.recipe.accumulation))


def _as_before(study: StudyFolder) -> PrecisionChoice | None:
    """As the results that are there were computed, None where there are none."""
    records = [record for folder in study.trials() if (record := folder.record()) is not None]
    results: list[TrialResult] = [record.result for record in records if record.result is not None]
    if not results:
        return None
    known = [result.precision for result in results if result.device == "cpu"]
    return PrecisionChoice("bf16" if known[:1] == ["bf16"] else "fp32", "fp32", "as the trials that ended before")


def _write_once(file: Path, choice: PrecisionChoice) -> None:
    """Write the file, unless another worker has come first."""
    ours = file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")
    write_record(ours, choice)
    try:
        os.link(ours, file)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        ours.replace(file)
    finally:
        ours.unlink(missing_ok=True)
