"""Every result that is kept: frozen rows that are written to files and read back."""

from convscale.records.coefficients import Candidate, CoefficientSearch, SearchedCandidate
from convscale.records.evaluation import (
    CalibrationBin,
    ClassRecord,
    Evaluation,
    Prediction,
    SweepRow,
    expected_calibration_error,
)
from convscale.records.studies import (
    BASELINE,
    DataChoice,
    FactorCurve,
    LengthChange,
    Method,
    PairedDifference,
    Reuse,
    StudyResult,
    StudyRow,
    StudySpec,
    Unreachable,
)
from convscale.records.training import DataRecord, EpochRecord, Metric, SearchRow, TrainRecord

__all__ = [
    "BASELINE",
    "CalibrationBin",
    "Candidate",
    "ClassRecord",
    "CoefficientSearch",
    "DataChoice",
    "DataRecord",
    "EpochRecord",
    "Evaluation",
    "FactorCurve",
    "LengthChange",
    "Method",
    "Metric",
    "PairedDifference",
    "Prediction",
    "Reuse",
    "SearchRow",
    "SearchedCandidate",
    "StudyResult",
    "StudyRow",
    "StudySpec",
    "SweepRow",
    "TrainRecord",
    "Unreachable",
    "expected_calibration_error",
]
