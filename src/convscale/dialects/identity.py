"""Which published weights a file's are, how that is known, and what stays in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convscale.catalog import CATALOG
from convscale.dialects.layout import Dialect
from convscale.dialects.layout import dialect as dialect_of
from convscale.dialects.matching import Fit
from convscale.dialects.names import Named, by_sha256, given, named, named_file
from convscale.dialects.published_weights import Published, published, rows_of
from convscale.dialects.reading import Foreign
from convscale.dialects.statements import Statement, says
from convscale.layers import resolve

OPTION, CONTENT = "--network", "the file's sha256"
_ALIKE = ("torchvision", "timm")  # they name the tensors of ResNets alike


@dataclass(frozen=True, slots=True)
class Identity:
    """The published weights that a file's are, or the usual ones of its architecture.

    by: how that is known; empty where nothing says it. exact: the weights are named, and not an architecture alone.
    rest: what else the name says, and is not known. notes: what contradicts it.
    """

    row: Published
    by: str = ""
    exact: bool = False
    rest: str = ""
    notes: tuple[str, ...] = ()

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
                f"{says(self.by, 'begins')} like a name of {row.name}, but {self.rest!r} is no known tag: "
                f"what is stated nowhere else is taken from {row.name}"
            )
        if not self.exact:
            return f"{says(self.by, 'names')} only an architecture: read as {row.dialect}'s default for it, {row.name}"
        return f"as {row.dialect} publishes {row.name}, by {self.by}"


def identify(
    dialect: Dialect, fit: Fit, foreign: Foreign, wanted: str | None, declared: Sequence[Statement]
) -> Identity | None:
    """What the caller names, what the file's content is known as, what it or its configuration says, what its own name
    or its folders' names say, and else what is usual; None where nothing is published.

    Raises UnknownNameError for a name that claims weights that are unknown.
    """
    rows = candidates(dialect, fit)
    said = list(_said(rows, declared))
    chosen = given(wanted, dialect.name) if wanted and wanted not in CATALOG else None
    if chosen is not None and chosen.row.network == fit.network.name:
        return _against(Identity(chosen.row, OPTION, chosen.exact), said)
    content = by_sha256(foreign.sha256, rows)
    if content is not None:
        return _against(Identity(content, CONTENT, True), said)
    said += _named_by_path(foreign.path, rows, declared)
    first = _first(said)
    if first is not None:
        return _against(first, said)
    return Identity(rows[0]) if rows and not dialect.follows_reference else None


def _first(said: Sequence[Identity]) -> Identity | None:
    """The first of them, where it is an architecture alone the first that names weights of it."""
    first = said[0] if said else None
    if first is None or first.exact or first.rest:
        return first
    return next((one for one in said if one.exact and one.row.architecture == first.row.architecture), first)


def _against(identity: Identity, said: Sequence[Identity]) -> Identity:
    """The identity, with notes on who says otherwise."""
    row = identity.row
    others = [
        one for one in said
        if one.row.architecture != row.architecture or (one.exact and one.row.name != row.name)
    ]  # fmt: skip
    notes = [
        f"{says(one.by, 'names')} {one.row.name if one.exact else one.row.architecture}: not used, since {identity.by} "
        "comes first"
        for one in others
    ]
    return replace(identity, notes=tuple(notes))


def candidates(dialect: Dialect, fit: Fit) -> list[Published]:
    """What is published of a network by the library that the file is of, and by others that name its tensors alike."""
    network, names = fit.network.name, {entry.theirs for entry in fit.entries}
    rows = rows_of(dialect.name, network)
    for other in _ALIKE:
        more = rows_of(other, network) if other != dialect.name and dialect.name in _ALIKE else []
        if more and names == {entry.theirs for entry in dialect_of(other).entries(resolve(fit.network))}:
            rows += more
    return rows


def _said(rows: Sequence[Published], declared: Sequence[Statement]) -> Iterator[Identity]:
    """What the file and its configuration name."""
    for one in declared:
        ordered = sorted(rows, key=lambda row: row.dialect != one.dialect)
        yield from _identity(named(one.weights, ordered) if one.weights else None, one.source)


def _named_by_path(path: Path, rows: Sequence[Published], declared: Sequence[Statement]) -> Iterator[Identity]:
    """What the file's name and those of its folders mean."""
    path = path.absolute()  # the same from any folder; links of a cache stay
    find = named if any(one.mean for one in declared) else named_file  # a tag of one's own, with all that it means
    yield from _identity(find(path.name, rows), "the file's name")
    yield from _identity(find(path.parent.name, rows), "the folder's name")
    for folder in list(path.parents)[1:3]:  # models--timm--NAME/snapshots/REVISION/FILE
        if folder.name.startswith("models--"):
            yield from _identity(find(folder.name, rows), "the repository's name")


def _identity(found: Named | None, by: str) -> Iterator[Identity]:
    if found is not None:
        yield Identity(found.row, by, found.exact, found.rest)


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
    be = "is" if len(different) == 1 else "are"
    one = max(different, key=lambda other: (other.padding, other.norm_eps) != (row.padding, row.norm_eps))
    return [
        f"{len(different)} of {len(others)} published weights with the same tensors {be} used differently, such as "
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
    if meant is None and statement.weights in CATALOG and not fit.own_table:
        return statement.weights != fit.network.name
    return meant is not None and meant.row.network != fit.network.name


def unknown_network(statement: Statement, fit: Fit) -> bool:
    """Whether a statement names a network that is not known here, although its tensors look like one that is."""
    known = not statement.weights or statement.weights in CATALOG or named(statement.weights, published()) is not None
    return not known and not fit.own_table
