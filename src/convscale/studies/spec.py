"""Studies by name and from files."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

from convscale.errors import UnknownNameError
from convscale.files import read_toml, read_toml_text
from convscale.records import StudySpec
from convscale.schema import from_table
from convscale.trials.trial import data_choice


def study_names() -> list[str]:
    """The names of the studies that come along."""
    folder = resources.files("convscale.studies") / "library"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_study(name_or_file: str | Path) -> StudySpec:
    """A study by name, or from a TOML file. Raises UnknownNameError and ConfigError."""
    path = Path(name_or_file)
    if path.suffix == ".toml":
        return from_table(StudySpec, read_toml(path), str(path))
    name = str(name_or_file)
    if name not in study_names():
        raise UnknownNameError("study", name, study_names())
    text = (resources.files("convscale.studies") / "library" / f"{name}.toml").read_text(encoding="utf-8")
    return from_table(StudySpec, read_toml_text(text, name), name)


def settled(spec: StudySpec) -> StudySpec:
    """`spec` as it is run and recorded: coefficients as numbers, paths absolute. Raises ConfigError where it names no
    images."""
    data = spec.choice()
    source = data_choice(data.source).source
    baselines = tuple(str(Path(one).absolute()) if Path(one).exists() else one for one in spec.baselines)
    methods = tuple(method.settled() for method in spec.methods)
    return replace(spec, methods=methods, data=replace(data, source=source), baselines=baselines)
