"""Every result that is kept: frozen dataclasses of plain data that are written to files and read back."""

from convscale.flattening import flat
from convscale.records.coefficients import Candidate, CoefficientSearch, SearchedCandidate, SearchTraining
from convscale.records.estimates import Estimate
from convscale.records.evaluation import (
    CalibrationBin,
    ClassRecord,
    ConfusedPair,
    Evaluation,
    Metric,
    Prediction,
    PredictionSet,
    Sweep,
    SweepRow,
    expected_calibration_error,
)
from convscale.records.files import RECORDS, read_as, read_record, write_family, write_record
from convscale.records.networks import FitRecord, ScaledNetwork, TrainedFamily, TrainedMember
from convscale.records.runs import Decision, Doing, ProgressRecord, RunRow, RunState, RunStory, Story
from convscale.records.studies import BASELINE, DataChoice, FactorCurve, Method, StudySpec
from convscale.records.study_results import (
    Claim,
    LengthChange,
    Noise,
    PairedDifference,
    PrimaryAnswer,
    Reuse,
    StudyResult,
    StudyRow,
    Unreachable,
)
from convscale.records.training import DataRecord, EpochRecord, SearchRow, TrainedRun, TrainRecord, ValueSearch
from convscale.records.trials import TrialRecord, TrialResult

__all__ = [
    "BASELINE",
    "RECORDS",
    "CalibrationBin",
    "Candidate",
    "Claim",
    "ClassRecord",
    "CoefficientSearch",
    "ConfusedPair",
    "DataChoice",
    "DataRecord",
    "Decision",
    "Doing",
    "EpochRecord",
    "Estimate",
    "Evaluation",
    "FactorCurve",
    "FitRecord",
    "LengthChange",
    "Method",
    "Metric",
    "Noise",
    "PairedDifference",
    "Prediction",
    "PredictionSet",
    "PrimaryAnswer",
    "ProgressRecord",
    "Reuse",
    "RunRow",
    "RunState",
    "RunStory",
    "ScaledNetwork",
    "SearchRow",
    "SearchTraining",
    "SearchedCandidate",
    "Story",
    "StudyResult",
    "StudyRow",
    "StudySpec",
    "Sweep",
    "SweepRow",
    "TrainRecord",
    "TrainedFamily",
    "TrainedMember",
    "TrainedRun",
    "TrialRecord",
    "TrialResult",
    "Unreachable",
    "ValueSearch",
    "expected_calibration_error",
    "flat",
    "read_as",
    "read_record",
    "write_family",
    "write_record",
]
