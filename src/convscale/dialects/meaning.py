"""What a foreign file does not say: padding, BN eps, size and preprocessing, from what is given, published or usual."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from convscale.dialects.layout import Dialect
from convscale.dialects.matching import Fit
from convscale.dialects.published_weights import Published, find_published, reference_preprocessing, rows_of
from convscale.dialects.reading import Foreign
from convscale.networks import ConvNet, Padding
from convscale.preprocessing import Preprocessing, default_preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the caller says of a file, in the place of what is known or usual; None: not said.

    network: a name of the catalog, a TOML file, or the name of published weights, as tf_efficientnet_b0.in1k. mean,
    std: of values of 0 to 1, one for each channel, or one for all.
    """

    network: str | None = None
    padding: Padding | None = None
    norm_eps: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: float | None = None
    resolution: int | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """A file's network and preprocessing, its licence where it is a published one, and what had to be assumed."""

    network: ConvNet
    preprocessing: Preprocessing
    licence: str
    notes: tuple[str, ...]


def meaning_of(dialect: Dialect, fit: Fit, foreign: Foreign, choices: Choices) -> Meaning:
    """What is given counts, then what is published under the file's name, then what is usual. Raises ConfigError for
    values that make no sense."""
    row, why, doubts = _row(dialect, fit, foreign, choices.network)
    if row is not None:
        network, preprocessing = row.apply_to(fit.network), row.preprocessing
    elif dialect.follows_reference and not fit.own_table:
        network = replace(fit.network, padding="same", norm_eps=1e-3)
        preprocessing = reference_preprocessing(network.resolution)
    else:
        network, preprocessing = fit.network, default_preprocessing(fit.network.resolution, 3)
    notes = [why, *doubts]
    if dialect.name == "keras":
        preprocessing, inside = _keras_statistics(fit.tensors, preprocessing)
        notes += inside
    if network.input_channels == 1:
        preprocessing = replace(preprocessing, mean=(0.449,), std=(0.226,))
    network = replace(
        network,
        padding=choices.padding or network.padding,
        norm_eps=network.norm_eps if choices.norm_eps is None else choices.norm_eps,
        resolution=choices.resolution or network.resolution,
    )
    preprocessing = replace(
        preprocessing,
        size=network.resolution,
        mean=_each(choices.mean, network) or preprocessing.mean,
        std=_each(choices.std, network) or preprocessing.std,
        crop=preprocessing.crop if choices.crop is None else choices.crop,
    )
    if row is not None and row.squashed:
        notes.append(f"{dialect.name} evaluates them on whole images squashed to a square: here the centre is cut out")
    notes.append(f"taken: padding {network.padding}, BN eps {network.norm_eps:g}, {preprocessing.in_words()}")
    if dialect.name == "transformers":
        notes.append("transformers pads as at the native size whatever the size: at others its logits differ")
    return Meaning(network, preprocessing, row.licence if row else "", tuple(notes))


def _each(values: tuple[float, ...] | None, network: ConvNet) -> tuple[float, ...] | None:
    return values * network.input_channels if values and len(values) == 1 else values


def _row(dialect: Dialect, fit: Fit, foreign: Foreign, wanted: str | None) -> tuple[Published | None, str, list[str]]:
    """The published weights that these are or are nearest to, how that is known, and what stays in doubt."""
    network = fit.network
    rows = [] if fit.own_table else rows_of(dialect.name, network.name)
    if dialect.follows_reference and not fit.own_table:
        return None, f"the file does not say: as the reference code has it, which {dialect.name} follows", []
    if not rows:
        return None, f"the file does not say: as {network.name}'s own table has it, which {dialect.name} has not", []
    for text, source in (
        (wanted, "--network"), (foreign.path.name, "the file's name"), (foreign.path.parent.name, "the folder's name"),
    ):  # fmt: skip
        row = find_published(text or "", rows)
        if row is not None:
            why = f"the file does not say: as {dialect.name} publishes {row.name}, by {source}"
            return row, why, [] if (text or "").startswith(row.name) else _doubts(row, rows)
    row = rows[0]
    return row, f"the file does not say: as usual for {dialect.name}'s {row.architecture}", _doubts(row, rows)


def _doubts(row: Published, others: list[Published]) -> list[str]:
    """What others with the very same tensors have different."""
    different = [one for one in others if _use(one) != _use(row)]
    if not different:
        return []
    one = max(different, key=lambda other: (other.padding, other.norm_eps) != (row.padding, row.norm_eps))
    return [
        f"{len(different)} of {len(others)} published weights with the same tensors are used otherwise, as {one.name}: "
        f"padding {one.padding}, BN eps {one.norm_eps:g}, {one.preprocessing.in_words()}; --network NAME picks one"
    ]


def _use(row: Published) -> tuple[object, ...]:
    return row.padding, row.norm_eps, row.preprocessing


def _keras_statistics(tensors: dict[str, Tensor], preprocessing: Preprocessing) -> tuple[Preprocessing, list[str]]:
    """The normalisation inside Keras's model, which expects values of 0 to 255, on values of 0 to 1 as here."""
    mean, variance = tensors.get("normalization/mean"), tensors.get("normalization/variance")
    if mean is None or variance is None:
        return preprocessing, []
    means, variances = mean.flatten().tolist(), variance.flatten().tolist()
    if all(abs(value - std) < 1e-3 for value, std in zip(variances, preprocessing.std, strict=True)):
        note = "normalisation was inside the model, with the Rescaling that mends its variance (tensorflow issue 49930)"
        return replace(preprocessing, mean=tuple(means), std=tuple(variances)), [note]
    std = tuple(value**0.5 or 1.0 for value in variances)
    return replace(preprocessing, mean=tuple(means), std=std), [
        "normalisation was inside the model, by its own figures"
    ]
