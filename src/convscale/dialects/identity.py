"""Which published weights a file's are, how that is known, and what stays in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convscale.catalog import CATALOG
from convscale.dialects.layout import Dialect
from convscale.dialects.layout import dialect as dialect_of
from convscale.dialects.matching import Fit
from convscale.dialects.names import Named, by_sha256, given, named, named_file
from convscale.dialects.published_weights import Published, published, rows_of
from convscale.dialects.reading import Foreign
from convscale.dialects.statements import Statement
from convscale.layers import resolve

OPTION, CONTENT = "--network", "the file's sha256"
_ALIKE = ("torchvision", "timm")  # they name the tensors of ResNets alike


@dataclass(frozen=True, slots=True)
class Identity:
    """The published weights that a file's are, or the usual ones of its architecture.

    by: how that is known; empty where nothing says it. exact: the weights are named, and not an architecture alone.
    rest: what else the name says, and is not known.
    """

    row: Published
    by: str = ""
    exact: bool = False
    rest: str = ""

    @property
    def source(self) -> str:
        """What reports call it."""
        return f"{self.row.name}, by {self.by}" if self.by else f"{self.row.name}, as usual for {self.row.dialect}"

    def why(self) -> str:
        """How the weights are known, in a sentence."""
        row = self.row
        if not self.by:
            usual = f"the default of {row.dialect}'s {row.architecture}"
            return f"the file does not say what it is: read as {row.name}, {usual}"
        if self.rest:
            return (
                f"{self.by} begins like a name of {row.name}, but {self.rest!r} is no known tag: "
                f"what is stated nowhere else is taken from {row.name}"
            )
        if not self.exact:
            return f"{self.by} names only an architecture: read as {row.dialect}'s default for it, {row.name}"
        return f"as {row.dialect} publishes {row.name}, by {self.by}"


def identify(
    dialect: Dialect, fit: Fit, foreign: Foreign, wanted: str | None, declared: Sequence[Statement]
) -> Identity | None:
    """What the caller names, what the file's content is known as, what its configuration, its own name or its
    folder's names, and else what is usual; None where nothing is published.

    Raises UnknownNameError for a name that claims weights that are unknown.
    """
    chosen = given(wanted, dialect.name) if wanted and wanted not in CATALOG else None
    if chosen is not None and chosen.row.network == fit.network.name:
        return Identity(chosen.row, OPTION, chosen.exact)
    rows = candidates(dialect, fit)
    content = by_sha256(foreign.sha256, rows)
    if content is not None:
        return Identity(content, CONTENT, True)
    texts = list(_texts(foreign.path, rows, declared))
    first = next((one for one in texts if one.exact), next(iter(texts), None))
    if first is not None or dialect.follows_reference or not rows:
        return first
    return Identity(rows[0])


def candidates(dialect: Dialect, fit: Fit) -> list[Published]:
    """What is published of a network by the library that the file is of, and by others that name its tensors alike."""
    network, names = fit.network.name, {entry.theirs for entry in fit.entries}
    rows = rows_of(dialect.name, network)
    for other in _ALIKE:
        more = rows_of(other, network) if other != dialect.name and dialect.name in _ALIKE else []
        if more and names == {entry.theirs for entry in dialect_of(other).entries(resolve(fit.network))}:
            rows += more
    return rows


def _texts(path: Path, rows: Sequence[Published], declared: Sequence[Statement]) -> Iterator[Identity]:
    """What the configuration, the file's name and those of its folders mean."""

    def identity(found: Named | None, by: str) -> Iterator[Identity]:
        if found is not None:
            yield Identity(found.row, by, found.exact, found.rest)

    path = path.absolute()  # the same from any folder; links of a cache stay
    for one in declared:
        ordered = sorted(rows, key=lambda row: row.dialect != one.dialect)
        yield from identity(named(one.weights, ordered) if one.weights else None, one.source)
    find = named if any(one.mean for one in declared) else named_file  # a tag of one's own, with all that it means
    yield from identity(find(path.name, rows), "the file's name")
    yield from identity(find(path.parent.name, rows), "the folder's name")
    for folder in list(path.parents)[1:3]:  # models--timm--NAME/snapshots/REVISION/FILE
        if folder.name.startswith("models--"):
            yield from identity(find(folder.name, rows), "the repository's name")


def doubts(identity: Identity | None, rows: Sequence[Published], settings: Sequence[str]) -> list[str]:
    """What other weights with the very same tensors have different, among the settings that are taken from the
    table: those of the same architecture, where it is named."""
    if identity is None or identity.exact:
        return []
    row = identity.row
    others = [one for one in rows if not identity.by or one.architecture == row.architecture]
    different = [one for one in others if _use(one, settings) != _use(row, settings)]
    if not different:
        return []
    one = max(different, key=lambda other: (other.padding, other.norm_eps) != (row.padding, row.norm_eps))
    return [
        f"{len(different)} of {len(others)} published weights with the same tensors are used differently, such as "
        f"{one.name}: padding {one.padding}, BN eps {one.norm_eps:g}, {one.preprocessing.in_words()}; "
        "--network NAME picks one"
    ]


def _use(row: Published, settings: Sequence[str]) -> tuple[object, ...]:
    return tuple(
        getattr(row if setting in ("padding", "norm_eps") else row.preprocessing, setting) for setting in settings
    )


def altered(identity: Identity | None, foreign: Foreign) -> list[str]:
    """A note where a file bears the hash of a published one, and is another."""
    row = None if identity is None else identity.row
    if row is None or not row.hash or row.hash not in foreign.path.name or foreign.sha256.startswith(row.hash):
        return []
    return [f"the file's name has the hash of {row.name}, but its content differs: trained further, or saved again"]


def other_network(statement: Statement, fit: Fit) -> bool:
    """Whether a statement names published weights of another network than the tensors are of."""
    meant = named(statement.weights, published()) if statement.weights and not fit.own_table else None
    return meant is not None and meant.row.network != fit.network.name
