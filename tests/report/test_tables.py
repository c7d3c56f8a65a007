"""Tables: nothing is lost at any width, and one definition says the same on a terminal, in Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

import convscale as cs
from convscale.planning import family
from convscale.records import TrainedFamily, TrainedMember
from convscale.report.networks import cost_table, family_table, network_table, plan_table, stage_table
from convscale.report.studies import quoted_table
from convscale.report.tables import Column, Table, as_csv, interval, markdown, terminal_lines, text_column
from convscale.scaling import PAPER
from convscale.terminal import columns, cut, fitted, wrapped

WIDTHS = (20, 30, 45, 60, 80, 200)
B0 = cs.network("efficientnet-b0")
BOTH = family(B0, PAPER.law(), [0, 1])
TRAINED = TrainedFamily(
    B0,
    BOTH.law,
    (
        TrainedMember(BOTH.members[0], 0.5, (0.4, 0.6), 3, 100, ()),
        TrainedMember(BOTH.members[1], None, None, 0, 0, ("the loss exploded",)),
    ),
)
TABLES = {
    "stages": stage_table(B0),
    "cost": cost_table(cs.cost(B0)),
    "plan": plan_table(cs.plan(B0, cs.Budget(macs="1G", params="9M", inference_memory_bytes="64MB"))),
    "family": family_table(family(B0, PAPER.law(), [0, 1, 2])),
    "trained": family_table(TRAINED),
    "list": network_table({name: cs.cost(cs.network(name)) for name in ("resnet-50", "efficientnet-lite0")}),
    "quoted": quoted_table(),
    "wide": Table(
        (text_column("名前"), Column("images"), text_column("note", wrap=True)),
        [("犬と猫の写真がたくさん", 12, "x" * 70), ("e\u0301te\u0301", None, "a | b"), ("", 3, "")],
        "A title that is longer than the narrowest of the terminals here",
    ),
}  # fmt: skip


def letters(texts: list[str]) -> Counter[str]:
    """Whatever is not blank, and how often."""
    return Counter("".join("".join(texts).split()))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", TABLES)
def test_every_table_fits_and_loses_nothing(name: str, width: int) -> None:
    table = TABLES[name]
    lines = terminal_lines(table, width)
    assert max(map(columns, lines)) <= width
    wanted = letters([table.title, *(cell for row in table.cells() for cell in row)])
    assert not wanted - letters(lines), "a character of a cell is missing"
    assert "\u2026" not in "".join(lines)


@pytest.mark.parametrize("name", TABLES)
def test_without_a_width_a_row_is_a_line(name: str) -> None:
    table = TABLES[name]
    headings = any(column.heading for column in table.columns)
    lines = terminal_lines(table)
    assert len(lines) == bool(table.title) + headings + len(table.rows)
    for line, row in zip(lines[-len(table.rows) :], table.cells(), strict=True):
        assert line.split() == " ".join(row).split()


CELLS = st.one_of(st.none(), st.integers(), st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))))


@given(
    st.integers(1, 6).flatmap(
        lambda count: st.tuples(
            st.lists(st.tuples(st.text("abc de\u00ad", max_size=12), st.booleans()), min_size=count, max_size=count),
            st.lists(st.lists(CELLS, min_size=count, max_size=count), max_size=4),
        )
    ),
    st.integers(8, 100),
)
def test_any_table_fits_any_width(content: tuple[list[tuple[str, bool]], list[list[object]]], width: int) -> None:
    headings, rows = content
    table = Table([Column(heading, wrap=wrap, align="left") for heading, wrap in headings], rows)
    lines = terminal_lines(table, width)
    assert all(columns(line) <= width for line in lines)
    assert not letters([cell for row in table.cells() for cell in row]) - letters(lines)


def test_what_the_layouts_look_like() -> None:
    table = Table(
        (text_column(""), Column("share", "{:.1%}".format), Column("acti\u00advations", detail=1), Column("px")),
        [("plan", 0.995, 12, 224), ("naive", 1.319, None, 240)],
    )
    assert terminal_lines(table, 40) == [
        "        share  activations   px",
        "plan    99.5%           12  224",
        "naive  131.9%               240",
    ]
    assert terminal_lines(table, 30)[:3] == [
        "                 acti-",
        "        share  vations   px",
        "plan    99.5%       12  224",
    ]
    assert terminal_lines(table, 20) == [
        "        share   px",
        "    activations",
        "plan    99.5%  224",
        "             12",
        "naive  131.9%  240",
    ]
    assert terminal_lines(table, 12)[:3] == ["plan", "share", "  99.5%"]
    assert terminal_lines(table, 40, bold=str.upper)[0] == "        SHARE  ACTIVATIONS   PX"


def test_markdown_and_csv_hold_the_cells_of_the_terminal() -> None:
    for table in TABLES.values():
        head, _, *body = (re.split(r"(?<!\\)\|", line)[1:-1] for line in markdown(table))
        assert [cell.strip() for cell in head] == [column.name for column in table.columns]
        shown = [[cell.strip().replace("\\|", "|") for cell in line] for line in body]
        assert shown == [[cell.strip() for cell in row] for row in table.cells()]
        rows = list(csv.reader(io.StringIO(as_csv(table))))
        assert rows[1:] == [["" if value is None else str(value) for value in row] for row in table.rows]


def test_a_name_with_control_characters_moves_no_cursor() -> None:
    assert terminal_lines(Table((Column("name"),), [("a\x1b[2J\nb",)]))[1] == r"a\x1b[2J\nb"


def test_text_is_broken_between_words() -> None:
    assert wrapped("one two  three", 8) == ["one two", "three"] and wrapped("a  b", 8) == ["a  b"]
    assert wrapped("/a/long/path in it", 6) == ["/a/long/path", "in it"]
    assert wrapped("abcdefgh", 3, break_words=True) == ["abc", "def", "gh"]
    broken = ["data       1,438", "           training", "           images"]
    assert fitted("data       1,438 training images", 22).splitlines() == broken
    assert fitted("x " * 50, None) == "x " * 50
    assert (columns("猫a"), cut("猫猫", 3), columns("e\u0301")) == (3, "猫", 1)
    assert interval((0.4, 0.6)) == "0.4000 to 0.6000"
