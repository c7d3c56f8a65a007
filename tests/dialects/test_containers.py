"""Weights as training programs leave them: each file is read right, or refused for the right reason."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import convscale as cs
from convscale.dialects import Choices, Conversion, convert
from convscale.dialects.layout import recognise
from convscale.dialects.reading import read_foreign
from convscale.errors import ConfigError, RunError
from tests import peers
from tests.dialects.trainers import (
    CHECKPOINTS,
    Checkpoint,
    Source,
    State,
    averaged,
    below,
    elsewhere,
    parameters,
    save,
    source_of,
)

# torch.jit is deprecated, and its archives are around.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit")
NETWORK = "small-mbconv"


@pytest.fixture(scope="module")
def source() -> Source:
    model = cs.build(cs.network(NETWORK).with_classes(3), seed=0)
    peers.randomise_norms(model)
    return source_of(model)


def converted(file: Path) -> tuple[Conversion, State]:
    """What a conversion did, and the tensors that it wrote."""
    out = file.with_name("out.safetensors")
    return convert(file, out, choices=Choices(network=NETWORK)), safetensors.torch.load_file(out)


def same(found: State, expected: State) -> bool:
    """Whether all numbers are equal; counters are not kept."""
    names = {name for name in expected if not name.endswith("num_batches_tracked")}
    return found.keys() == names and all(torch.equal(found[name], expected[name]) for name in names)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS, ids=lambda checkpoint: checkpoint.name)
def test_what_trainers_leave(tmp_path: Path, source: Source, checkpoint: Checkpoint) -> None:
    """Averages where there are any, and that is reported."""
    foreign = read_foreign(save(checkpoint.make(source), tmp_path / "file.pth.tar"))
    expected = source.averages if checkpoint.averages else source.raw
    if checkpoint.partly:  # buffers are the raw ones
        expected = source.raw | parameters(source.averages)
    assert same(foreign.tensors, expected) and recognise(foreign.tensors, "file").name == "convscale"
    read = foreign.averages, foreign.prefix, foreign.unused
    assert read == (checkpoint.averages, checkpoint.prefix, checkpoint.unused)
    assert any("averages of weights" in note for note in foreign.notes) == (checkpoint.averages is not None)


def test_averages_are_reported_with_the_raw_weights_beside_them(tmp_path: Path, source: Source) -> None:
    def notes(value: Any) -> str:
        return "; ".join(read_foreign(save(value, tmp_path / "file.pt")).notes)

    both = {"state_dict": source.raw, "state_dict_ema": source.averages}
    assert "the raw ones, under 'state_dict', are not used" in notes(both)
    assert "have not started (n_averaged is 0)" in notes({"model": source.raw, "model_ema": averaged(source, 0)})
    assert "tensors have no averages, such as" in notes({"model": source.raw, "ema": parameters(source.averages)})
    assert "'ema' are ignored: they are trainer.ema.Averager" in notes(
        {"model": source.raw, "ema": elsewhere("trainer.ema", "Averager")()}
    )
    numbered = {str(index): value for index, value in enumerate(source.averages.values())}
    assert "'ema' are ignored: their names or shapes are not those" in notes({"model": source.raw, "ema": numbered})
    listed = [*parameters(source.averages).values()][:-1]
    assert f"'ema' are ignored: {len(listed)} tensors without names" in notes({"model": source.raw, "ema": listed})
    assert "prefix 'module.' is removed" in notes(below("module.", source.raw))


def test_safetensors_have_prefixes_too(tmp_path: Path, source: Source) -> None:
    """As accelerate saves a compiled module, and trainers their averages beside it."""
    for prefix, state in (("_orig_mod.", below("_orig_mod.", source.raw)), ("module.", below("module.", source.raw))):
        safetensors.torch.save_file(state, tmp_path / "model.safetensors")
        done, found = converted(tmp_path / "model.safetensors")
        assert same(found, source.raw) and done.prefix == prefix
    both = below("model.", source.raw) | below("ema_model.", parameters(source.averages))
    safetensors.torch.save_file(both, tmp_path / "model.safetensors")
    done, found = converted(tmp_path / "model.safetensors")
    assert same(found, source.raw | parameters(source.averages)) and done.averages == "ema_model"


def other(source: Source) -> State:
    """The same network, trained otherwise."""
    return {name: value + 1 if value.is_floating_point() else value for name, value in source.raw.items()}


REFUSED = {
    "teacher and student": (
        lambda s: below("student.", s.raw) | below("teacher.", other(s)),
        "2 networks could be meant: 'student', 'teacher'.*--key student or --key teacher",
    ),
    "the best and the last": (
        lambda s: {"model": s.raw, "best_model": other(s)},
        "2 networks could be meant: 'model', 'best_model'",
    ),
    "two averages": (
        lambda s: {"model": s.raw, "ema_slow": other(s), "ema_fast": s.averages},
        "2 networks could be meant: 'ema_slow', 'ema_fast'",
    ),
    "an optimizer alone": (lambda s: s.optimizer.state_dict(), "no named tensors; its keys: 'state' .dict of dict"),
    "no tensors": (
        lambda s: {"epoch": 3, "args": {}},
        r"no named tensors; its keys: 'epoch' \(int\), 'args' \(dict\)",
    ),
    "arrays of NumPy": (
        lambda s: {"model": {name: value.numpy() for name, value in s.raw.items()}},
        r"no named tensors; its keys: 'model' \(dict of numpy\S+_reconstruct\)",
    ),
    "nothing": (lambda s: {}, "no named tensors; its keys: none"),
    "a list": (lambda s: list(s.raw.values()), "holds list, not named tensors"),
    "random states": (lambda s: {"cpu": torch.get_rng_state()}, "0 tensors of floating-point numbers"),
    "a whole module": (lambda s: s.model, r"holds convscale\.nn\.model\.Model, not named tensors"),
    "a whole module in a checkpoint": (
        lambda s: {"epoch": 3, "model": s.model},
        r"its keys: 'epoch' \(int\), 'model' \(convscale\.nn\.model\.Model\)",
    ),
    "another network": (lambda s: {"model": {"a.weight": torch.zeros(2)}}, "no known dialect.*'a.weight'"),
    "arguments alone": (lambda s: elsewhere("trainer.arguments", "Arguments")(), "holds trainer.arguments.Arguments"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path: Path, source: Source, name: str) -> None:
    """Two networks in one file are never taken for each other; what is met is named."""
    make, reason = REFUSED[name]
    file = save(make(source), tmp_path / "file.pt")
    with pytest.raises(Exception, match=reason) as refused:
        convert(file, tmp_path / "out.safetensors")
    assert isinstance(refused.value, cs.ConvscaleError) and not (tmp_path / "out.safetensors").exists()


def test_attributes_called_as_methods_of_mappings(tmp_path: Path, source: Source) -> None:
    """As options are: what stands for an object is a mapping with its attributes."""
    names = dict.fromkeys(("items", "values", "keys", "get", "_convscale_class"), 3)
    options = argparse.Namespace(**names)
    for value in (
        {"model": source.raw, "ema": options},
        {"ema": options, "meta": options, "averaging_state": options} | source.raw,
    ):
        assert same(read_foreign(save(value, tmp_path / "file.pt")).tensors, source.raw)
    with pytest.raises(RunError, match=r"its keys: 'args' \(3\)"):
        read_foreign(save({"args": options}, tmp_path / "file.pt"))


def test_values_that_hold_themselves(tmp_path: Path, source: Source) -> None:
    loop: dict[str, Any] = {"model": source.raw}
    loop["again"] = loop
    assert same(read_foreign(save(loop, tmp_path / "loop.pt")).tensors, source.raw)
    loop |= {str(index): loop for index in range(20)}
    with pytest.raises(RunError, match="more than 100,000 nested values: refused"):
        read_foreign(save(loop, tmp_path / "loop.pt"))


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_any_name(tmp_path: Path, source: Source, legacy: bool) -> None:
    """torch.save asks for no suffix: the content says what a file is."""
    for name in ("model.pkl", "model.pyth", "model_best", "model.weights"):
        file = save(source.raw, tmp_path / name, _use_new_zipfile_serialization=not legacy)
        assert same(read_foreign(file).tensors, source.raw)


def test_shapes_without_values(tmp_path: Path, source: Source) -> None:
    meta = {name: value.to("meta") for name, value in source.raw.items()}
    with pytest.raises(RunError, match="has a shape but no values"):
        read_foreign(save(meta, tmp_path / "meta.pt"))


def test_torchscript_is_named(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    with pytest.raises(RunError, match=r"a TorchScript archive.*torch\.jit\.load\(FILE\)\.state_dict"):
        read_foreign(tmp_path / "script.pt")


def test_own_weights_have_no_other_library_to_compare_with(tmp_path: Path, source: Source, noise: Path) -> None:
    file = save(source.raw, tmp_path / "own.pt")
    with pytest.raises(ConfigError, match="Convscale's own weights.*omit --verify"):
        convert(file, tmp_path / "out.safetensors", verify=noise, choices=Choices(network=NETWORK))
    done = convert(file, tmp_path / "out.safetensors", dialect="convscale")
    assert done.network == NETWORK and "no Convscale header" in "; ".join(done.notes)
