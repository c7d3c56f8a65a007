"""Results of studies that nobody trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from convscale.records import BASELINE, DataChoice, Method, StudyResult, StudyRow, StudySpec
from convscale.scaling import Scaling

NAMES = (
    "compound", "WWWWWWWW MMMMMMMM WWWWWWWW MMMMMMMM WWWWWWWW", "width at depth 2, resolution 1.5", "a" * 90,
    "$x_1^{2", "日本語 with words", "shares 0.3333/0.3333/0.3333", "i",
)  # fmt: skip


def row(method: str, macs: int, params: int, accuracy: float | None, half: float | None, **others: Any) -> StudyRow:
    given: dict[str, Any] = {
        "baseline": "small-mbconv", "asked": None if method == BASELINE else 4.0, "cost_ratio": 4.0,
        "scaling": Scaling(), "shares": None, "network": "n", "resolution": 16, "epochs": 6, "steps": 186,
        "seeds": 3, "baseline_accuracy": 0.5, "device_seconds": 1.0, "failures": (),
    }  # fmt: skip
    interval = None if accuracy is None or half is None else (accuracy - half, accuracy + half)
    own = {"method": method, "macs": macs, "params": params, "accuracy": accuracy, "interval95": interval}
    return StudyRow(**(given | own | others))


def study(rows: Sequence[StudyRow], **others: Any) -> StudyResult:
    methods = tuple(dict.fromkeys(one.method for one in rows if one.method != BASELINE)) or ("compound",)
    given: dict[str, Any] = {
        "name": "planted", "baselines": ("small-mbconv",), "costs": (4.0,), "lengths": (2, 6),
        "methods": tuple(Method(law="compound", name=name) for name in methods),
        "data": DataChoice(source="/data/cifar10", train_images=5000),
    }  # fmt: skip
    spec = StudySpec(**(given | others))
    return StudyResult(spec=spec, rows=tuple(rows), differences=(), length_changes=(), reuses=(), unreachable=())


def drawn_at_random(seed: int) -> StudyResult:
    """1 to 8 methods at 1 to 6 costs, over whatever range; wide and missing intervals, some rows without a result."""
    draw = random.Random(seed)
    names = draw.sample(NAMES, draw.randint(1, 8))
    base, span = 10 ** draw.uniform(3, 9), 10 ** draw.choice((0.01, 0.1, 0.6, 2, 6))
    costs = [base * span ** (index / 5) for index in range(draw.randint(1, 6))]
    rows = [row(BASELINE, round(base), round(base / 10), draw.random(), 0.1)]
    for name in names:
        for cost in costs:
            accuracy = draw.choice((None, draw.random(), draw.random(), 0.0, 1.0))
            params = round(base / 10 * draw.choice((1, draw.uniform(1, 20))))
            macs = round(cost * draw.uniform(0.98, 1))
            rows.append(row(name, macs, params, accuracy, draw.choice((None, 0.003, 0.6))))
    return study(rows, quoted=draw.random() < 0.3, name=draw.choice(("planted", "a study with a name " * 6)))
