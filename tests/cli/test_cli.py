"""The command line: options, exit codes, JSON, and what it does without PyTorch."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

import convscale as cs
from convscale.cli import main as cli_main
from convscale.records import flat, read_record
from convscale.schema import from_table

LIMITS = [
    "--macs", "--params", "--activations", "--file", "--file-bytes", "--inference-memory",
    "--inference-memory-bytes", "--training-memory-fixed", "--training-memory-bytes-fixed",
    "--training-memory-per-image", "--training-memory-bytes-per-image",
]  # fmt: skip
EXECUTOR = ["--workers", "--threads", "--cluster", "--cpus", "--gpus", "--storage", "-q", "--quiet"]
SIDES = ["--resolution", "--max-resolution", "--resolution-step"]
LAW = ["--law", "--alpha", "--beta", "--gamma"]
OPTIONS = {
    "list": ["--json"],
    "show": ["network", "--classes", "--resolution", "--toml", "--json"],
    "cost": ["network", "--classes", "--resolution", "--json"],
    "scale": [
        "network", "--phi", *LAW, "--depth", "--width", "--resolution", "--published", "--classes", "-o", "--output",
        "--json",
    ],
    "plan": ["network", *LIMITS, *LAW, *SIDES, "--coefficients", "--classes", "-o", "--output", "--record", "--json"],
    "fit": [
        "data", *LIMITS, *SIDES, "--baseline", "--weights", "--recipe", "--epochs", "--batch", "--set", "--search",
        "--seed", "--workers", "--label-column", "--exclude", "-o", "--output", "--json",
    ],
    "train": [
        "network", "--data", "--recipe", "--epochs", "--batch", "--set", "--search", "--seed", "--workers",
        "--label-column", "--weights", "--resolution", "--exclude", "--checkpoint-seconds", "--compile",
        "--step-times", "--tensorboard", "--dry-run", "-o", "--output", "--json",
    ],
    "resume": ["run", "--data", "--set", "--json"],
    "runs": ["folder", "--all", "--json"],
    "data": ["check", "sets", "data", "--label-column", "-o", "--output", "--json", "--json"],
    "recipes": ["list", "show", "--json", "recipe"],
    "doctor": ["--json"],
    "family": [
        "baseline", *LAW, "--coefficients", "--phi", "-o", "--output", "--train", "--data", "--label-column",
        "--images", "--test-images", "--recipe", "--set", "--epochs", "--seeds", "--dry-run", *EXECUTOR, "--json",
    ],
    "convert": [
        "source", "-o", "--output", "--from", "--network", "--padding", "--bn-eps", "--mean", "--std", "--crop",
        "--resolution", "--classes", "--to", "--verify", "--json",
    ],
    "weights": ["list", "get", "network", "--json", "name", "-o", "--output", "--hub-cache", "--json"],
    "coefficients": [
        "baseline", "--data", "--label-column", "--cost", "--resolution", "--images", "--test-images", "--recipe",
        "--set", "--lengths", "--method", "--share-step", "--step", "--tolerance", "--seeds", "--final-seeds",
        "--reduction", "--keep", "--probe", "--trust", "--budget", "--seed", "--dry-run", "-o", "--output", *EXECUTOR,
        "--json",
    ],
    "study": [
        "list", "show", "run", "status", "resume", "export", "--json", "study",
        "study", "--data", "--label-column", "--images", "--test-images", "--baseline", "--resolution",
        "--costs", "--lengths", "--seeds", "--recipe", "--set", "--coefficients", "--dry-run", "-o", "--output",
        *EXECUTOR, "--json",
        "folder", "--json",
        "folder", *EXECUTOR, "--json",
        "folder", "-o", "--output",
    ],
    "eval": [
        "run", "--data", "--batch", "--workers", "--label-column", "--resolution", "--crop", "--predictions",
        "--pictures", "--json",
    ],
    "predict": ["run", "images", "--top", "--json"],
}  # fmt: skip
COST_KEYS = [
    "name", "resolution", "num_classes", "params", "macs", "activations", "file_bytes", "inference_memory_bytes",
    "training_memory_bytes_fixed", "training_memory_bytes_per_image",
]  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli_main.run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


@pytest.mark.parametrize("name", cli_main.COMMANDS)
def test_options_are_pinned(name: str) -> None:
    command = cli_main.cli.get_command(click.Context(cli_main.cli), name)
    assert command is not None
    commands = [command, *(command.commands.values() if isinstance(command, click.Group) else ())]
    found = [sub.name for sub in commands[1:]] + [
        option
        for sub in commands
        for parameter in sub.params
        for option in (parameter.opts if parameter.param_type_name == "option" else [parameter.name])
    ]
    assert found == OPTIONS[name]
    assert all(getattr(p, "help", "") for p in command.params if p.param_type_name == "option")


def test_the_public_names_are_pinned() -> None:
    assert cs.__all__ == [
        "LBFGS", "SGD", "AdamW", "AddLayer", "Attempt", "Augmentation", "BlockGraph", "Budget", "BudgetError",
        "Candidate", "Candidates", "Choice", "Choices", "ClassRecord", "ClusterExecutor", "CoefficientSearch",
        "Coefficients", "ConfigError", "Constant", "ConvLayer", "ConvNet", "Conversion", "ConvscaleError",
        "Cosine", "Cost", "DataChoice", "DataError", "DataRecord", "Dataset", "Ended", "EpochRecord",
        "Evaluation", "Executor", "FactorCurve", "Family", "FamilyMember", "FamilyTraining", "FileImages",
        "Fit", "FitRecord", "GlobalPoolLayer", "ImageCollection", "InputError", "LayerGraph", "LengthChange",
        "LinearLayer", "LocalExecutor", "MaxPoolLayer", "Method", "MissingExtraError", "Model", "MultiplyLayer",
        "NetworkValues", "NotFiniteError", "OrderChange", "PairedDifference", "Plan", "Prediction",
        "Preprocessing", "Proposal", "Provenance", "RMSProp", "Recipe", "Reuse", "Run", "RunError", "Scaling",
        "ScalingLaw", "SearchGrid", "SearchRow", "SearchSettings", "SearchTraining", "SearchedCandidate",
        "Settings", "Staircase", "Steps", "Stream", "StreamItem", "StudyResult", "StudyRow", "StudySpec",
        "SweepRow", "TrainRecord", "TrainedFamily", "TrainedMember", "TrainingError", "TrainingSearch",
        "TrainingStopped", "Trial", "TrialRecord", "TrialResult", "UnitError", "UnknownNameError",
        "Unreachable", "WeightsHeader", "__version__", "build", "compound", "compound_law", "convert", "cost",
        "evaluate", "family", "features", "find_coefficients", "fit", "get_weights", "law", "list_laws",
        "list_networks", "list_recipes", "list_studies", "list_weights", "load", "load_weights", "network",
        "open_dataset", "open_run", "plan", "plan_resolution", "predict", "pretrained", "published",
        "read_coefficients", "read_header", "read_record", "read_study", "recipe", "resolve", "resume",
        "resume_study", "run_study", "save_weights", "scale", "search_by_training", "shares_law", "sweep",
        "train", "train_family", "write_network",
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


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_json(capsys, "list")["networks"]
    assert {"name": "resnet-50", "resolution": 224, "params": 25557032, "macs": 4089184256}.items() <= rows[
        [row["name"] for row in rows].index("resnet-50")
    ].items()
    assert "efficientnet-lite0" in run(capsys, "list")[1]


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    stages = run_json(capsys, "show", "efficientnet-b0")["stages"]
    assert [row["in_size"] for row in stages] == [224, 112, 112, 56, 28, 14, 14, 7, 7]  # table 1 of the paper
    assert stages[5]["operator"] == "MBConv6, k5x5, SE" and stages[5]["repeats"] == 3
    code, out, _ = run(capsys, "show", "efficientnet-b0", "--resolution", "240")
    assert code == 0 and "240x240" in out and "receptive field" in out and "MBConv6, k3x3, SE" in out


def test_cost(capsys: pytest.CaptureFixture[str]) -> None:
    cost = run_json(capsys, "cost", "efficientnet-b0", "--classes", "10", "--resolution", "160")
    assert list(cost) == COST_KEYS
    assert (cost["resolution"], cost["num_classes"], cost["params"]) == (160, 10, 5288548 - 990 * 1281)
    assert "5,288,548" in run(capsys, "cost", "efficientnet-b0")[1]


def test_scale(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = run_json(capsys, "scale", "efficientnet-b0", "--phi", 1, "-o", tmp_path / "net.toml")
    assert list(out) == [
        "law", "phi", "scaling", "network", "cost", "binding", "used", "naive", "alternatives",
    ]  # fmt: skip
    assert (out["binding"], out["used"], out["naive"], out["alternatives"]) == ([], {}, {}, [])
    assert out["law"] == "compound" and out["phi"] == 1 and list(out["cost"]) == COST_KEYS
    assert out["scaling"] == {"depth": 1.2, "width": 1.1, "resolution": 1.15}
    assert cs.network(tmp_path / "net.toml") == from_table(cs.ConvNet, out["network"])
    published = run_json(capsys, "scale", "efficientnet-b0", "--published", "b3")
    assert from_table(cs.ConvNet, published["network"]) == cs.network("efficientnet-b3")
    wide = run_json(capsys, "scale", "resnet-50", "--width", 2)
    assert wide["scaling"] == {"depth": 1, "width": 2, "resolution": 1}
    assert "true MACs x2.57" in run(capsys, "scale", "efficientnet-b0", "--phi", 1)[1]
    lawful = run_json(capsys, "scale", "resnet-50", "--phi", 2, "--law", "depth")
    assert lawful["scaling"]["depth"] == 4


def test_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ("plan", "efficientnet-b0", "--macs", "1G", "--params", "9.5M", "--inference-memory", "64MB")
    kept = tmp_path / "plan.json"
    out = run_json(capsys, *arguments, "--classes", 10, "-o", tmp_path / "net.toml", "--record", kept)
    assert flat(read_record(kept)) == out
    assert list(out) == [
        "law", "evidence", "phi", "scaling", "blocks", "network", "cost", "used", "off_law", "binding", "naive",
        "alternatives",
    ]  # fmt: skip
    assert set(out["used"]) == {"macs", "params", "inference_memory_bytes"} and max(out["used"].values()) <= 1
    assert set(out["binding"]) <= set(out["used"]) and out["naive"]["phi"] > 0
    net = cs.network(tmp_path / "net.toml")
    assert out["blocks"] == [16, net.num_blocks]
    assert net.num_classes == 10 and cs.cost(net).as_dict() == out["cost"]
    assert net == cs.scale(cs.network("efficientnet-b0").with_classes(10), cs.Scaling(**out["scaling"]))
    text = run(capsys, *arguments)[1]
    assert "binding: " in text and "naive" in text and "found for EfficientNet-B0 on ImageNet" in text
    (tmp_path / "mine.toml").write_text("alpha = 1.4\nbeta = 1.1\ngamma = 1.05\n")
    text = run(capsys, "plan", "resnet-50", "--macs", "8G", "--coefficients", tmp_path / "mine.toml")[1]
    assert "mine.toml" in text


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["plna"], "unknown command 'plna'", "did you mean 'plan'?"),
        (["cost", "efficientnet-b9"], "unknown network 'efficientnet-b9'", "did you mean 'efficientnet-b8'"),
        (["cost"], "Missing argument 'NETWORK'", "convscale cost --help"),
        (["cost", "resnet-50", "--resolutoin", "3"], "No such option", "convscale cost --help"),
        (["cost", "resnet-50", "--resolution", "x"], "not a valid integer", "--help"),
        (["cost", "resnet-50", "--resolution", "224x320"], "inputs are square; give one side, 224 or 320", "--help"),
        (["show", "resnet-50", "--resolution", "224,320"], "inputs are square", "--help"),
        (["plan", "resnet-50", "--macs", "1G", "--resolution", "320X180"], "inputs are square", "--help"),
        (["fit", "digits", "--macs", "1M", "--max-resolution", "8x16"], "inputs are square", "--help"),
        (["eval", "x", "--data", "y", "--resolution", "8,8x16"], "inputs are square", "--help"),
        (["train", "resnet-50", "--data", "digits", "-o", "x", "--resolution", "8x16"], "inputs are square", "--help"),
        (["convert", "x.pth", "-o", "y", "--resolution", "8x16"], "inputs are square", "--help"),
        (["coefficients", "resnet-50", "--data", "digits", "--resolution", "8x16"], "inputs are square", "--help"),
        (["study", "run", "demo", "--resolution", "8x16"], "inputs are square", "--help"),
        (["plan", "resnet-50", "--macs", "1G", "--resolution", "240", "--max-resolution", "224"], "is above", "leave"),
        (["scale", "efficientnet-b0", "--resolution", "240"], "240 is a multiplier here", "--resolution 1.071"),
        (["scale", "small-mbconv", "--resolution", "40"], "40 is a multiplier here", "--resolution 1.25"),
        (["cost", "resnet-50", "--resolution", "16"], "resolution 16 is not allowed", "32 to"),
        (["cost", "resnet-50", "--classes", "0"], "num_classes 0", "1 to"),
        (["cost", "none.toml"], "none.toml: cannot be read", ""),
        (["plan", "efficientnet-b0"], "at least one limit", "macs 600M"),
        (["plan", "efficientnet-b0", "--macs", "1X"], "macs: '1X' is not a quantity", "600M"),
        (["plan", "efficientnet-b0", "--macs", "nan"], "macs: 'nan'", "600M"),
        (["plan", "efficientnet-b0", "--macs=-1G"], "macs: '-1G'", "600M"),
        (["plan", "efficientnet-b0", "--macs", "10k"], "smallest achievable 3", "raise the limit"),
        (["plan", "efficientnet-b3", "--macs", "1G"], "already scaled", "scale efficientnet-b0"),
        (["plan", "resnet-50", "--macs", "1G", "--law", "compond"], "unknown scaling law", "'compound'"),
        (["plan", "resnet-50", "--macs", "1G", "--law", "depth", "--alpha", "2"], "takes no alpha", "--law compound"),
        (["plan", "resnet-50", "--macs", "1G", "--coefficients", "no.toml"], "no.toml: cannot be read", ""),
        (["plan", "resnet-50", "--macs", "1G", "--coefficients", "x.toml", "--law", "depth"], "already says", "--help"),
        (["scale", "resnet-50"], "give one of --phi", "--help"),
        (["scale", "resnet-50", "--depth", "2", "--law", "width"], "go with --phi", "--help"),
        (["scale", "resnet-50", "--phi", "1", "-o", "no/such/net.toml"], "no file can be written there", "--help"),
        (["scale", "resnet-50", "--phi", "1", "--depth", "2"], "give one of", "--help"),
        (["scale", "resnet-50", "--phi", "nan"], "phi nan", ""),
        (["scale", "resnet-50", "--width", "0"], "width multiplier 0.0", "above 0"),
        (["scale", "resnet-50", "--published", "b9"], "unknown published scaling", "allowed: b0"),
        (["fit", "digits"], "at least one limit", ""),
        (["fit", "nowhere", "--macs", "1M"], "nowhere: no such file or folder", "'digits'"),
        (["fit", "digits", "--macs", "1M", "--recipe", "digit"], "unknown recipe", "'digits'"),
        (["fit", "digits", "--macs", "1M", "--baseline", "resnet50"], "unknown network", "'resnet-50'"),
        (["train", "resnet-50", "--data", "digits"], "Missing option '-o'", "--help"),
        (["eval", "nowhere", "--data", "digits"], "nowhere: no such run folder or weights file", ""),
        (["eval", "x", "--data", "y", "--resolution", "224,x"], "'--resolution': 'x' is not a whole number", "--help"),
        (["eval", "x", "--data", "y", "--resolution", "0"], "'0' is not a whole number from 1 to 16384", "--help"),
        (["eval", "x", "--data", "y", "--crop", "0.9,nan"], "'--crop': 'nan' is not a number from 0.1 to 1", "--help"),
        (["eval", "x", "--data", "y", "--crop", "1,"], "'' is not a number from 0.1 to 1", "--help"),
        (["eval", "x", "--data", "y", "--crop", "1,.5", "--predictions", "p"], "are of one --resolution", "--help"),
        (["predict", "nowhere", "x.png"], "nowhere: no such run folder", ""),
    ],
)
def test_bad_input_exits_with_2_and_one_hint(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, hint: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2 and out == ""
    lines = err.splitlines()
    assert lines[0].startswith("error: ") and message in lines[0]
    assert len(lines) <= 2 and (hint in lines[1] if hint else True)


def test_train_eval_predict(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    net = tmp_path / "tiny.toml"
    small = run_json(capsys, "plan", "small-resnet", "--macs", "1M", "--classes", 10, "-o", net)
    text = net.read_text().replace("num_classes = 10", "num_classes = 10\ninput_channels = 1")
    net.write_text(text)
    assert small["cost"]["macs"] <= 1e6
    arguments = ("train", net, "--data", "digits", "--recipe", "digits", "--epochs", 1, "-o", tmp_path / "run")
    trained = run_json(capsys, *arguments)
    assert trained["epochs"] == 1
    evaluation = run_json(capsys, "eval", tmp_path / "run", "--data", "digits")
    assert list(evaluation) == EVALUATION
    swept = run_json(capsys, "eval", tmp_path / "run", "--data", "digits", "--resolution", "8,16", "--crop", "1,0.8")
    assert [list(row) for row in swept["rows"]] == [["resolution", "crop", *EVALUATION]] * 4
    assert [(row["resolution"], row["crop"]) for row in swept["rows"]] == [(8, 1), (8, 0.8), (16, 1), (16, 0.8)]
    code, out, _ = run(capsys, "eval", tmp_path / "run", "--data", "digits", "--resolution", "8, 16")
    assert code == 0 and "calibration error" in out and f"{swept['rows'][0]['top1']:.4f}" in out
    assert evaluation["n"] == 359 and evaluation["top1"] == pytest.approx(trained["evaluation"]["top1"], abs=0.01)
    code, out, _ = run(capsys, "eval", tmp_path / "run" / "weights.safetensors", "--data", "digits")
    assert code == 0 and "on 1,797 images" in out and "mean per class" in out and "images a second" in out
    image = tmp_path / "digit.png"
    cs.open_dataset("digits").test.image(0).save(image)
    predictions = run_json(capsys, "predict", tmp_path / "run", image, image)["predictions"]
    assert len(predictions) == 2 and len(predictions[0]["classes"]) == 5
    assert set(predictions[0]["classes"][0]) == {"class", "probability"}
    assert (
        run_json(capsys, "cost", tmp_path / "run")["macs"]
        == run_json(capsys, "cost", tmp_path / "run" / "weights.safetensors")["macs"]
    )
    code, _, err = run(capsys, *arguments)
    assert code == 2 and "not empty" in err


EVALUATION = [
    "top1", "top5", "n", "interval95", "per_class", "unreadable", "mean_per_class", "ece", "images_per_second",
    "top5_interval95", "mean_per_class_interval95",
]  # fmt: skip
RECORD = [
    "top1", "epochs", "steps", "seconds", "images_per_second", "best_top1", "best_epoch", "predicted_seconds",
    "unreadable", "processes", "state_sha256",
]  # fmt: skip


def test_train_says_what_it_changed_and_how_it_ended(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = (
        "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", 1, "--batch", 64, "--set",
        "optimizer.type=rmsprop", "--set", "learning_rate=1e-3", "--step-times", "-o", tmp_path / "run",
    )  # fmt: skip
    code, out, err = run(capsys, *arguments, "--json")
    record = json.loads(out)
    assert code == 0 and list(record) == ["run", *RECORD, "evaluation"]
    assert record["steps"] == 22 and len(record["state_sha256"]) == 64 and 0 <= record["top1"] <= 1
    for said in (
        "epochs 16 -> 1", "batch 32 -> 64", "learning_rate 0.05 -> 0.001", "optimizer.type sgd -> rmsprop",
        "times what the first steps predicted", "ms a step: data ", "images/s",
    ):  # fmt: skip
        assert said in err
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert "learning_rate 0.05 -> 0.001" in settings["changed"]
    for picture in ("curves.png", "confusion.png", "first-batch.png"):
        assert (tmp_path / "run" / "pictures" / picture).read_bytes().startswith(b"\x89PNG")
    again = run_json(capsys, "resume", tmp_path / "run")
    assert again == record  # it is done: nothing is trained


def test_dry_run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("train", "small-resnet", "--data", "digits", "--recipe", "digits", "--batch", "auto", "--dry-run")
    estimate = run_json(capsys, *arguments)
    assert estimate["steps"] == 16 * 44 and estimate["batch"] == 32 and estimate["accumulation"] == 1
    parts = estimate["steps"] * estimate["step_seconds"] + 16 * estimate["evaluation_seconds"]
    assert estimate["seconds"] == pytest.approx(parts) and estimate["seconds"] > 0
    assert 0 < estimate["memory_bytes"] < estimate["available_bytes"] and estimate["fitting_batch"] > 32
    assert estimate["disk_bytes"] < estimate["free_disk_bytes"]
    assert not list(tmp_path.iterdir())
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["steps", "time", "memory", "disk"]


def test_tensorboard(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run_json(
        capsys, "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", 1, "--tensorboard", "-o",
        tmp_path / "run",
    )  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert "top1" in board.Tags()["scalars"] and [event.step for event in board.Scalars("train_loss")] == [44]


def test_starting_from_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """linear-probe moves the classifier alone; finetune moves all; other networks are refused."""
    first = ("train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", 1, "-o", tmp_path / "first")
    run_json(capsys, *first)
    weights = tmp_path / "first" / "weights.safetensors"
    for name, moved in (("linear-probe", False), ("finetune", True)):
        run_json(
            capsys, "train", "small-resnet", "--data", "digits", "--recipe", name, "--epochs", 1, "--weights", weights,
            "-o", tmp_path / name,
        )  # fmt: skip
        states = [cs.load_weights(path)[0].state_dict() for path in (weights, tmp_path / name / "weights.safetensors")]
        changed = {key for key, value in states[0].items() if not value.equal(states[1][key])}
        assert {"head.classifier.linear.weight", "head.classifier.linear.bias"} <= changed
        assert (len(changed) > 2) == moved
    code, _, err = run(
        capsys, "train", "small-mbconv", "--data", "digits", "--weights", weights, "-o", tmp_path / "other"
    )
    assert code == 2 and "weights of another network" in err


def test_images_left_out(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A list from `data check` is trained by, kept in the run, and held to by eval and resume."""
    digits = cs.open_dataset("digits").train
    for index in range(60):
        folder = tmp_path / "data" / str(digits.labels[index] % 2)
        folder.mkdir(parents=True, exist_ok=True)
        digits.image(index).save(folder / f"{index}.png")
    (tmp_path / "data" / "0" / "bad.png").write_bytes(b"nothing")
    code, _, err = run(capsys, "data", "check", tmp_path / "data", "-o", tmp_path / "list.txt")
    assert code == 0 and "1 images to leave out" in err
    trained = run_json(
        capsys, "train", "small-resnet", "--data", tmp_path / "data", "--recipe", "digits", "--epochs", 1, "--exclude",
        tmp_path / "list.txt", "-o", tmp_path / "run",
    )  # fmt: skip
    (tmp_path / "list.txt").unlink()
    assert trained["unreadable"] == 0 and "all" in (tmp_path / "run" / "exclude.json").read_text()
    found = run_json(capsys, "eval", tmp_path / "run", "--data", tmp_path / "data")
    assert found["n"] == trained["evaluation"]["n"] and found["top1"] == trained["evaluation"]["top1"]


def test_nothing_is_written_to_the_home_but_the_cache(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    command = ["-m", "convscale", "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", "1"]
    unset = {name: "" for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR")}
    result = fresh(*command, "-o", str(tmp_path / "run"), HOME=str(home), **unset)
    assert result.returncode == 0, result.stderr
    assert {str(path.relative_to(home)) for path in home.glob("*/*")} <= {".cache/convscale"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "lerning_rate=1"], "did you mean 'learning_rate'"),
        (["--set", "optimizer.type=lion"], "optimizer.type: unknown 'lion'"),
        (["--batch", "many"], "neither auto nor a whole number"),
        (["--batch", "1"], "neither auto nor a whole number"),
        (["--recipe", "digist"], "did you mean 'digits'"),
        (["--epochs", "0"], "--epochs"),
        (["--checkpoint-seconds", "-1"], "--checkpoint-seconds"),
    ],
)
def test_mistakes_are_told_before_pytorch_is_loaded(tmp_path: Path, arguments: list[str], message: str) -> None:
    code = (
        "import sys; from convscale.cli.main import run; code = run(sys.argv[1:]); "
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules; sys.exit(code)"
    )
    result = fresh("-c", code, "train", "small-resnet", "--data", "digits", "-o", str(tmp_path / "run"), *arguments)
    assert result.returncode == 2 and message in result.stderr.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def fresh(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ | environment, check=False
    )


WITHOUT_TORCH = """
import sys
for name in ("torch", "numpy", "PIL", "pyarrow", "sklearn"):
    sys.modules[name] = None
from convscale.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["list"], 0),
        (["show", "efficientnet-b0"], 0),
        (["cost", "resnet-50", "--json"], 0),
        (["scale", "efficientnet-b0", "--phi", "2"], 0),
        (["plan", "efficientnet-b0", "--macs", "1G", "--json"], 0),
        (["plan", "efficientnet-b0", "--macs", "1X"], 2),
        (["fit", "digits", "--macs", "1X"], 2),
        (["fit", "digits", "--macs", "1M", "--baseline", "zebra"], 2),
        (["fit", "digits", "--macs", "1M", "--recipe", "zebra"], 2),
        (["fit", "digits", "--macs", "1M", "--seed", "-1"], 2),
        (["eval", "nowhere", "--data", "digits"], 2),
        (["predict", "nowhere", "x.png"], 2),
        (["train", "efficientnet-b9", "--data", "digits", "-o", "x"], 2),
        (["train", "efficientnet-b0", "--data", "digits", "--recipe", "zebra", "-o", "x"], 2),
    ],
)
def test_what_needs_no_torch(arguments: list[str], code: int) -> None:
    result = fresh("-c", WITHOUT_TORCH, *arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr


def test_python_m_and_a_reader_that_goes_away() -> None:
    assert fresh("-m", "convscale", "--version").stdout.strip() == f"convscale, version {cs.__version__}"
    child = subprocess.run(
        f"{sys.executable} -m convscale list | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert "name" in child.stdout and "Traceback" not in child.stderr and "BrokenPipe" not in child.stderr


def test_interruption_has_its_exit_codes(tmp_path: Path) -> None:
    for index, (number, code) in enumerate(((signal.SIGINT, 130), (signal.SIGTERM, 143))):
        command = [sys.executable, "-m", "convscale", "fit", "digits", "--macs", "5M", "-o", str(tmp_path / str(index))]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        metrics = tmp_path / str(index) / "metrics.jsonl"
        deadline = time.monotonic() + 60
        while not metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
        assert child.returncode == code, err
        assert out == "" and "Traceback" not in err


def test_commands_leave_no_trace_in_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    result = fresh("-m", "convscale", "plan", "efficientnet-b0", "--macs", "1G", HOME=str(home))
    assert result.returncode == 0 and list(home.iterdir()) == []


def test_the_package_knows_its_modules() -> None:
    for name in (*cs.__all__[:-1], "write_network"):
        home = cs._HOME_OF.get(name)
        if home:
            assert hasattr(importlib.import_module(f"convscale.{home}"), name)
