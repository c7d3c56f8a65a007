"""convert: weights of another library -> a Convscale weights file, and back, saying all that was chosen or lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from convscale.dialects.folders import weights_in
from convscale.dialects.identity import candidates
from convscale.dialects.layout import Dialect, recognise
from convscale.dialects.layout import dialect as dialect_of
from convscale.dialects.matching import Fit, fit
from convscale.dialects.meaning import Choices, Meaning, meaning_of
from convscale.dialects.names import in_catalog
from convscale.dialects.published_weights import Published
from convscale.dialects.reading import read_foreign
from convscale.dialects.statements import says
from convscale.dialects.verify import compare
from convscale.dialects.writing import writer
from convscale.errors import ConfigError
from convscale.files import write_atomic
from convscale.flattening import AsDict
from convscale.headers import UNTRAINED, Provenance, WeightsHeader, has_header
from convscale.layers import resolve
from convscale.nn import Model, build, load_weights, save_weights
from convscale.runs import WEIGHTS, weights_file
from convscale.units import format_number

WRITTEN = ("timm", "torchvision")


@dataclass(frozen=True, slots=True)
class Conversion(AsDict):
    """What a conversion did.

    tensors: how many were carried over. unused: those of the file that the network has no place for, or that are of a
    head left out. missing: those of the network that the file has not. taken_from: the source of each setting that
    tensors do not say, {"mean": "config.json"}. max_relative_difference: of logits, where they were compared.
    averages: the key that averages of weights (EMA, SWA) were read from, None for raw weights. prefix: what stood
    before each name of the file.
    """

    dialect: str
    network: str
    tensors: int
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    max_relative_difference: float | None = None
    taken_from: dict[str, str] = field(default_factory=dict)
    averages: str | None = None
    prefix: str = ""


def convert(
    source: str | Path,
    output: str | Path,
    *,
    dialect: str | None = None,
    to: str | None = None,
    verify: str | Path | None = None,
    choices: Choices | None = None,
) -> Conversion:
    """Write the weights in `source`, another library's file or Convscale's, as a Convscale weights file, or under the
    names of the library `to`, as safetensors or, where `output` ends in .pth, as a PyTorch file. A folder is a run,
    or holds a weights file: as timm and transformers write it, described by config.json, or one of any name.

    dialect: the library that wrote the file, if its names alone should not decide. verify: an image file or a
    folder of them, on which the library's own network is compared with ours.

    Raises ConfigError for an empty name, an output that is itself read or has another format's suffix, choices beside a
    file of Convscale's, a dialect that is unknown or has no names for the network, impossible preprocessing and a
    wrong number of class names, UnknownNameError for published weights that are unknown, RunError for a file that is
    damaged, holds code or several networks, or whose tensors fit no network, and for a folder without one weights
    file; with `verify`, as `compare` does.
    """
    if to is not None:
        require_written(to)
    choices = choices or Choices()
    _require_named(source, choices)
    write = writer(Path(output), to)
    found: tuple[str, ...] = ()
    if Path(source).is_dir() and not is_ours(source):
        source, found = weights_in(Path(source))
    _require_another(Path(source), Path(output))
    ours = is_ours(source)
    loaded = _load_ours(source, to, dialect, choices) if ours else _load_foreign(source, dialect, choices, found)
    model, header, tensors, done = loaded
    if to is not None:
        tensors = _exported(model, header, to)
        done = replace(done, dialect=to, tensors=len(tensors), notes=(*done.notes, *_lost(header, to)))
    if verify is not None:
        difference = compare(recognise(tensors, str(source), done.dialect), tensors, model, header, source, verify)
        done = replace(done, max_relative_difference=difference)
    if to is None:
        save_weights(output, model, header)
    else:
        write_atomic(Path(output), lambda file: write(tensors, file))
    return done


def _require_named(source: str | Path, choices: Choices) -> None:
    """Raise ConfigError for names that are given and empty."""
    names = (("the file or folder to convert", str(source)), ("--network", choices.network), ("--key", choices.key))
    for what, text in names:
        if text is not None and not text.strip():
            raise ConfigError(f"{what}: the name is empty", hint="a variable without a value in a script?")


def _require_another(source: Path, output: Path) -> None:
    """Raise ConfigError where the output is the file that is read, or one of a run's."""
    of_run = source.is_dir() and output.absolute().parent.samefile(source)
    if of_run or (output.exists() and source.exists() and output.samefile(source)):
        raise ConfigError(f"{output} belongs to what is read: it would be overwritten", hint="name another file")


class _Loaded(NamedTuple):
    """A network with weights, the tensors as its file has them, and what reading it did."""

    model: Model
    header: WeightsHeader
    tensors: dict[str, Tensor]
    done: Conversion


def is_ours(source: str | Path) -> bool:
    """Whether `source` is a run folder or a file with Convscale's header."""
    path = Path(source)
    return (path.is_dir() and (path / WEIGHTS).exists()) or (path.is_file() and has_header(path))


def _load_ours(source: str | Path, to: str | None, dialect: str | None, choices: Choices) -> _Loaded:
    if dialect not in (None, "convscale") or choices != Choices():
        raise ConfigError(
            f"{source} is in Convscale's format and says all of that itself",
            hint="--from, --network, --trunk and what images are prepared with are for other libraries' files",
        )
    if to is None:
        raise ConfigError(
            f"{source} is already in Convscale's format", hint=f"--to {' or '.join(WRITTEN)} writes another library's"
        )
    model, header = load_weights(weights_file(Path(source)))
    return _Loaded(model, header, {}, Conversion("convscale", header.network.name, 0, (), (), ()))


def _load_foreign(source: str | Path, name: str | None, choices: Choices, found: tuple[str, ...]) -> _Loaded:
    foreign = read_foreign(source, choices.key)
    known = recognise(foreign.tensors, str(source), name)
    if choices.network is not None:
        choices = replace(choices, network=in_catalog(choices.network))
    fitted = fit(known, foreign, choices.network, choices.trunk)
    meaning = meaning_of(known, fitted, foreign, choices)
    known = known if name else _library(known, fitted, meaning.row)
    classes, by, named = _classes(choices.classes, fitted, meaning)
    notes = (*found, *foreign.notes, *fitted.notes, *meaning.notes, *named)
    origin = Provenance(foreign.path.name, foreign.sha256, known.name, meaning.licence, notes)
    header = WeightsHeader(meaning.network, meaning.preprocessing, classes, origin)
    model = build(meaning.network, seed=0).eval()
    model.load_state_dict(fitted.state(), strict=False)
    carried = len(fitted.entries) - len(fitted.missing)
    done = Conversion(
        known.name, meaning.network.name, carried, (*fitted.unused, *foreign.unused), fitted.missing, notes,
        taken_from=meaning.taken_from | {"classes": by}, averages=foreign.averages, prefix=foreign.prefix,
    )  # fmt: skip
    return _Loaded(model, header, foreign.tensors, done)


def _library(known: Dialect, found: Fit, row: Published | None) -> Dialect:
    """The library that published the weights, where it is another one that names their tensors alike."""
    alike = row is not None and row.dialect != known.name and row in candidates(known, found)
    return dialect_of(row.dialect) if alike and row is not None else known


def imagenet_classes() -> tuple[str, ...]:
    """ImageNet's 1,000 classes in the standard order, as "n01440764 tench": two share the name "crane"."""
    return tuple((files("convscale.dialects") / "imagenet.txt").read_text("utf-8").splitlines())


def _classes(
    given: tuple[str, ...] | None, found: Fit, meaning: Meaning
) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Class names, where they are taken from, and notes on what is assumed."""
    count = found.network.num_classes
    if found.missing:
        unused = "--classes is not used: there is no classifier"
        return UNTRAINED, "there is no classifier", () if given is None else (unused,)
    if given is not None:
        if len(given) != count:
            raise ConfigError(
                f"{format_number(len(given), 'class name')} for {_classes_in_words(count)}",
                hint="one name per line, in class order",
            )
        return given, "--classes", ()
    notes: tuple[str, ...] = ()
    if meaning.named is not None:
        names, source = meaning.named
        if len(names) == count:
            return _distinct(names, source)
        notes = (
            f"{says(source, 'names')} {_classes_in_words(len(names))}, but the classifier has {count:,}: not used",
        )
    if count == 1000:
        note = "1,000 classes: named as ImageNet's, in the usual order"
        return imagenet_classes(), "ImageNet's usual order", (*notes, note)
    note = f"{_classes_in_words(count)} without names: numbered"
    return tuple(map(str, range(count))), "numbered", (*notes, note)


def _classes_in_words(count: int) -> str:
    return f"{count:,} class{'es' * (count != 1)}"


def _distinct(names: tuple[str, ...], source: str) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Class names, those that occur twice with their number: ImageNet has two cranes."""
    counts = Counter(names)
    twice = [name for name, times in counts.items() if times > 1]
    if not twice:
        return names, source, (f"from {source}: class names",)
    numbered = tuple(f"{name} ({index})" if counts[name] > 1 else name for index, name in enumerate(names))
    return numbered, source, (f"in {source}, several classes are called {', '.join(twice[:3])}: numbered",)


def require_written(to: str) -> None:
    """Raise ConfigError unless files of the dialect `to` can be written."""
    if to not in WRITTEN:
        raise ConfigError(f"{to!r} cannot be written", hint=f"one of {', '.join(WRITTEN)}")


def _exported(model: Model, header: WeightsHeader, to: str) -> dict[str, Tensor]:
    """The model's weights under the names of `to`; of a trunk without the classifier that was never trained."""
    state = model.state_dict()
    return {
        entry.theirs: entry.to_theirs(state[entry.ours])
        for entry in dialect_of(to).entries(resolve(header.network))
        if header.classes != UNTRAINED or not entry.ours.startswith("head.classifier")
    }


def _lost(header: WeightsHeader, to: str) -> tuple[str, ...]:
    """What to set in their model, since names and numbers alone do not say it."""
    network = header.network
    if to == "torchvision" and network.padding == "same":
        padding = ["torchvision pads symmetrically, this network as TensorFlow does: logits will differ"]
    elif to == "timm":
        padding = [f"create the timm model with pad_type={'same' if network.padding == 'same' else ''!r}"]
    else:
        padding = []
    trunk = ("a trunk: no classifier is written, so load it with strict=False",)
    return (
        *(trunk if header.classes == UNTRAINED else ()),
        *padding,
        f"set the BN eps of their model to {network.norm_eps:g}",
        f"not in the file: preprocessing ({header.preprocessing.in_words()}) and class names",
    )
