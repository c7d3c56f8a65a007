"""Convscale: a compute budget and a set of images to a trained, explained, deployable ConvNet.

    import convscale as cs

    net = cs.network("efficientnet-b0")
    plan = cs.plan(net, cs.Budget(macs="1G", params="8M"))
    model = cs.build(plan.network)

Names are loaded when first used, so planning never waits for PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from convscale.version import __version__

if TYPE_CHECKING:
    from convscale.catalog import list_networks, write_network
    from convscale.costs import Cost, LatencyModel, LatencyPredictor
    from convscale.data import Dataset, FileImages, ImageCollection, StoredPixels, open_dataset
    from convscale.data.image_files import NotUsed
    from convscale.data.images import Stream, StreamItem
    from convscale.deploy.benching import bench_networks, bench_table4
    from convscale.deploy.compilation import compile
    from convscale.deploy.compiled import CompiledNetwork
    from convscale.deploy.engines import Engine
    from convscale.deploy.exporting import export
    from convscale.dialects import Choices, Conversion, convert, get_weights, list_weights, pretrained
    from convscale.errors import (
        BudgetError,
        ConfigError,
        ConvscaleError,
        DataError,
        ExportError,
        InputError,
        MissingExtraError,
        NotFiniteError,
        RunError,
        TrainingError,
        TrainingStopped,
        UnitError,
        UnknownNameError,
    )
    from convscale.evaluation import evaluate, features, predict, sweep
    from convscale.explanation import Explanation, LogitParts, MapAxis, explain
    from convscale.fitting import Choice, Fit, PlannedFit, fit, plan_fit
    from convscale.headers import Provenance, WeightsHeader, read_header
    from convscale.layers import (
        AddLayer,
        BlockGraph,
        ConvLayer,
        GlobalPoolLayer,
        LayerGraph,
        LinearLayer,
        MaxPoolLayer,
        MultiplyLayer,
    )
    from convscale.networks import ConvNet
    from convscale.nn import Model, build, load, load_weights, save_weights
    from convscale.openers import cost, family, network, plan, plan_resolution, predict_latency, resolve, scale
    from convscale.planning import Budget, Family, FamilyMember, Plan, Proposal
    from convscale.preprocessing import Preprocessing
    from convscale.recipes import (
        LBFGS,
        SGD,
        AdamW,
        Augmentation,
        Constant,
        Cosine,
        NetworkValues,
        Recipe,
        RMSProp,
        SearchGrid,
        Staircase,
        Steps,
        list_recipes,
        recipe,
    )
    from convscale.records import (
        Bench,
        BenchRow,
        BoxMeasures,
        BoxScores,
        CalibrationBin,
        Candidate,
        Claim,
        ClassRecord,
        CoefficientSearch,
        Comparison,
        ConfusedPair,
        ConfusionCell,
        ControlDifference,
        DataChoice,
        DataRecord,
        Decision,
        EngineChoice,
        EngineTrial,
        Environment,
        EpochRecord,
        Estimate,
        Evaluation,
        EvaluationDetails,
        ExplainedImage,
        Explanations,
        ExportRecord,
        FactorCurve,
        Faithfulness,
        FaithfulScores,
        FitRecord,
        HashedFile,
        Int8Attempt,
        Int8Record,
        LengthChange,
        Method,
        MistakenImage,
        Noise,
        NotBenched,
        PairedDifference,
        Prediction,
        PrimaryAnswer,
        Profile,
        ProfiledNetwork,
        ProfileFit,
        QuotedTime,
        RateChoice,
        Reuse,
        SearchedCandidate,
        SearchRow,
        SearchTraining,
        Story,
        StudyResult,
        StudyRow,
        StudySpec,
        SweepRow,
        TrainedFamily,
        TrainedMember,
        TrainRecord,
        TrialRecord,
        TrialResult,
        Unreachable,
        read_record,
    )
    from convscale.report.writing import write_report
    from convscale.runs import Run, Settings, open_run
    from convscale.scaling import (
        Coefficients,
        Scaling,
        ScalingLaw,
        compound,
        compound_law,
        law,
        list_laws,
        published,
        read_coefficients,
        shares_law,
    )
    from convscale.search.coefficients import Candidates, SearchSettings, find_coefficients
    from convscale.statistics import OrderChange
    from convscale.studies.coefficients import TrainingSearch, search_by_training
    from convscale.studies.families import FamilyTraining, train_family
    from convscale.studies.running import resume_study, run_study
    from convscale.studies.spec import list_studies, read_study
    from convscale.training import resume, train
    from convscale.trials.cluster import ClusterExecutor
    from convscale.trials.executor import Attempt, Ended, Executor
    from convscale.trials.local import LocalExecutor
    from convscale.trials.trial import Trial

_HOMES = {
    "catalog": "list_networks write_network",
    "costs": "Cost LatencyModel LatencyPredictor",
    "data": "Dataset FileImages ImageCollection StoredPixels open_dataset",
    "data.image_files": "NotUsed",
    "data.images": "Stream StreamItem",
    "deploy.benching": "bench_networks bench_table4",
    "deploy.compilation": "compile",
    "deploy.compiled": "CompiledNetwork",
    "deploy.engines": "Engine",
    "deploy.exporting": "export",
    "dialects": "Choices Conversion convert get_weights list_weights pretrained",
    "errors": (
        "BudgetError ConfigError ConvscaleError DataError ExportError InputError MissingExtraError NotFiniteError "
        "RunError TrainingError TrainingStopped UnitError UnknownNameError"
    ),
    "evaluation": "evaluate features predict sweep",
    "explanation": "Explanation LogitParts MapAxis explain",
    "fitting": "Choice Fit PlannedFit fit plan_fit",
    "headers": "Provenance WeightsHeader read_header",
    "layers": "AddLayer BlockGraph ConvLayer GlobalPoolLayer LayerGraph LinearLayer MaxPoolLayer MultiplyLayer",
    "networks": "ConvNet",
    "nn": "Model build load load_weights save_weights",
    "openers": "cost family network plan plan_resolution predict_latency resolve scale",
    "planning": "Budget Family FamilyMember Plan Proposal",
    "preprocessing": "Preprocessing",
    "recipes": (
        "LBFGS SGD AdamW Augmentation Constant Cosine NetworkValues RMSProp Recipe SearchGrid Staircase "
        "Steps list_recipes recipe"
    ),
    "records": (
        "Bench BenchRow BoxMeasures BoxScores Candidate Claim ClassRecord CoefficientSearch Comparison "
        "ConfusedPair ControlDifference DataChoice DataRecord Decision Environment EpochRecord Estimate "
        "Evaluation ExplainedImage Explanations ExportRecord FactorCurve FaithfulScores Faithfulness FitRecord "
        "HashedFile LengthChange Method Noise NotBenched PairedDifference Prediction PrimaryAnswer Profile "
        "ProfileFit ProfiledNetwork QuotedTime RateChoice Reuse SearchRow SearchTraining SearchedCandidate Story "
        "StudyResult StudyRow StudySpec SweepRow TrainRecord TrainedFamily TrainedMember TrialRecord TrialResult "
        "Unreachable read_record Bench BenchRow Environment NotBenched QuotedTime Candidate Claim ClassRecord "
        "CoefficientSearch ConfusedPair DataChoice DataRecord EpochRecord Estimate Evaluation FactorCurve "
        "Decision FitRecord LengthChange Method Noise PairedDifference Prediction PrimaryAnswer RateChoice Reuse "
        "SearchRow SearchTraining SearchedCandidate Story StudyResult StudyRow StudySpec SweepRow TrainRecord "
        "TrainedFamily TrainedMember TrialRecord TrialResult Unreachable read_record BoxMeasures BoxScores "
        "ControlDifference ExplainedImage Explanations Faithfulness FaithfulScores Comparison ExportRecord "
        "HashedFile EngineChoice EngineTrial Int8Attempt Int8Record CalibrationBin ConfusionCell "
        "EvaluationDetails MistakenImage"
    ),
    "report.writing": "write_report",
    "runs": "Run Settings open_run",
    "scaling": (
        "Coefficients Scaling ScalingLaw compound compound_law law list_laws published read_coefficients shares_law"
    ),
    "search.coefficients": "Candidates SearchSettings find_coefficients",
    "statistics": "OrderChange",
    "studies.coefficients": "TrainingSearch search_by_training",
    "studies.families": "FamilyTraining train_family",
    "studies.running": "resume_study run_study",
    "studies.spec": "list_studies read_study",
    "training": "resume train",
    "trials.cluster": "ClusterExecutor",
    "trials.executor": "Attempt Ended Executor",
    "trials.local": "LocalExecutor",
    "trials.trial": "Trial",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "LBFGS", "SGD", "AdamW", "AddLayer", "Attempt", "Augmentation", "Bench", "BenchRow", "BlockGraph",
    "BoxMeasures", "BoxScores", "Budget", "BudgetError", "CalibrationBin", "Candidate", "Candidates", "Choice",
    "Choices", "Claim", "ClassRecord", "ClusterExecutor", "CoefficientSearch", "Coefficients", "Comparison",
    "CompiledNetwork", "ConfigError", "ConfusedPair", "ConfusionCell", "Constant", "ControlDifference", "ConvLayer",
    "ConvNet", "Conversion", "ConvscaleError", "Cosine", "Cost", "DataChoice", "DataError", "DataRecord", "Dataset",
    "Decision", "Ended", "Engine", "EngineChoice", "EngineTrial", "Environment", "EpochRecord", "Estimate",
    "Evaluation", "EvaluationDetails", "Executor", "ExplainedImage", "Explanation", "Explanations", "ExportError",
    "ExportRecord", "FactorCurve", "FaithfulScores", "Faithfulness", "Family", "FamilyMember", "FamilyTraining",
    "FileImages", "Fit", "FitRecord", "GlobalPoolLayer", "HashedFile", "ImageCollection", "InputError",
    "Int8Attempt", "Int8Record", "LatencyModel", "LatencyPredictor", "LayerGraph", "LengthChange", "LinearLayer",
    "LocalExecutor", "LogitParts", "MapAxis", "MaxPoolLayer", "Method", "MissingExtraError", "MistakenImage",
    "Model", "MultiplyLayer", "NetworkValues", "Noise", "NotBenched", "NotFiniteError", "NotUsed", "OrderChange",
    "PairedDifference", "Plan", "PlannedFit", "Prediction", "Preprocessing", "PrimaryAnswer", "Profile",
    "ProfileFit", "ProfiledNetwork", "Proposal", "Provenance", "QuotedTime", "RMSProp", "RateChoice", "Recipe",
    "Reuse", "Run", "RunError", "Scaling", "ScalingLaw", "SearchGrid", "SearchRow", "SearchSettings",
    "SearchTraining", "SearchedCandidate", "Settings", "Staircase", "Steps", "StoredPixels", "Story", "Stream",
    "StreamItem", "StudyResult", "StudyRow", "StudySpec", "SweepRow", "TrainRecord", "TrainedFamily",
    "TrainedMember", "TrainingError", "TrainingSearch", "TrainingStopped", "Trial", "TrialRecord", "TrialResult",
    "UnitError", "UnknownNameError", "Unreachable", "WeightsHeader", "__version__", "bench_networks",
    "bench_table4", "build", "compile", "compound", "compound_law", "convert", "cost", "evaluate", "explain",
    "export", "family", "features", "find_coefficients", "fit", "get_weights", "law", "list_laws", "list_networks",
    "list_recipes", "list_studies", "list_weights", "load", "load_weights", "network", "open_dataset", "open_run",
    "plan", "plan_fit", "plan_resolution", "predict", "predict_latency", "pretrained", "published",
    "read_coefficients", "read_header", "read_record", "read_study", "recipe", "resolve", "resume", "resume_study",
    "run_study", "save_weights", "scale", "search_by_training", "shares_law", "sweep", "train", "train_family",
    "write_network", "write_report",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'convscale' has no attribute {name!r}")
    value = getattr(import_module(f"convscale.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
