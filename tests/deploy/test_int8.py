"""int8 behind its gate: algorithms first, then layers, then a refusal; what cannot work is refused before."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import convscale as cs
from convscale.deploy.conversion import as_openvino
from convscale.deploy.conversion.openvino_files import save_openvino
from convscale.deploy.conversion.plain import plain
from convscale.deploy.exporting import export
from convscale.deploy.quantisation import searching
from convscale.deploy.quantisation.advice import advice, hard_to_quantise, lite_form
from convscale.deploy.quantisation.algorithms import QUANTISERS, Quantiser, names_of
from convscale.deploy.quantisation.measuring import Images, answers
from convscale.deploy.quantisation.searching import Search
from convscale.deploy.quantisation.sensitivity import by_damage
from convscale.evaluation.opened import logits_of
from convscale.exported import format_named
from convscale.records import read_record
from convscale.statistics.paired_accuracy import PairedChange
from convscale.units import format_count
from tests.cli.calling import run
from tests.deploy.small_networks import CLASSES, NETWORK, photos, trained
from tests.deploy.small_networks import weights as few_weights

DROP = 10  # points: of 360 images


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    for package in ("onnxscript", "onnxruntime", "openvino", "nncf", "sklearn"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits, whose data has a test split."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    cs.fit("digits", cs.Budget(macs="300k"), epochs=2, output=folder, quiet=True)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("to", QUANTISERS)
def test_a_network_that_survives_is_kept_with_what_it_cost(
    digits: Path, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("export", digits, "--to", to, "--int8", "--calibrate", "digits", "--max-drop", DROP)
    code, out, error = run(capsys, *arguments)
    assert code == 0, error
    record = read_record(digits / f"weights-int8{format_named(to).suffix}.json")
    one = record.int8
    assert one is not None and record.dtype == "int8" and one.tried == (one.chosen,) and one.chosen.outcome == "passes"
    whole = cs.evaluate(digits, "digits", quiet=True)
    assert (one.n, one.accuracy_before) == (whole.n, whole.top1)
    assert one.chosen.difference == pytest.approx(one.chosen.accuracy - whole.top1)
    assert cs.evaluate(record.path, "digits", quiet=True).top1 == pytest.approx(whole.top1, abs=0.05)  # of all images
    assert one.calibration_images == 300 and one.max_drop == DROP / 100 and one.worth
    assert record.max_relative_difference > 0 and "passes" in out and "int8 is " in out


# With planted algorithms


def wrong(network: Any, batches: Any, kept: Any) -> Any:
    """Says "b" to everything."""
    model = trained()
    with torch.no_grad():
        model.head.classifier.linear.weight.zero_()  # type: ignore[operator, union-attr]
        model.head.classifier.linear.bias[1] = 9  # type: ignore[index, union-attr]
    return as_openvino(plain(model), {"a": "b"} | HEADER.as_metadata())


def honest(network: Any, batches: Any, kept: Any) -> Any:
    return network


def right_with_four(network: Any, batches: Any, kept: Any) -> Any:
    return network if len(kept) >= 4 else wrong(network, batches, kept)


HEADER = cs.WeightsHeader(NETWORK, cs.Preprocessing(17), CLASSES)


def search(monkeypatch: pytest.MonkeyPatch, **algorithms: Any) -> Search:
    planted = Quantiser(as_openvino, save_openvino, algorithms)
    monkeypatch.setattr(searching, "quantiser", lambda to: planted)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (120, 3, 17, 17), dtype=torch.uint8, generator=random)
    model = trained().eval()
    with torch.no_grad():  # no class is preferred
        logits = logits_of(model, HEADER.preprocessing, fused=False)(pixels)
        model.head.classifier.linear.bias -= logits.mean(0)  # type: ignore[operator, union-attr]
    truth = answers(logits_of(model, HEADER.preprocessing), pixels[20:])  # it is right about all of them
    assert np.mean(truth == 1) < 0.8
    return Search(
        format_named("openvino"), model, HEADER, "images", Images(pixels[:20], pixels[20:], truth), 0.05,
        HEADER.as_metadata(), quiet=True,
    )  # fmt: skip


def test_other_algorithms_come_before_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = search(monkeypatch, wrong=wrong, honest=honest).run()
    assert [one.algorithm for one in chosen.tried] == ["wrong", "honest"]
    assert [one.outcome for one in chosen.tried] == ["fails", "passes"]
    assert chosen.attempt.kept_float == () and chosen.accuracy_before == 1


def test_then_layers_stay_in_float_those_that_suffer_most(monkeypatch: pytest.MonkeyPatch) -> None:
    job = search(monkeypatch, four=right_with_four)
    chosen = job.run()
    assert [len(one.kept_float) for one in chosen.tried] == [0, 2, 3, 6]
    layers = by_damage(job.model, torch.zeros(1, 3, 17, 17))
    assert set(chosen.attempt.kept_float) <= set(layers) and len(layers) == 13
    kept = [set(one.kept_float) for one in chosen.tried]
    assert all(a <= b for a, b in pairwise(kept))  # more and more


def test_then_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    job = search(monkeypatch, wrong=wrong)
    with pytest.raises(cs.ExportError, match="more than 5 points in each of 4 ways: at best wrong"):
        job.run()


def test_what_cannot_be_told_is_said_with_how_many_would(monkeypatch: pytest.MonkeyPatch) -> None:
    job = search(monkeypatch, honest=honest)
    monkeypatch.setattr(searching, "change", lambda *_: PairedChange(4, 1, 100))
    with pytest.raises(cs.ExportError, match="cannot be told with 100 images") as error:
        job.run()
    assert "about" in error.value.hint and "held-out images would tell" in error.value.hint


def test_images_that_are_not_alike_are_found_by_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    job = search(monkeypatch, wrong=wrong)
    own = job.images.held_out[job.images.truth == 1][:1]
    object.__setattr__(job.images, "calibration", own.repeat(20, 1, 1, 1))  # where saying "b" is right
    with pytest.raises(cs.DataError, match="on 100% of the images that it was calibrated on, but on"):
        job.run()


def test_advice_names_what_is_hard_and_what_the_lite_form_costs() -> None:
    hard = cs.network("efficientnet-b0")
    assert hard_to_quantise(hard) == ("silu", "squeeze") and hard_to_quantise(cs.network("mobilenet-v2")) == ()
    lite = lite_form(hard)
    assert hard_to_quantise(lite) == () and replace(cs.cost(lite), name="") == replace(
        cs.cost("efficientnet-lite0"), name=""
    )
    costs = [cs.cost(one) for one in (lite, hard)]
    assert all(format_count(one.params) in advice(hard) and format_count(one.macs) in advice(hard) for one in costs)
    assert advice(lite) == ""


def test_the_layers_that_suffer_most_come_first() -> None:
    model = trained().eval()
    with torch.no_grad():  # of all outputs: one huge weight leaves no steps for the others
        model.head.classifier.linear.weight[:, 0] = 400.0  # type: ignore[index, union-attr]
    images = torch.randn(8, 3, 17, 17, generator=torch.Generator().manual_seed(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert by_damage(model, images)[0] == "head.classifier.linear"
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_nodes_are_found_by_their_layers() -> None:
    nodes = ["__module.stages.1.0.expand.conv/a", "__module.network.stages.1.0.expand.conv/b",
             "stages.1.0.expand.conv/c", "stages.11.0.expand.conv/d", "stages.1.0.expand/e", "Constant_5"]  # fmt: skip
    assert names_of(nodes, ["stages.1.0.expand.conv"]) == nodes[:3] and names_of(nodes, []) == []


# What is refused before anything is computed


def test_bad_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, images = few_weights(tmp_path / "few.safetensors"), photos(tmp_path / "photos", 10)
    for arguments, said in (
        (("--to", "onnx", "--int8"), "belong together"),
        (("--to", "torch", "--int8", "--calibrate", images), "not quantised here"),
        (("--to", "openvino", "--int8", "--calibrate", images, "--max-drop", "0"), "max-drop"),
        (("--to", "openvino", "--int8", "--calibrate", images), "cannot show a drop below 1 points"),
    ):
        code, _, error = run(capsys, "export", file, *arguments)
        assert code == 2 and said in error, error
    with pytest.raises(cs.ConfigError, match="without labels cannot judge"):
        export(file, "openvino", calibrate=images, images=images, quiet=True)
    one = tmp_path / "one"
    photos(one / "train")
    photos(one / "test")
    for name in ("é", "c"):
        for path in (one / "train" / name).iterdir():
            path.unlink()
        (one / "train" / name).rmdir()
    with pytest.raises(cs.DataError, match="all images to calibrate on are of the class 'b'|class"):
        export(file, "openvino", calibrate=one, quiet=True)
    assert {path.name for path in tmp_path.iterdir()} == {"few.safetensors", "photos", "one"}
