"""The networks that Convscale knows by name: baselines as tables, released families through `scale`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from convscale.catalog import efficientnet, mobilenet, resnet, small
from convscale.catalog.benchmarks import nas_bench_macro
from convscale.errors import UnknownNameError, suggestion
from convscale.files import read_toml, write_toml
from convscale.formats import read_kept
from convscale.networks import ConvNet
from convscale.scaling import RELEASED
from convscale.schema import from_table, to_table

# Name -> the function that makes the network; its docstring names the source.
CATALOG: dict[str, Callable[[], ConvNet]] = {
    **{f"efficientnet-{member}": partial(efficientnet.released, member) for member in RELEASED},
    "mobilenet-v1": mobilenet.mobilenet_v1,
    "mobilenet-v2": mobilenet.mobilenet_v2,
    "mobilenet-v3-small": mobilenet.mobilenet_v3_small,
    "mobilenet-v3-large": mobilenet.mobilenet_v3_large,
    "mnasnet-a1": mobilenet.mnasnet_a1,
    "mnasnet-b1": mobilenet.mnasnet_b1,
    "resnet-18": resnet.resnet_18,
    "resnet-34": resnet.resnet_34,
    "resnet-50": resnet.resnet_50,
    "resnet-101": resnet.resnet_101,
    "resnet-152": resnet.resnet_152,
    "resnext-50-32x4d": resnet.resnext_50_32x4d,
    "wide-resnet-50-2": resnet.wide_resnet_50_2,
    "efficientnetv2-s": efficientnet.efficientnetv2_s,
    "efficientnetv2-m": efficientnet.efficientnetv2_m,
    "efficientnetv2-l": efficientnet.efficientnetv2_l,
    "regnety-400mf": resnet.regnety_400mf,
    "regnety-4gf": resnet.regnety_4gf,
    "small-mbconv": small.small_mbconv,
    "small-mobilenet-v1": small.small_mobilenet_v1,
    "small-mobilenet-v2": small.small_mobilenet_v2,
    "small-resnet": small.small_resnet,
    "tiny-mbconv": small.tiny_mbconv,
    "tiny-mobilenet-v1": small.tiny_mobilenet_v1,
    "tiny-mobilenet-v2": small.tiny_mobilenet_v2,
    "tiny-resnet": small.tiny_resnet,
}


def list_networks() -> list[str]:
    """The names of the catalog, family by family."""
    return list(CATALOG)


def network(name: str) -> ConvNet:
    """A network of the catalog. Raises UnknownNameError."""
    if name not in CATALOG:
        hint = suggestion(name, CATALOG) or "'convscale list' shows all names; a file's name ends in .toml"
        raise UnknownNameError("network", name, CATALOG, hint=hint)
    return CATALOG[name]()


def source(name: str) -> str:
    """Where a catalog network comes from: paper and table, in a sentence."""
    make = CATALOG[name]
    if isinstance(make, partial):
        member = make.args[0]
        if member not in ("b0", "lite0"):
            code = "efficientnet_lite_builder.py" if member.startswith("lite") else "efficientnet_builder.py"
            return f"EfficientNet-{member.title()}: coefficients of the released {code}."
        make = efficientnet.efficientnet_b0 if member == "b0" else efficientnet.efficientnet_lite0
    return " ".join((make.__doc__ or "").split())


def read_network(path: str | Path, *, kept: bool = False) -> ConvNet:
    """The network in a TOML file, `kept` by a machine or written by a person. Raises ConfigError naming the key that is
    wrong."""
    read = read_kept if kept else from_table
    return read(ConvNet, read_toml(Path(path)), str(path))


def write_network(network: ConvNet, path: str | Path) -> None:
    """Write a network as TOML: its table of stages, one row per line."""
    write_toml(Path(path), to_table(network))


__all__ = ["CATALOG", "list_networks", "nas_bench_macro", "network", "read_network", "source", "write_network"]
