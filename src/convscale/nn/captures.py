"""The outputs of layers inside a network, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from torch import Tensor, nn

from convscale.errors import UnknownNameError, suggestion

_EXAMPLES = ("stem", "stages.0", "stages.0.0", "head.pool")


def capture(model: nn.Module, run: Callable[[], object], names: Sequence[str]) -> dict[str, Tensor]:
    """The outputs of the layers of `model` called `names`, in that order, during its call `run`.



    Raises UnknownNameError for a name that no layer has.
    """
    layers = {name: module for name, module in model.named_modules() if name and not isinstance(module, nn.ModuleList)}
    for name in names:
        if name not in layers:
            hint = suggestion(name, layers) or f"as {', '.join(_EXAMPLES)}; model.named_modules() lists all"
            raise UnknownNameError("layer", name, layers, hint=hint)
    found: dict[str, Tensor] = {}
    with ExitStack() as hooks:
        for name in dict.fromkeys(names):
            hooks.enter_context(layers[name].register_forward_hook(partial(_keep, found, name)))
        run()
    return {name: found[name] for name in names}


def _keep(found: dict[str, Tensor], name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
    found[name] = output
