"""Public names and command-line options are pinned here, and every command explains itself."""

from __future__ import annotations

import importlib

import click
import pytest

import convscale as cs
from convscale.cli import main as cli_main
from tests.cli.calling import run

LIMITS = [
    "--macs", "--params", "--activations", "--file", "--file-bytes", "--inference-memory",
    "--inference-memory-bytes", "--training-memory-fixed", "--training-memory-bytes-fixed",
    "--training-memory-per-image", "--training-memory-bytes-per-image", "--latency", "--latency-seconds",
]  # fmt: skip
PROFILE = ["--profile", "--engine", "--threads", "--other-machine"]
EXECUTOR = ["--workers", "--threads", "--cluster", "--cpus", "--gpus", "--storage", "--records", "-q", "--quiet"]
SIDES = ["--resolution", "--max-resolution", "--resolution-step"]
LAW = ["--law", "--alpha", "--beta", "--gamma"]
OPTIONS = {
    "list": ["--json"],
    "show": ["network", "--classes", "--resolution", "--toml", "--json"],
    "cost": ["network", "--classes", "--resolution", "--json"],
    "bench": [
        "networks", "--engine", "--dtype", "--threads", "--batch", "--end-to-end", "--seconds", "--table4", "--picture",
        "-o", "--output", "--json",
    ],
    "scale": [
        "network", "--phi", *LAW, "--depth", "--width", "--resolution", "--published", "--classes", "-o", "--output",
        "--json",
    ],
    "plan": [
        "network", *LIMITS, *LAW, *SIDES, "--coefficients", "--classes", "-o", "--output", "--record", *PROFILE,
        "--verify", "--json",
    ],
    "profile": ["--engine", "--threads", "--dtype", "--networks", "--seed", "-o", "--output", "--json"],
    "fit": [
        "data", *LIMITS, *SIDES, "--baseline", "--weights", "--recipe", "--epochs", "--batch", "--set", "--search",
        "--seed", "--workers", "--label-column", "--layout", "--exclude", "--range", "--dry-run", "-o", "--output",
        *PROFILE, "--json",
    ],
    "train": [
        "network", "--data", "--recipe", "--epochs", "--batch", "--set", "--search", "--tune-rate", "--seed",
        "--workers", "--label-column", "--layout", "--weights", "--resolution", "--exclude", "--range",
        "--checkpoint-seconds", "--compile", "--step-times", "--tensorboard", "--pictures", "--no-pictures",
        "--dry-run", "-o", "--output", "--json",
    ],
    "report": ["sources", "-o", "--output", "--json"],
    "resume": ["run", "--data", "--set", "--epochs", "-o", "--output", "--json"],
    "runs": ["folder", "--all", "--json"],
    "data": ["check", "sets", "data", "--label-column", "--layout", "--range", "-o", "--output", "--json", "--json"],
    "recipes": ["list", "show", "--json", "recipe"],
    "doctor": ["--json"],
    "family": [
        "baseline", *LAW, "--coefficients", "--phi", "-o", "--output", "--train", "--data", "--label-column",
        "--layout", "--range", "--images", "--test-images", "--recipe", "--set", "--epochs", "--seeds", "--dry-run",
        *EXECUTOR, "--json",
    ],
    "convert": [
        "source", "-o", "--output", "--from", "--network", "--padding", "--bn-eps", "--mean", "--std", "--crop",
        "--resolution", "--classes", "--key", "--trunk", "--to", "--verify", "--json",
    ],
    "weights": ["list", "get", "network", "--json", "name", "-o", "--output", "--hub-cache", "--json"],
    "coefficients": [
        "baseline", "--data", "--label-column", "--layout", "--range", "--cost", "--resolution", "--images",
        "--test-images", "--recipe", "--set", "--lengths", "--method", "--share-step", "--step", "--tolerance",
        "--seeds", "--final-seeds", "--reduction", "--keep", "--probe", "--trust", "--budget", "--seed", "--dry-run",
        "-o", "--output", *EXECUTOR, "--json",
    ],
    "study": [
        "list", "show", "run", "status", "resume", "export", "report", "--json", "study",
        "study", "--data", "--label-column", "--layout", "--range", "--images", "--test-images",
        "--baseline", "--resolution", "--costs", "--lengths", "--seeds", "--recipe", "--set", "--coefficients",
        "--equal", "--tune-rate", "--allow-missing", "--dry-run", "-o", "--output", *EXECUTOR, "--json",
        "folder", "--json",
        "folder", *EXECUTOR, "--json",
        "folder", "-o", "--output", "--records", "--json",
        "folder", "--json",
    ],
    "eval": [
        "run", "--data", "--batch", "--workers", "--label-column", "--split", "--layout", "--resolution", "--crop",
        "--predictions", "--pictures", "--keep", "--json",
    ],
    "serve": [
        "run", "--engine", "--port", "--host", "--token", "--threads", "--max-batch", "--max-delay-ms", "--max-bytes",
        "--max-pixels", "--queue",
    ],
    "export": [
        "run", "--to", "--preprocessing", "-o", "--output", "--data", "--images", "--label-column", "--int8",
        "--calibrate", "--max-drop", "--json",
    ],
    "explain": [
        "run", "images", "--method", "--class", "-o", "--output", "--boxes", "--faithful", "--compare", "--json",
    ],
    "predict": ["run", "images", "--top", "--batch", "--workers", "-o", "--output", "--json"],
}  # fmt: skip


@pytest.mark.parametrize("name", cli_main.COMMANDS)
def test_options_are_pinned(name: str) -> None:
    command = cli_main.cli.get_command(click.Context(cli_main.cli), name)
    assert command is not None
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    found = [sub.name for sub in commands[1:]] + [
        option
        for sub in commands
        for parameter in sub.params
        for option in (
            [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else [parameter.name]
        )
    ]
    assert found == OPTIONS[name]
    assert all(getattr(p, "help", "") for p in command.params if p.param_type_name == "option")


def test_the_public_names_are_pinned() -> None:
    assert cs.__all__ == [
        "LBFGS", "SGD", "AdamW", "AddLayer", "Attempt", "Augmentation", "Bench", "BenchRow", "BlockGraph",
        "BoxMeasures", "BoxScores", "Budget", "BudgetError", "CalibrationBin", "Candidate", "Candidates", "Choice",
        "Choices", "Claim", "ClassRecord", "ClusterExecutor", "CoefficientSearch", "Coefficients", "Comparison",
        "CompiledNetwork", "ConfigError", "ConfusedPair", "ConfusionCell", "Constant", "ControlDifference",
        "ConvLayer", "ConvNet", "Conversion", "ConvscaleError", "Cosine", "Cost", "DataChoice", "DataError",
        "DataRecord", "Dataset", "Decision", "Ended", "Engine", "EngineChoice", "EngineTrial", "Environment",
        "EpochRecord", "Estimate", "Evaluation", "EvaluationDetails", "Executor", "ExplainedImage", "Explanation",
        "Explanations", "ExportError", "ExportRecord", "FactorCurve", "FaithfulScores", "Faithfulness", "Family",
        "FamilyMember", "FamilyTraining", "FileImages", "Fit", "FitRecord", "GlobalPoolLayer", "HashedFile",
        "ImageCollection", "InputError", "Int8Attempt", "Int8Record", "LatencyModel", "LatencyPredictor",
        "LayerGraph", "LengthChange", "LinearLayer", "LocalExecutor", "LogitParts", "MapAxis", "MaxPoolLayer",
        "Method", "MissingExtraError", "MistakenImage", "Model", "MultiplyLayer", "NetworkValues", "Noise",
        "NotBenched", "NotFiniteError", "NotUsed", "OrderChange", "PairedDifference", "Plan", "PlannedFit",
        "Prediction", "Preprocessing", "PrimaryAnswer", "Profile", "ProfileFit", "ProfiledNetwork", "Proposal",
        "Provenance", "QuotedTime", "RMSProp", "RateChoice", "Recipe", "Reuse", "Run", "RunError", "Scaling",
        "ScalingLaw", "SearchGrid", "SearchRow", "SearchSettings", "SearchTraining", "SearchedCandidate",
        "Settings", "Staircase", "Steps", "StoredPixels", "Story", "Stream", "StreamItem", "StudyResult",
        "StudyRow", "StudySpec", "SweepRow", "TrainRecord", "TrainedFamily", "TrainedMember", "TrainingError",
        "TrainingSearch", "TrainingStopped", "Trial", "TrialRecord", "TrialResult", "UnitError", "UnknownNameError",
        "Unreachable", "WeightsHeader", "__version__", "bench_networks", "bench_table4", "build", "compile",
        "compound", "compound_law", "convert", "cost", "evaluate", "explain", "export", "family", "features",
        "find_coefficients", "fit", "get_weights", "law", "list_laws", "list_networks", "list_recipes",
        "list_studies", "list_weights", "load", "load_weights", "network", "open_dataset", "open_run", "plan",
        "plan_fit", "plan_resolution", "predict", "predict_latency", "pretrained", "published", "read_coefficients",
        "read_header", "read_record", "read_study", "recipe", "resolve", "resume", "resume_study", "run_study",
        "save_weights", "scale", "search_by_training", "shares_law", "sweep", "train", "train_family",
        "write_network", "write_report",
    ]  # fmt: skip
    assert all(hasattr(cs, name) for name in cs.__all__) and set(cs.__all__) <= set(dir(cs))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cs.nothing  # noqa: B018


def test_every_command_is_listed_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(OPTIONS) == set(cli_main.COMMANDS)
    code, out, _ = run(capsys, "--help")
    assert code == 0 and all(f"  {name} " in out for name in cli_main.COMMANDS)
    for name in cli_main.COMMANDS:
        code, out, _ = run(capsys, name, "--help")
        assert code == 0 and "Usage: convscale" in out
    assert run(capsys, "--version")[1].strip().endswith(cs.__version__)


def test_the_package_knows_its_modules() -> None:
    for name in (*cs.__all__[:-1], "write_network"):
        home = cs._HOME_OF.get(name)
        if home:
            assert hasattr(importlib.import_module(f"convscale.{home}"), name)
