"""Run folders made of records, without a training, and pages taken apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

import convscale as cs
from convscale.preprocessing import default_preprocessing
from convscale.records import (
    CalibrationBin,
    ClassRecord,
    ConfusedPair,
    ConfusionCell,
    DataRecord,
    Decision,
    EpochRecord,
    Evaluation,
    EvaluationDetails,
    MistakenImage,
    Story,
    TrainRecord,
)
from convscale.runs import Run, Settings, create_run
from convscale.statistics import wilson_interval

CLASSES = ("cat", "dog", "<b>owl & co</b>")
VOID = {"meta", "link", "br", "img", "hr", "input"}


def epoch(number: int, top1: float | None = 0.5) -> EpochRecord:
    return EpochRecord(number, 10, 0.1 / number, 2.0 / number, 1.0, top1, 1.0, 0.1, 0.4, 0.4, 0.1, 900.0, top1)


def evaluation(classes: tuple[str, ...] = CLASSES, n: int = 100, seed: int = 0) -> Evaluation:
    draw = random.Random(seed)
    rows = tuple(ClassRecord(name, n, draw.randint(n // 2, n) / n) for name in classes)
    right = sum(round((row.top1 or 0) * n) for row in rows)
    total, mean = n * len(classes), right / (n * len(classes))
    interval = wilson_interval(right, total)
    pairs = (ConfusedPair(classes[0], classes[1], 7),)
    return Evaluation(mean, 1.0, total, interval, rows, (), mean, 0.05, None, (0.99, 1.0), interval, pairs)


def details(folder: Path, mistakes: int = 2, side: int = 24) -> EvaluationDetails:
    """Counts of three classes, bins of which one is empty, and pictures of `mistakes` in `folder`."""
    cells = tuple(ConfusionCell(row, at, 90 if row == at else 5) for row in range(3) for at in range(3))
    bins = tuple(CalibrationBin(low / 3, (low + 1) / 3, 50 * low, low / 3 + 0.1, low / 3) for low in range(3))
    kept = []
    for number in range(mistakes):
        name = f"pictures/mistakes/{number:02d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((side, side), 60 + number).save(folder / name)
        kept.append(MistakenImage(f"photos/{number}.jpg", "cat", "dog", 0.9 - number / 100, name))
    return EvaluationDetails(CLASSES, cells, bins, tuple(kept))


def made_run(path: Path, *, epochs: int = 3, finished: bool = True, seed: int = 0, macs: str = "2M") -> Run:
    """The folder of a run as a planned training leaves it, but for its weights."""
    plan = cs.plan(cs.network("small-mbconv"), cs.Budget(macs=macs))
    network = replace(plan.network, num_classes=len(CLASSES))
    story = Story(
        command="convscale fit photos --macs 2M",
        started="2026-01-31T12:00:00+00:00",
        decisions=(Decision("baseline", "small-mbconv", "images are about 32 px"), Decision("recipe", "digits")),
        notes=("not used: 1 text file",),
    )
    data = DataRecord("photos", "stratified", 0, "label", 240, 60, "abc")
    preprocessing = default_preprocessing(network.resolution, network.input_channels)
    recipe = replace(cs.recipe("digits"), epochs=epochs, warmup_epochs=0)
    run = create_run(path, network, recipe, data, Settings(seed=seed), {}, {}, preprocessing, story=story, plan=plan)
    for number in range(1, epochs + 1):
        run.append_metrics(epoch(number, 0.3 + 0.2 * number / epochs))
    if finished:
        found = evaluation(seed=seed)
        run.write_evaluation(found)
        run.write_details(details(run.path))
        run.write_result(TrainRecord(found.top1, epochs, 30, 12.5, 900.0, found.top1, epochs, None, 0, 1, "f" * 64))
    return run


@dataclass
class Element:
    """A tag with its attributes, all text below it, and the elements below it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, *tags: str) -> list[Element]:
        """Those with one of these tags below it, in order; every one without a tag."""
        found = []
        for child in self.children:
            found += [child] if not tags or child.tag in tags else []
            found += child.all(*tags)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> ends <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def parsed(text: str) -> Element:
    """The page as a tree. Fails where a tag is not closed, or closed out of turn."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert len(parser.open) == 1, f"<{parser.open[-1].tag}> is not closed"
    return parser.open[0]
