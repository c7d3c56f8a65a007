"""What the commands answer: text, JSON with its keys, and the files they write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import convscale as cs
from convscale.records import flat, read_record
from convscale.schema import from_table
from tests.cli.calling import run, run_json

COST_KEYS = [
    "name", "resolution", "num_classes", "params", "macs", "activations", "file_bytes", "inference_memory_bytes",
    "training_memory_bytes_fixed", "training_memory_bytes_per_image",
]  # fmt: skip


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


@pytest.mark.long
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
    assert code == 0 and "on 1,797 images" in out and "mean per class" in out and "images per second" in out
    assert "most confused" in out and [set(pair) for pair in evaluation["confused"]] == [
        {"true", "predicted", "count"}
    ] * len(evaluation["confused"])
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
    "top5_interval95", "mean_per_class_interval95", "confused",
]  # fmt: skip
RECORD = [
    "top1", "epochs", "steps", "seconds", "images_per_second", "best_top1", "best_epoch", "predicted_seconds",
    "unreadable", "processes", "state_sha256", "validation_top1", "test_top1",
]  # fmt: skip


def test_train_says_what_it_changed_and_how_it_ended(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = (
        "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", 1, "--batch", 64,
        "--set", "optimizer.type=rmsprop", "--set", "learning_rate=1e-3", "--step-times", "--resolution", 8,
        "-o", tmp_path / "run",
    )  # fmt: skip
    code, out, err = run(capsys, *arguments, "--json")
    record = json.loads(out)
    assert code == 0 and list(record) == ["run", *RECORD, "evaluation"]
    assert record["steps"] == 22 and len(record["state_sha256"]) == 64 and 0 <= record["top1"] <= 1
    for said in (
        "epochs 16 -> 1", "batch 32 -> 64", "learning_rate 0.05 -> 0.001", "optimizer.type sgd -> rmsprop",
        "times what the first steps predicted", "ms per step: data ", "images/s",
    ):  # fmt: skip
        assert said in err
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert "learning_rate 0.05 -> 0.001" in settings["changed"]
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "run" / "pictures").iterdir()}
    assert set(pictures) == {
        "confusion.pdf",
        "confusion.png",
        "confusion.svg",
        "first-batch.png",
    }  # one epoch makes no curves
    assert all(content.startswith(b"\x89PNG") for name, content in pictures.items() if name.endswith(".png"))
    again = run_json(capsys, "resume", tmp_path / "run")
    assert again == record  # it is done: nothing is trained


def test_dry_run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = (
        "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--resolution", 8, "--batch", "auto",
        "--dry-run",
    )  # fmt: skip
    estimate = run_json(capsys, *arguments)
    assert estimate["steps"] == 16 * 44 and estimate["batch"] == 32 and estimate["accumulation"] == 1
    parts = estimate["steps"] * estimate["step_seconds"] + 16 * estimate["evaluation_seconds"]
    assert estimate["seconds"] == pytest.approx(parts) and estimate["seconds"] > 0
    assert 0 < estimate["memory_bytes"] < estimate["available_bytes"] and estimate["fitting_batch"] > 32
    assert estimate["disk_bytes"] < estimate["free_disk_bytes"]
    assert not list(tmp_path.iterdir())
    code, out, _ = run(capsys, *arguments)
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["steps", "time", "memory", "disk"]


@pytest.mark.long
def test_tensorboard(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run_json(
        capsys, "train", "small-resnet", "--data", "digits", "--recipe", "digits", "--epochs", 1, "--resolution", 8,
        "--no-pictures", "--tensorboard", "-o", tmp_path / "run",
    )  # fmt: skip
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert "top1" in board.Tags()["scalars"] and [event.step for event in board.Scalars("train_loss")] == [44]


@pytest.mark.long
def test_starting_from_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """linear-probe moves the classifier alone; finetune moves all; other networks are refused."""
    few = ("--data", "digits", "--epochs", 1, "--resolution", 8, "--no-pictures")
    run_json(capsys, "train", "small-resnet", "--recipe", "digits", *few, "-o", tmp_path / "first")
    weights = tmp_path / "first" / "weights.safetensors"
    for name, moved in (("linear-probe", False), ("finetune", True)):
        run_json(
            capsys, "train", "small-resnet", "--recipe", name, *few, "--weights", weights, "-o", tmp_path / name,
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
