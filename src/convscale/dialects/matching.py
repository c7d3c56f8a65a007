"""fit: the network whose tensors a foreign file holds, found by names and shapes alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from convscale.catalog import CATALOG
from convscale.dialects.layout import Dialect, Entry
from convscale.dialects.names import given, unknown_weights
from convscale.dialects.reading import Foreign
from convscale.errors import ConfigError, RunError
from convscale.layers import resolve
from convscale.networks import ConvNet
from convscale.openers import network as find_network


@dataclass(frozen=True, slots=True)
class Fit:
    """A network whose tensors are those of a file. own_table: it was read from a file of the caller's. unused: tensors
    of the file that the network has no place for, or that are of a head which is left out."""

    network: ConvNet
    own_table: bool
    entries: list[Entry]
    tensors: dict[str, Tensor]
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    def state(self) -> dict[str, Tensor]:
        """Our tensors; zeros for a classifier that the file has not."""
        state = {}
        for entry in self.entries:
            found = self.tensors.get(entry.theirs)
            state[entry.ours] = torch.zeros(entry.shape) if found is None else entry.to_ours(found)
        return state


def fit(known: Dialect, foreign: Foreign, wanted: str | None, trunk: bool = False) -> Fit:
    """The network that holds the file's tensors: the one that is wanted, or the first of the catalog that fits.

    Every tensor must have its place, but for a classifier that the file may lack: B0's tensors are among B1's, so
    that one left over is a sign of another network. trunk: the file's head is its own, and is left out,
    whatever its tensors are. Raises RunError where none fits, ConfigError where the dialect has no names for the one
    that is wanted, UnknownNameError where nothing has that name.
    """
    named = given(wanted, known.name) if wanted and wanted not in CATALOG else None
    own_table = bool(wanted) and named is None and (str(wanted).endswith(".toml") or Path(str(wanted)).exists())
    if wanted and not (named or own_table or wanted in CATALOG):
        raise unknown_weights(wanted)
    names = [named.row.network if named else wanted] if wanted else [*CATALOG]
    nearest: tuple[str, list[str]] | None = None
    for name in names:
        try:
            found = _match(known, find_network(name), foreign, own_table, trunk)
        except ConfigError:  # the dialect has no names for it
            if wanted:
                raise
            continue
        if isinstance(found, Fit):
            return found
        if nearest is None or len(found) < len(nearest[1]):
            nearest = name, found
    assert nearest is not None, "every dialect knows a network of the catalog"
    raise _no_fit(known, foreign, *nearest, names=names, trunk=trunk)


def _no_fit(
    known: Dialect, foreign: Foreign, name: str, wrong: list[str], *, names: Sequence[str], trunk: bool
) -> RunError:
    """What is wrong with the nearest network, and whether the file's trunk alone is that of one."""
    hint = "give --network: a name, or a TOML file of its network"
    if not trunk:
        with suppress(ConfigError, RunError):
            found = fit(known, foreign, names[0] if len(names) == 1 else None, trunk=True)
            hint = f"--trunk takes the trunk of {found.network.name} alone, without {', '.join(found.unused[:3])}"
    return RunError(
        f"{foreign.path}: its tensors are not those of {name}{'' if len(names) == 1 else ', which is the nearest'}: "
        f"{len(wrong)} do not fit; {'; '.join(wrong[:3])}",
        hint=hint,
    )


def _match(known: Dialect, network: ConvNet, foreign: Foreign, own_table: bool, trunk: bool) -> Fit | list[str]:
    """The fit of one network, or what does not fit."""
    tensors, notes = _with_prefix(known, foreign.tensors)
    if trunk:
        return _match_trunk(known, network, own_table, tensors, notes)
    network = _sized(known, network, tensors)
    entries = known.entries(resolve(network))
    if network.num_classes == 1001:
        tensors = _without_background(known, entries, tensors)
        notes.append("class 0 of 1001, the background, is left out")
        network = network.with_classes(1000)
        entries = known.entries(resolve(network))
    expected = {entry.theirs: entry for entry in entries}
    head = {entry.theirs for entry in entries if entry.ours.startswith("head.classifier")}
    missing = tuple(sorted(expected.keys() - tensors.keys()))
    unused = tuple(sorted(key for key in tensors.keys() - expected.keys() if not key.startswith(_PREPROCESSING)))
    wrong = [f"{key} is missing" for key in missing if set(missing) != head]
    wrong += [f"{key} is unexpected" for key in unused if not key.startswith(_KNOWN_EXTRAS)]
    wrong += [
        f"{key} is {tuple(tensors[key].shape)}, not {entry.peer_shape}"
        for key, entry in expected.items()
        if key in tensors and tuple(tensors[key].shape) != entry.peer_shape
    ]
    if missing:
        notes.append("the file has no classifier: for features and transfer learning only; its logits are zeros")
    return wrong or Fit(network, own_table, entries, tensors, unused, missing, tuple(notes))


def _match_trunk(
    known: Dialect, network: ConvNet, own_table: bool, tensors: dict[str, Tensor], notes: list[str]
) -> Fit | list[str]:
    """The fit of a network's trunk, whatever head the file has.

    What is left over must not be of the trunk: a name that begins like one of its own, up to the first number, is a
    sign of another network.
    """
    channels = _sized(known, network, tensors).input_channels
    network = replace(network, input_channels=channels).with_classes(1)
    entries = known.entries(resolve(network))
    body = {entry.theirs: entry for entry in entries if not entry.ours.startswith("head.classifier")}
    head = tuple(sorted(entry.theirs for entry in entries if entry.theirs not in body))
    unused = tuple(sorted(key for key in tensors if key not in body and not key.startswith(_PREPROCESSING)))
    wrong = [f"{key} is missing" for key in sorted(body.keys() - tensors.keys())]
    wrong += [
        f"{key} is {tuple(tensors[key].shape)}, not {entry.peer_shape}"
        for key, entry in body.items()
        if key in tensors and tuple(tensors[key].shape) != entry.peer_shape
    ]
    stages = {_beginning(name) for name in body} & _STAGES
    wrong += [f"{key} is unexpected" for key in unused if _beginning(key) in stages]
    if wrong:
        return wrong
    kept = {key: value for key, value in tensors.items() if key in body or key.startswith(_PREPROCESSING)}
    notes.append("the trunk alone: for features and transfer learning only; its logits are zeros")
    return Fit(network, own_table, entries, kept, unused, head, tuple(notes))


# What the names of a trunk's stages begin with, up to the first number.
_STAGES = {
    "blocks.", "layer", "features.", "layers.", "_blocks.", "efficientnet.encoder.blocks.", "block", "blocks_",
    "stages.",
}  # fmt: skip


def _beginning(name: str) -> str:
    return re.split(r"\d", name, maxsplit=1)[0]


_PREPROCESSING = "normalization/"  # Keras's, used as such
_KNOWN_EXTRAS = ("global_step", "rescaling/")


def _with_prefix(known: Dialect, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Names as those of transformers' classifier, where they are of its trunk alone, and as those of Keras's where it
    is called otherwise."""
    if known.name == "keras":
        return _with_predictions(tensors)
    if known.name != "transformers" or any(key.startswith("efficientnet.") for key in tensors):
        return tensors, []
    return {f"efficientnet.{key}": value for key, value in tensors.items()}, ["names are those of EfficientNetModel"]


def _with_predictions(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """A Dense layer of any name, where it is the only one, is the classifier: Keras numbers those of a Sequential."""
    dense = [key.split("/")[0] for key, value in tensors.items() if key.endswith("/kernel") and value.ndim == 2]
    if "stem_conv/kernel" not in tensors or len(dense) != 1 or dense == ["predictions"]:
        return tensors, []
    renamed = {
        f"predictions/{key.split('/')[1]}" if key.split("/")[0] == dense[0] else key: value
        for key, value in tensors.items()
    }
    return renamed, [f"the classifier is the layer {dense[0]!r}"]


def _sized(known: Dialect, network: ConvNet, tensors: dict[str, Tensor]) -> ConvNet:
    """The network with as many input channels and classes as the file's tensors; 1 class where it has no classifier."""
    names = {entry.ours: entry.theirs for entry in known.entries(resolve(network))}
    stem, bias = tensors.get(names["stem.conv.conv.weight"]), tensors.get(names["head.classifier.linear.bias"])
    if stem is not None and stem.ndim == 4:
        network = replace(network, input_channels=stem.shape[2 if known.keras else 1])
    return network.with_classes(1 if bias is None else bias.numel())


def _without_background(known: Dialect, entries: list[Entry], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the classifier's first row."""
    names = {entry.ours: entry.theirs for entry in entries}
    weight, bias = names["head.classifier.linear.weight"], names["head.classifier.linear.bias"]
    rows = tensors[weight][:, 1:] if known.keras else tensors[weight][1:]
    return tensors | {weight: rows, bias: tensors[bias][1:]}
