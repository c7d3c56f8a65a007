"""Objects fit a screen, as text and as a page, whatever names somebody else chose."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

import convscale as cs
from convscale.display import MAX_ROWS, MAX_WIDTH, Display
from convscale.preprocessing import default_preprocessing

HOSTILE = '<script>alert("x")</script>\n\x1b[31mred &amp; \u202e' + "long" * 100


def shown() -> dict[str, Any]:
    """One of every kind, with names that somebody else chose."""
    net = replace(cs.network("resnet-18"), name=HOSTILE)
    law = cs.law("compound")
    evaluation = cs.Evaluation(0.5, 0.9, 1000, (0.4, 0.6), tuple(cs.ClassRecord(HOSTILE, 1, 1.0) for _ in range(1000)))
    candidate = cs.Candidate((1, 0, 0), (1, 0, 0), law(1), net, 1, 2.0)
    choice = cs.DataChoice(source=HOSTILE)
    spec = replace(cs.read_study("demo"), name=HOSTILE, question=HOSTILE, data=choice, baselines=(net, HOSTILE))
    preprocessing = default_preprocessing(224, 3)
    return {
        "network": net,
        "scaled": cs.scale(net, law(1)),
        "cost": cs.cost(net),
        "plan": cs.plan(net, cs.Budget(macs="2G", params="12M")),
        "proposal": cs.plan(net, cs.Budget(macs="2G")).chosen,
        "family": cs.family(net, law, [index / 16 for index in range(40)]),
        "graph": cs.resolve(net),
        "block": cs.resolve(net).stem,
        "recipe": replace(cs.recipe("efficientnet"), note=HOSTILE),
        "evaluation": evaluation,
        "candidate": candidate,
        "trial": cs.Trial(network=net, recipe=cs.recipe("digits"), data=choice, seed=0),
        "spec": spec,
        "header": cs.WeightsHeader(net, preprocessing, tuple(f"{HOSTILE}{index}" for index in range(1000))),
        "dataset": cs.open_dataset("digits"),
    }


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    return shown()


SHOWN = [
    "network", "scaled", "cost", "plan", "proposal", "family", "graph", "block", "recipe", "evaluation", "candidate",
    "trial", "spec", "header", "dataset",
]  # fmt: skip


def require_screen(text: str) -> None:
    lines = text.split("\n")
    assert 1 <= len(lines) <= MAX_ROWS + 9
    assert max(map(len, lines)) <= MAX_WIDTH + 20 and all(line == line.rstrip() for line in lines)
    assert all(character.isprintable() for line in lines for character in line)


@pytest.mark.parametrize("kind", SHOWN)
def test_objects_fit_a_screen(objects: dict[str, Any], kind: str) -> None:
    assert list(objects) == SHOWN
    require_screen(repr(objects[kind]))


@pytest.mark.parametrize("name", cs.list_networks())
def test_networks_print_as_their_table(name: str) -> None:
    net = cs.network(name)
    require_screen(repr(net))
    lines = repr(net).splitlines()
    assert name in lines[0] and len(lines) >= len(net.stages) + 4
    for stage, line in zip(net.stages, lines[3:], strict=False):
        assert {str(stage.channels), str(stage.stride), str(stage.repeats)} <= set(line.split())


class Tags(HTMLParser):
    """Which tags a page has, and whether they are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name == "style" for name, _ in attrs)
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", [kind for kind in SHOWN if kind != "block"])
def test_pages_hold_names_as_text_alone(objects: dict[str, Any], kind: str) -> None:
    page = objects[kind]._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert not tags.open and tags.seen <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert "<script" not in page and "\x1b" not in page and "\u202e" not in page and "http" not in page
    if kind not in ("dataset", "evaluation"):  # which show no name
        assert "<script>" in tags.text and "&amp;" in tags.text  # as it was written, not as it would be read
    assert len(page) < 20_000


def test_results_print_their_best_rows() -> None:
    row = cs.StudyRow(
        baseline="b", method="m", asked=2.0, cost_ratio=2.0, scaling={}, shares=None, network="n", resolution=32,
        macs=10**6, params=10**5, epochs=4, steps=40, accuracy=0.5, interval95=None, seeds=2, baseline_accuracy=0.4,
        device_seconds=1.0, failures=(),
    )  # fmt: skip
    spec = replace(cs.read_study("demo"), lengths=(2, 4))
    rows = tuple(
        replace(row, method=f"m{index:02}", accuracy=None if index == 0 else index / 100) for index in range(30)
    )
    result = cs.StudyResult(spec=spec, rows=(*rows, replace(row, method="short", epochs=2, accuracy=0.99)),
                            differences=(), length_changes=(), reuses=(), unreachable=())  # fmt: skip
    require_screen(repr(result))
    lines = repr(result).splitlines()
    assert "m29" in lines[2] and "0.2900" in lines[2] and "18 more" in repr(result) and "short" not in repr(result)
    assert spec.question in repr(result).replace("\n    ", " ")


def test_a_display_says_what_it_leaves_out() -> None:
    rows = tuple((f"row {index}", str(index)) for index in range(100))
    for written in (Display("t", ("a", "b"), rows).text(), Display("t", rows=rows).html()):
        assert "row 11" in written and "row 12" not in written and "88 more" in written
    assert Display("only a title").text() == "only a title"
