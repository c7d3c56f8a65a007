"""Studies by name and from files."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from convscale.catalog import CATALOG
from convscale.library import Library
from convscale.networks import ConvNet
from convscale.records import StudySpec
from convscale.trials.trial import data_choice

LIBRARY = Library("study", StudySpec, resources.files("convscale.studies") / "library")


def list_studies() -> list[str]:
    """The names of the studies that ship with Convscale."""
    return LIBRARY.names()


def read_study(name_or_file: str | Path) -> StudySpec:
    """A study by name, or from a TOML file. Raises UnknownNameError and ConfigError."""
    return LIBRARY.read(name_or_file)


def settled(spec: StudySpec) -> StudySpec:
    """`spec` as it is run and recorded: coefficients as numbers, paths absolute. Raises ConfigError where it names no
    images."""
    data = spec.choice()
    source = data_choice(data.source).source
    baselines = tuple(map(_settled_baseline, spec.baselines))
    return replace(settled_methods(spec), data=replace(data, source=source), baselines=baselines)


def settled_methods(spec: StudySpec) -> StudySpec:
    """`spec` with coefficients as numbers, the primary method by the name that it then has."""
    methods = tuple(method.settled() for method in spec.methods)
    titles = {before.title: after.title for before, after in zip(spec.methods, methods, strict=True)}
    return replace(spec, methods=methods, primary=titles.get(spec.primary, ""))


def _settled_baseline(baseline: str | ConvNet) -> str | ConvNet:
    """A file or folder by its absolute path; a catalog name stays a name, whatever the working folder holds."""
    if isinstance(baseline, ConvNet):
        return baseline
    path = Path(baseline)
    return str(path.absolute()) if str(baseline) not in CATALOG and path.exists() else str(baseline)
