"""What tensors do not say: padding, BN eps, size and preprocessing, as given, declared, published or usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from convscale.dialects import checkpoints, configs, keras_files, metadata
from convscale.dialects.identity import (
    OPTION,
    Identity,
    altered,
    candidates,
    doubts,
    identify,
    other_network,
    unknown_network,
)
from convscale.dialects.layout import Dialect
from convscale.dialects.matching import Fit
from convscale.dialects.normalisation import of_0_to_1, require_possible
from convscale.dialects.published_weights import Published, reference_preprocessing
from convscale.dialects.reading import Foreign
from convscale.dialects.statements import SETTINGS, Statement, Taken, of_preprocessing, says, take
from convscale.errors import ConfigError
from convscale.networks import ConvNet, Padding
from convscale.preprocessing import Preprocessing, default_preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the caller says about a file, overriding what is declared, known or usual; None: not given.

    key: where in the file the network is, a dotted path of keys, as model.ema; "." for the outermost.
    network: a name of the catalog, a TOML file, or the name of published weights, as tf_efficientnet_b0.in1k. mean,
    std: for values of 0 to 1, one per channel or one for all. trunk: take the trunk alone, whatever head the
    file has.
    """

    network: str | None = None
    padding: Padding | None = None
    norm_eps: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: float | None = None
    resolution: int | None = None
    classes: tuple[str, ...] | None = None
    trunk: bool = False
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """A file's network and preprocessing, and where each setting is taken from.

    named: the class names that the file or its folder has, and which of them. row: the published weights that they
    are used as. notes: what had to be assumed.
    """

    network: ConvNet
    preprocessing: Preprocessing
    taken_from: dict[str, str]
    named: tuple[tuple[str, ...], str] | None
    row: Published | None
    licence: str
    notes: tuple[str, ...]


def meaning_of(dialect: Dialect, fit: Fit, foreign: Foreign, choices: Choices) -> Meaning:
    """Given values come first, then what the file and its folder declare, then what is published under its name,
    then the usual.

    Raises ConfigError for values that make no sense and for an input that is not square, UnknownNameError for
    published weights that are unknown.
    """
    declared, notes = _declared(dialect, fit, foreign, choices.network)
    identity = None if fit.own_table else identify(dialect, fit, foreign, choices.network, declared)
    table = _table(dialect, fit, identity)
    flags = _flags(choices, fit.network.input_channels)
    resized = _resized(declared, choices, table)
    taken = take([*flags, *_own_table(fit), *declared, *resized, table], fit.network.input_channels)
    network, preprocessing = _built(fit.network, taken, foreign)
    against = () if identity is None else identity.notes
    notes = [_why(dialect, fit, identity), *against, *notes, *(note for one in declared for note in one.notes)]
    from_table = [setting for setting, source in taken.sources.items() if source is table]
    notes += [*altered(identity, foreign), *doubts(identity, candidates(dialect, fit), from_table)]
    row = None if identity is None else identity.row
    if row is not None and row.squashed and "crop" in from_table:
        notes.append(f"{row.dialect} evaluates them on whole images squashed to a square: Convscale crops the centre")
    notes += [*taken.notes, *taken.by_source()]
    notes.append(f"taken: padding {network.padding}, BN eps {network.norm_eps:g}, {preprocessing.in_words()}")
    if dialect.name == "transformers":
        notes.append("transformers pads for the native size at every size: at other sizes its logits differ")
    licence = next((one.licence for one in declared if one.licence), row.licence if row else "")
    named = next(((one.classes, one.source) for one in declared if one.classes), None)
    taken_from = {SETTINGS[setting]: source.source for setting, source in taken.sources.items()}
    return Meaning(network, preprocessing, taken_from, named, row, licence, tuple(notes))


def _declared(dialect: Dialect, fit: Fit, foreign: Foreign, wanted: str | None) -> tuple[list[Statement], list[str]]:
    """What the file and its folder say, and notes on what is of another network.

    Raises ConfigError for a configuration of a network that is unknown, unless the caller names one.
    """
    keras = dialect.name == "keras"
    found = [
        keras_files.inside(fit.tensors) if keras else None,
        metadata.in_file(foreign.path),
        checkpoints.in_checkpoint(foreign.said),
        keras_files.in_model(foreign.path) if keras else None,
        *configs.beside(foreign.path),
    ]
    statements = [of_0_to_1(one) for one in found if one is not None]
    others = [one for one in statements if other_network(one, fit)]
    unknown = [one for one in statements if unknown_network(one, fit)]
    refused = next((one for one in unknown if one.source == configs.CONFIG), None)
    if refused is not None and wanted is None:
        raise ConfigError(
            f"{foreign.path.with_name(refused.source)}: the network {refused.weights!r} is not known here; its tensors "
            f"are those of {fit.network.name}, but it may compute something else",
            hint=f"if it is the same: --network {fit.network.name}",
        )
    return [one for one in statements if one not in others], [
        *(f"{says(one.source, 'names')} {one.weights}, but the tensors are {fit.network.name}'s: not used"
          for one in others),
        *(f"{says(one.source, 'names')} {one.weights!r}, which is not known here: read as {fit.network.name}, whose "
          "tensors have the same names and shapes; it may compute something else" for one in unknown),
    ]  # fmt: skip


def _flags(choices: Choices, channels: int) -> list[Statement]:
    """What the caller says, a statement per option. Raises ConfigError for means of another number of channels."""
    for name, values in (("mean", choices.mean), ("std", choices.std)):
        if values is not None and len(values) not in (1, channels):
            raise ConfigError(
                f"--{name} has {len(values)} values for a network of {channels} input channels",
                hint="one for all channels, or one per channel",
            )
    return [
        Statement(source="--resolution", size=choices.resolution), Statement(source="--crop", crop=choices.crop),
        Statement(source="--mean", mean=choices.mean), Statement(source="--std", std=choices.std),
        Statement(source="--padding", padding=choices.padding), Statement(source="--bn-eps", norm_eps=choices.norm_eps),
    ]  # fmt: skip


def _own_table(fit: Fit) -> list[Statement]:
    """The caller's own table of the network counts as given."""
    network = fit.network
    said = Statement(
        source=f"{network.name}'s own table", size=network.resolution, padding=network.padding,
        norm_eps=network.norm_eps,
    )  # fmt: skip
    return [said] if fit.own_table else []


def _table(dialect: Dialect, fit: Fit, identity: Identity | None) -> Statement:
    """What is published of the weights, or usual."""
    network = fit.network
    if identity is not None:
        row, explicit = identity.row, identity.by == OPTION and identity.exact
        said = of_preprocessing(identity.source, row.preprocessing, padding=row.padding, norm_eps=row.norm_eps)
        return replace(said, explicit=explicit)
    if dialect.follows_reference and not fit.own_table:
        usual = reference_preprocessing(network.resolution)
        source = f"the reference code, which {dialect.name} follows"
        return of_preprocessing(source, usual, padding="same", norm_eps=1e-3)
    usual = default_preprocessing(network.resolution, 3)
    return of_preprocessing("Convscale's default", usual, padding=network.padding, norm_eps=network.norm_eps)


def _resized(declared: Sequence[Statement], choices: Choices, table: Statement) -> list[Statement]:
    """The crop that is usual at a size that is declared and is not the table's, whose crop is for its own; timm keeps
    the table's at any size."""
    size, named_by = next(((one.size, one.dialect) for one in declared if one.size is not None), (None, ""))
    if not isinstance(size, int) or size == table.size or choices.resolution is not None or named_by == "timm":
        return []
    return [Statement(source=f"usual at {size} px", explicit=False, crop=default_preprocessing(size, 3).crop)]


def _built(network: ConvNet, taken: Taken, foreign: Foreign) -> tuple[ConvNet, Preprocessing]:
    """The network and the preprocessing of what is taken."""
    values = taken.values
    if "mean" not in values or "std" not in values:
        raise ConfigError(
            f"{foreign.path}: nothing states the mean and std of the network's {network.input_channels} input channels",
            hint="give --mean and --std: one value for all channels, or one per channel",
        )
    if isinstance(values["size"], tuple):
        sides = " x ".join(map(str, values["size"]))
        raise ConfigError(
            f"{taken.sources['size'].source}: its input is {sides} pixels, but Convscale's inputs are square",
            hint="set --resolution PX, one side",
        )
    require_possible(values["mean"], values["std"], (taken.sources["mean"], taken.sources["std"]))
    network = replace(network, padding=values["padding"], norm_eps=values["norm_eps"], resolution=values["size"])
    return network, Preprocessing(
        values["size"],
        mean=values["mean"],
        std=values["std"],
        crop=values["crop"],
        interpolation=values["interpolation"],
        resize_rounding=taken.sources["crop"].resize_rounding,
    )


def _why(dialect: Dialect, fit: Fit, identity: Identity | None) -> str:
    """How it is known what the weights are, in a sentence."""
    if identity is not None:
        return identity.why()
    if dialect.follows_reference and not fit.own_table:
        return f"as in the reference code, which {dialect.name} follows"
    if dialect.name == "convscale":
        return f"the file has no Convscale header: read with the table of {fit.network.name}"
    return f"read with {fit.network.name}'s own table: {dialect.name} does not have it"
