"""Files that other libraries' own trainers and savers write, each read right."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

from convscale.dialects import convert
from convscale.dialects.layout import recognise
from convscale.dialects.peers import library
from convscale.dialects.reading import read_foreign
from convscale.errors import RunError
from tests import peers
from tests.dialects.test_containers import same
from tests.dialects.trainers import Source, State, averaged, below, options, parameters, save, source_of

# The peers warn of their own futures when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore")


def holds(file: Path, expected: State, *, dialect: str, averages: str | None = None, prefix: str = "") -> bool:
    """Whether a file is read as these weights, of this dialect."""
    foreign = read_foreign(file)
    read = foreign.averages, foreign.prefix, recognise(foreign.tensors, str(file)).name
    assert read == (averages, prefix, dialect)
    assert not foreign.unused
    return same(foreign.tensors, {name: value.float() for name, value in expected.items()})


# timm


@pytest.fixture(scope="module")
def timm_source() -> Source:
    torch.manual_seed(0)
    model = peers.timm().create_model("mobilenetv3_small_050", num_classes=3)
    return source_of(model)


def averaging(source: Source, kind: str) -> Any:
    """timm's EMA of the model, with the averages in it."""
    ema = getattr(library("timm.utils"), kind)(source.model)
    module = getattr(ema, "module", None) or ema.ema
    module.load_state_dict(source.averages)
    return ema


ARGUMENTS = argparse.Namespace(**vars(options()), model="mobilenetv3_small_050")
SAVERS: dict[str, Callable[[Source], tuple[nn.Module, dict[str, Any]]]] = {
    "alone": lambda source: (source.model, {}),
    "arguments": lambda source: (source.model, {"args": ARGUMENTS}),
    "averages": lambda source: (source.model, {"args": ARGUMENTS, "model_ema": averaging(source, "ModelEmaV3")}),
    "older averages": lambda source: (source.model, {"model_ema": averaging(source, "ModelEmaV2")}),
    "oldest averages": lambda source: (source.model, {"model_ema": averaging(source, "ModelEma")}),
    "a scaler": lambda source: (source.model, {"amp_scaler": library("timm.utils").NativeScaler(device="cpu")}),
    "compiled": lambda source: (torch.compile(source.model), {"args": ARGUMENTS}),
    "parallel": lambda source: (nn.DataParallel(source.model), {}),
    "parallel, compiled": lambda source: (torch.compile(nn.DataParallel(source.model)), {}),
    "compiled, wrapped as it is": lambda source: (torch.compile(source.model), {"unwrap_fn": lambda model: model}),
    "parallel, wrapped as it is": lambda source: (nn.DataParallel(source.model), {"unwrap_fn": lambda model: model}),
}


@pytest.mark.parametrize("name", SAVERS)
def test_timm_saves_its_training(tmp_path: Path, timm_source: Source, name: str) -> None:
    """timm's train.py saves with CheckpointSaver: last, best and checkpoint-N."""
    model, more = SAVERS[name](timm_source)
    saver = library("timm.utils").CheckpointSaver(model, timm_source.optimizer, checkpoint_dir=str(tmp_path), **more)
    saver.save_checkpoint(0, metric=71.2)
    averages = "state_dict_ema" if "model_ema" in more else None
    expected = timm_source.averages if averages else timm_source.raw
    prefix = next(iter(torch.load(tmp_path / "last.pth.tar", weights_only=False)["state_dict"])).removesuffix(
        "conv_stem.weight"
    )
    for file in (tmp_path / "model_best.pth.tar", tmp_path / "last.pth.tar"):
        assert holds(file, expected, dialect="timm", averages=averages, prefix=prefix)


def test_timm_cleans_and_averages_checkpoints(tmp_path: Path, timm_source: Source) -> None:
    """clean_checkpoint.py and avg_checkpoints.py write bare names, as safetensors or not."""
    assert holds(save(timm_source.raw, tmp_path / "averaged.pth"), timm_source.raw, dialect="timm")
    safetensors.torch.save_file(timm_source.raw, tmp_path / "averaged.safetensors")
    assert holds(tmp_path / "averaged.safetensors", timm_source.raw, dialect="timm")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("legacy", [False, True])
def test_other_precisions_and_the_older_format(
    tmp_path: Path, timm_source: Source, dtype: torch.dtype, legacy: bool
) -> None:
    state = {name: value.to(dtype) if value.is_floating_point() else value for name, value in timm_source.raw.items()}
    checkpoint = {"state_dict": below("module.", state), "args": options()}
    file = save(checkpoint, tmp_path / "half.pth", _use_new_zipfile_serialization=not legacy)
    assert holds(file, state, dialect="timm", prefix="module.")


# torchvision, efficientnet_pytorch, transformers


def torchvision_model() -> nn.Module:
    peers.timm()
    model: nn.Module = library("torchvision.models").mobilenet_v3_small(num_classes=3, width_mult=0.5)
    return model


def lukemelas_model() -> nn.Module:
    pytest.importorskip("efficientnet_pytorch")
    model: nn.Module = library("efficientnet_pytorch").EfficientNet.from_name("efficientnet-b0", num_classes=3)
    return model


def transformers_model() -> nn.Module:
    pytest.importorskip("transformers")
    transformers = library("transformers")
    config = transformers.EfficientNetConfig(
        width_coefficient=0.25, depth_coefficient=0.25, hidden_dim=320, num_labels=3, image_size=32
    )
    model: nn.Module = transformers.EfficientNetForImageClassification(config)
    return model


MAKERS = {"torchvision": torchvision_model, "lukemelas": lukemelas_model, "transformers": transformers_model}


@pytest.fixture(scope="module", params=MAKERS)
def dialect_and_source(request: pytest.FixtureRequest) -> tuple[str, Source]:
    torch.manual_seed(0)
    return request.param, source_of(MAKERS[request.param]())


def test_wrapped_modules(tmp_path: Path, dialect_and_source: tuple[str, Source]) -> None:
    """Compiled, parallel, averaged, as a part of another module: what each calls its tensors."""
    dialect, source = dialect_and_source
    file = tmp_path / "model.pt"
    wrapped = {
        "_orig_mod.": torch.compile(source.model),
        "module.": nn.DataParallel(source.model),
        "_orig_mod.module.": torch.compile(nn.DataParallel(source.model)),
        "0.": nn.Sequential(source.model),
        "backbone.0.module.": nn.ModuleDict({"backbone": nn.Sequential(nn.DataParallel(source.model))}),
    }
    for prefix, module in wrapped.items():
        save(module.state_dict(), file)
        assert holds(file, source.raw, dialect=dialect, prefix=prefix)


def test_the_references_of_torchvision(tmp_path: Path, dialect_and_source: tuple[str, Source]) -> None:
    """train.py: the model, its averages by AveragedModel, the optimizer, the schedule and the arguments."""
    dialect, source = dialect_and_source
    schedules = torch.optim.lr_scheduler
    parts: list[Any] = [schedules.LinearLR(source.optimizer), schedules.CosineAnnealingLR(source.optimizer, 9)]
    checkpoint = {
        "model": source.raw, "optimizer": source.optimizer.state_dict(), "epoch": 3, "args": options(),
        "lr_scheduler": schedules.SequentialLR(source.optimizer, parts, [3]).state_dict(),
    }  # fmt: skip
    file = save(checkpoint, tmp_path / "checkpoint.pth")
    assert holds(file, source.raw, dialect=dialect)
    save(checkpoint | {"model_ema": averaged(source)}, file)
    assert holds(file, source.averages, dialect=dialect, averages="model_ema", prefix="module.")


def test_the_trainer_of_transformers(tmp_path: Path) -> None:
    """save_pretrained writes model.safetensors; what a checkpoint's folder holds beside it is refused by its name."""
    transformers = pytest.importorskip("transformers")
    source = source_of(transformers_model())
    source.model.save_pretrained(tmp_path / "whole")
    assert holds(tmp_path / "whole" / "model.safetensors", source.raw, dialect="transformers")
    source.model.efficientnet.save_pretrained(tmp_path / "trunk")
    trunk = {
        name.removeprefix("efficientnet."): value for name, value in source.raw.items() if "classifier" not in name
    }
    assert holds(tmp_path / "trunk" / "model.safetensors", trunk, dialect="transformers")
    file = save(below("_orig_mod.", source.raw), tmp_path / "pytorch_model.bin")
    assert holds(file, source.raw, dialect="transformers", prefix="_orig_mod.")
    arguments = transformers.TrainingArguments.__new__(transformers.TrainingArguments)  # its __init__ asks for more
    vars(arguments).update(vars(options()))
    save(arguments, tmp_path / "training_args.bin")
    with pytest.raises(RunError, match=r"holds transformers\.training_args\.TrainingArguments, not named tensors"):
        read_foreign(tmp_path / "training_args.bin")


def test_averages_of_parameters_alone(tmp_path: Path, dialect_and_source: tuple[str, Source]) -> None:
    """By name or in order: the statistics beside them are the raw ones."""
    dialect, source = dialect_and_source
    expected = source.raw | parameters(source.averages)
    named = {"model": below("module.", source.raw), "ema": parameters(source.averages)}
    assert holds(save(named, tmp_path / "a.pth"), expected, dialect=dialect, averages="ema")
    listed = {"model": source.raw, "ema": {"shadow_params": [*parameters(source.averages).values()]}}
    assert holds(save(listed, tmp_path / "b.pth"), expected, dialect=dialect, averages="ema.shadow_params")


def test_a_head_frozen_apart(tmp_path: Path, timm_source: Source) -> None:
    """Averages of what was trained alone, the classifier, lack what their dialect is known by."""
    head = {name: value for name, value in timm_source.averages.items() if name.startswith("classifier")}
    checkpoint = {"state_dict": timm_source.raw, "ema": {"shadow": below("module.", head)}}
    file = save(checkpoint, tmp_path / "head.pth")
    assert holds(file, timm_source.raw | head, dialect="timm", averages="ema.shadow", prefix="module.")
    file = save(below("net.", timm_source.raw) | below("net_ema.", head), tmp_path / "head.pth")
    assert holds(file, timm_source.raw | head, dialect="timm", averages="net_ema", prefix="net_ema.")


# Whole ways


def test_a_checkpoint_of_timm_all_the_way(tmp_path: Path) -> None:
    """What is found is what is converted, and reported."""
    source = source_of(peers.timm().create_model("mobilenetv1_100", num_classes=3))
    checkpoint = {"state_dict": below("module.", source.raw), "model_ema": averaged(source), "args": options()}
    done = convert(save(checkpoint, tmp_path / "last.pth.tar"), tmp_path / "ours.safetensors")
    found = safetensors.torch.load_file(tmp_path / "ours.safetensors")
    assert torch.equal(found["stem.conv.conv.weight"], source.averages["conv_stem.weight"])
    assert done.as_dict()["averages"] == "model_ema" and done.as_dict()["prefix"] == "module."
    assert done.network == "mobilenet-v1" and any(
        "the raw ones, under 'state_dict.module'" in one for one in done.notes
    )
