"""Checkpoints as training programs leave them: one network, wrapped in every way that is met.

No library that writes them needs to be there: what they save are dictionaries, and objects of classes that are taken
away before the file is read.
"""

from __future__ import annotations

import argparse
import collections
import enum
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

State = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A network with its raw weights and, of other values, averages of them."""

    model: nn.Module
    raw: State
    averages: State
    optimizer: torch.optim.Optimizer = field(repr=False)


def source_of(model: nn.Module) -> Source:
    """A model as after a step of its training."""
    raw = {name: value.detach().clone() for name, value in model.state_dict().items()}
    averages = {name: value / 2 if value.is_floating_point() else value for name, value in raw.items()}
    optimizer = torch.optim.SGD([next(model.parameters())], 0.1, momentum=0.9)
    optimizer.param_groups[0]["params"][0].grad = torch.zeros_like(next(model.parameters()))
    optimizer.step()
    return Source(model, raw, averages, optimizer)


def below(prefix: str, state: State) -> State:
    """The state of a module that holds the network under `prefix`."""
    return {prefix + name: value for name, value in state.items()}


def averaged(source: Source, count: int = 3) -> State:
    """What AveragedModel saves: a counter, and the module below it."""
    model = AveragedModel(source.model)
    model.load_state_dict({"n_averaged": torch.tensor(count)} | below("module.", source.averages))
    return dict(model.state_dict())


def parameters(state: State) -> State:
    """Without buffers."""
    return {name: value for name, value in state.items() if "running" not in name and "num_batches" not in name}


class Mode(enum.Enum):
    """Of an option of a training."""

    FAST = "fast"


def elsewhere(module: str, name: str, *bases: type) -> Any:
    """A class of a library that is not installed where the file is read."""
    made = type(name, bases or (object,), {"__module__": module})
    for end in range(1, module.count(".") + 2):
        part = ".".join(module.split(".")[:end])
        sys.modules.setdefault(part, types.ModuleType(part))
    setattr(sys.modules[module], name, made)
    return made


def save(value: Any, file: Path, **how: Any) -> Path:
    """Write a file of PyTorch; the classes of `elsewhere` are gone afterwards."""
    torch.save(value, file, **how)
    for name in [name for name in sys.modules if name.split(".")[0] in ("omegaconf", "lightning", "trainer")]:
        del sys.modules[name]
    return file


def options() -> argparse.Namespace:
    """A training's arguments, with all that people keep there."""
    return argparse.Namespace(
        lr=0.1, output=Path("runs"), mode=Mode.FAST, momentum=np.float64(0.9), seed=np.int64(1), tags={"a", "b"},
        metrics=collections.defaultdict(list, top1=[1.0]), last=collections.deque([1.0, 2.0], maxlen=5),
        nested=types.SimpleNamespace(a=1), dtype=torch.float16, device=torch.device("cpu"), sizes=frozenset({224}),
        random=np.random.get_state(), generator=np.random.default_rng(0), table=np.zeros(3), amp=None,
        items=[1], keys=2, values=3, get="a",
    )  # fmt: skip


def configuration() -> Any:
    """An omegaconf-like configuration: objects that hold each other."""
    config = elsewhere("omegaconf.dictconfig", "DictConfig")()
    node = elsewhere("omegaconf.nodes", "AnyNode")()
    node.__dict__.update(_val=0.1, _parent=config)
    config.__dict__.update(_content={"lr": node}, _metadata=elsewhere("omegaconf.base", "Metadata")())
    return config


def attributes() -> Any:
    """Lightning's hyper-parameters: a dictionary of a class of its own."""
    return elsewhere("lightning.fabric.utilities.data", "AttributeDict", dict)(lr=0.1, mode=Mode.FAST)


@dataclass(frozen=True)
class Checkpoint:
    """What is saved, and what is right: from which key averages are read, what prefix is stripped, what is not used."""

    name: str
    make: Callable[[Source], Any]
    averages: str | None = None
    prefix: str = ""
    unused: tuple[str, ...] = ()
    partly: bool = False  # the averages are of the parameters alone


def _lightning(state: State, **more: Any) -> dict[str, Any]:
    return {"epoch": 3, "global_step": 90, "pytorch-lightning_version": "2.5.0", "state_dict": state, "loops": {},
            "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.7)}},
            "optimizer_states": [], "lr_schedulers": []} | more  # fmt: skip


def _torchvision(source: Source, **more: Any) -> dict[str, Any]:
    schedule = torch.optim.lr_scheduler.StepLR(source.optimizer, 30).state_dict()
    return {"model": source.raw, "optimizer": source.optimizer.state_dict(), "lr_scheduler": schedule, "epoch": 2,
            "args": options()} | more  # fmt: skip


def _average_callback(source: Source, count: int) -> dict[str, Any]:
    stale = {name: value * 0 + 7 if "running" in name else value for name, value in source.averages.items()}
    state = {"n_averaged": count, "latest_update_epoch": 3, "average_model_state": below("model.", stale)}
    return {"StochasticWeightAveraging": state}


CHECKPOINTS = (
    # torchvision's references
    Checkpoint("references", lambda s: _torchvision(s)),
    Checkpoint("references with averages", lambda s: _torchvision(s, model_ema=averaged(s)), "model_ema", "module."),
    Checkpoint("references with a scaler", lambda s: _torchvision(s, scaler={"scale": 65536.0})),
    Checkpoint("references, averages not begun", lambda s: _torchvision(s, model_ema=averaged(s, 0))),
    # Lightning
    Checkpoint("lightning",
               lambda s: _lightning(below("model.", s.raw), hyper_parameters=attributes()), None, "model."),
    Checkpoint("lightning with a configuration",
               lambda s: _lightning(below("net.", s.raw), hyper_parameters=configuration()), None, "net."),
    Checkpoint("lightning with a loss",
               lambda s: _lightning(below("model.", s.raw) | {"criterion.weight": torch.ones(3)}), None, "model.",
               ("criterion.weight",)),
    Checkpoint("lightning, compiled", lambda s: _lightning(below("model._orig_mod.", s.raw)), None, "model._orig_mod."),
    Checkpoint("lightning, all compiled",
               lambda s: _lightning(below("_orig_mod.model.", s.raw)), None, "_orig_mod.model."),
    Checkpoint("lightning with an averaged module",
               lambda s: _lightning(below("model.", s.raw) | below("ema.", averaged(s))), "state_dict.ema.module",
               "ema.module."),
    Checkpoint("lightning with ema_model",
               lambda s: _lightning(below("model.", s.raw) | below("ema_model.", s.averages)), "state_dict.ema_model",
               "ema_model."),
    Checkpoint("lightning's WeightAveraging",
               lambda s: _lightning(below("model.", s.averages), current_model_state=below("model.", s.raw),
                                    averaging_state={"n_averaged": torch.tensor(4)}), "state_dict", "model."),
    Checkpoint("lightning's WeightAveraging, not begun",
               lambda s: _lightning(below("model.", s.averages), current_model_state=below("model.", s.raw),
                                    averaging_state={"n_averaged": torch.tensor(0)}), None, "model."),
    Checkpoint("lightning's stochastic averaging",
               lambda s: _lightning(below("model.", s.raw), callbacks=_average_callback(s, 2)),
               "callbacks.StochasticWeightAveraging.average_model_state", "model.", partly=True),
    Checkpoint("lightning's stochastic averaging, not begun",
               lambda s: _lightning(below("model.", s.raw), callbacks=_average_callback(s, 0)), None, "model."),
    # averages of one's own
    Checkpoint("state_dict and ema_state_dict", lambda s: {"state_dict": s.raw, "ema_state_dict": s.averages},
               "ema_state_dict"),
    Checkpoint("model and ema", lambda s: {"model": s.raw, "ema": s.averages, "updates": 9}, "ema"),
    Checkpoint("ema in a module",
               lambda s: {"model": s.raw, "ema": {"module": s.averages, "decay": 0.99}}, "ema.module"),
    Checkpoint("params and params_ema", lambda s: {"params": s.raw, "params_ema": s.averages}, "params_ema"),
    Checkpoint("averages alone", lambda s: {"params_ema": s.averages}, "params_ema"),
    Checkpoint("modelEMA", lambda s: {"net": s.raw, "modelEMA": below("module.", s.averages)}, "modelEMA", "module."),
    Checkpoint("swa_model", lambda s: {"model": s.raw, "swa_model": averaged(s)}, "swa_model", "module."),
    Checkpoint("AveragedModel", averaged, "module", "module."),
    Checkpoint("AveragedModel, compiled", lambda s: below("_orig_mod.", averaged(s)), "_orig_mod.module",
               "_orig_mod.module."),
    Checkpoint("AveragedModel of a compiled one",
               lambda s: {"n_averaged": torch.tensor(1)} | below("module._orig_mod.", s.averages), "module._orig_mod",
               "module._orig_mod."),
    Checkpoint("shadow of parameters",
               lambda s: {"model": s.raw, "ema": {"shadow": parameters(s.averages), "backup": {}}}, "ema.shadow",
               partly=True),
    Checkpoint("shadow of a distributed model",
               lambda s: {"model": s.raw, "shadow": below("module.", parameters(s.averages))}, "shadow",
               "module.", partly=True),
    Checkpoint("torch_ema's list",
               lambda s: {"model": s.raw, "ema": {"decay": 0.99, "shadow_params": [*parameters(s.averages).values()],
                                                  "collected_params": None}}, "ema.shadow_params", partly=True),
    Checkpoint("ema_pytorch", lambda s: below("online_model.", s.raw) | below("ema_model.", s.averages)
               | {"initted": torch.tensor(True), "step": torch.tensor(3)}, "ema_model", "ema_model."),
    Checkpoint("ema_pytorch in a checkpoint",
               lambda s: {"ema": below("online_model.", s.raw) | below("ema_model.", s.averages), "step": 3},
               "ema", "ema_model."),
    Checkpoint("mmengine", lambda s: {
        "meta": {"mmengine_version": "0.10.4"}, "state_dict": below("backbone.", s.averages), "message_hub": {},
        "ema_state_dict": {"steps": torch.tensor(5)} | below("module.backbone.", s.raw)}, "state_dict", "backbone."),
    Checkpoint("names without dots",
               lambda s: _lightning(below("model.", s.raw) | {"model_ema.decay": torch.tensor(0.99)} | {
                   f"model_ema.{name.replace('.', '')}": value for name, value in parameters(s.averages).items()}),
               "state_dict.model_ema", "model_ema.", partly=True),
    Checkpoint("moments, which are no averages",
               lambda s: {"model": s.raw, "exp_avg": parameters(s.averages), "state": {
                   "exp_avg": [*parameters(s.averages).values()], "exp_avg_sq": parameters(s.averages)}}),
    # wrappers and prefixes
    *(Checkpoint(key, lambda s, key=key: {key: s.raw, "epoch": 3, "best": torch.tensor(0.5)})
      for key in ("state_dict", "model_state_dict", "model", "weights", "network", "model_state", "params", "module")),
    *(Checkpoint(f"below {prefix}", lambda s, prefix=prefix: below(prefix, s.raw), None, prefix)
      for prefix in ("module.", "_orig_mod.", "model.", "backbone.", "encoder.", "net.", "0.", "module._orig_mod.",
                     "_orig_mod.module.", "module.model.0._orig_mod.backbone.", "student.encoder.net.")),
    Checkpoint("composer",
               lambda s: {"state": {"model": below("model.", s.raw), "timestamp": {}}, "rng": []}, None, "model."),
    Checkpoint("a tuple", lambda s: (s.raw, s.optimizer.state_dict(), 3)),
    Checkpoint("parameters as such",
               lambda s: {"model": {name: nn.Parameter(value, requires_grad=value.is_floating_point())
                                    for name, value in s.raw.items()}}),
    Checkpoint("fastai", lambda s: {"model": below("0.", s.raw), "opt": s.optimizer.state_dict()}, None, "0."),
    Checkpoint("the best and the last, equal", lambda s: {"model": s.raw, "best_model": dict(s.raw)}),
    Checkpoint("a head of one's own", lambda s: {"backbone": s.raw, "head": {"weight": torch.ones(2, 2)}}, None, "",
               ("head.weight",)),
    Checkpoint("FSDP", lambda s: {f"_fsdp_wrapped_module.{name.replace('.', '._fsdp_wrapped_module.', 1)}": value
                                  for name, value in s.raw.items()}, None, "_fsdp_wrapped_module."),
    Checkpoint("averages that are an object",
               lambda s: {"model": s.raw, "ema": elsewhere("trainer.ema", "Averager")()}),
)  # fmt: skip
