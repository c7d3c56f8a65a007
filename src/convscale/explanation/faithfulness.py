"""Whether a network needs what a map points at: pixels are taken away or put in by the map's order, beside controls.

All measures are worth between -1 and 1, more is better, and none is taken on trust: each stands beside the same measure
of maps that know nothing, on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convscale.data.loader import Normalise
from convscale.data.randomness import Purpose, keyed
from convscale.explanation.comparing import against
from convscale.explanation.controls import BLOB, EDGES, RANDOM, UNTRAINED, centred_blob, edge_strength, random_map
from convscale.explanation.explained import Explanation
from convscale.explanation.imputing import impute
from convscale.explanation.looking import look
from convscale.explanation.methods import METHODS
from convscale.explanation.placing import place
from convscale.nn import Model, build
from convscale.records.explanations import Faithfulness, FaithfulScores

SHARES = tuple(step / 10 for step in range(1, 10))  # of the pixels that are taken away, or put in
ROAD_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
BLUR = 0.05  # of a side: a standard deviation of what pixels are put into
MEASURES = ("insertion", "deletion", "road")
MAPS = "maps"


class Scores(NamedTuple):
    """Of one map. insertion: the area below the class's probability while pixels are put into a blurred image, most
    important first. deletion: 1 minus that area while they are replaced by the image's mean colour (Petsiuk et al.
    2018). road: how much more probable the class stays without the least important pixels than without the most
    important, both imputed (Rong et al. 2022)."""

    insertion: float
    deletion: float
    road: float


class FaithfulTally:
    """Measures maps one by one, each beside the controls; `model` as `opened` gives it, which nobody else uses."""

    def __init__(self, model: Model, method: str, seed: int = 0) -> None:
        assert model.preprocessing is not None
        device = next(model.parameters()).device
        self.model, self.method, self.seed = model, method, seed
        self.untrained = build(model.network, seed=seed).eval().to(device)
        self.normalise = Normalise(model.preprocessing, device)
        self.scores: dict[str, list[Scores]] = {name: [] for name in (MAPS, BLOB, RANDOM, EDGES, UNTRAINED)}

    def add(self, one: Explanation, class_index: int) -> None:
        """A map."""
        number = len(self)
        with torch.inference_mode(False), torch.no_grad():
            image = self.normalise(torch.from_numpy(one.view)[None])
            for name, placed in self._maps(one, image, class_index, number).items():
                generator = keyed(Purpose.CONTROL, self.seed, number, 1)
                self.scores[name].append(score(self.model, image, placed, class_index, generator))

    def _maps(self, one: Explanation, image: Tensor, class_index: int, number: int) -> dict[str, NDArray[np.float32]]:
        """The map and its controls over the network's view; those that are made of cells have the same cells."""
        size = one.view.shape[-1]
        rows, columns = one.rows.of_view(), one.columns.of_view()
        classes = torch.tensor([class_index], device=image.device)
        untrained = METHODS[self.method](self.untrained, look(self.untrained, image).features, classes)
        cells = {
            MAPS: one.map,
            RANDOM: random_map(one.map.shape, keyed(Purpose.CONTROL, self.seed, number)),
            EDGES: edge_strength(one.view, rows, columns),
            UNTRAINED: untrained[0].float().cpu().numpy(),
        }
        placed = {name: place(values, rows, columns, size, size) for name, values in cells.items()}
        return placed | {BLOB: centred_blob(size, size)}

    def __len__(self) -> int:
        return len(self.scores[MAPS])

    def own_scores(self) -> dict[str, list[float]]:
        """What each map scored, by measure."""
        return _by_measure(self.scores[MAPS])

    def result(self) -> Faithfulness:
        """All of them; at least one map must have been added."""
        own = _by_measure(self.scores[MAPS])
        controls = {name: _by_measure(scores) for name, scores in self.scores.items() if name != MAPS}
        pairs = {
            name: {measure: (own[measure], values[measure]) for measure in MEASURES}
            for name, values in controls.items()
        }
        summaries = {name: _summary(name, values) for name, values in ({MAPS: own} | controls).items()}
        return Faithfulness(
            len(self), summaries.pop(MAPS), tuple(summaries.values()), against(pairs)
        )  # fmt: skip


def score(
    model: Model, image: Tensor, placed: NDArray[np.float32], class_index: int, generator: np.random.Generator
) -> Scores:
    """Of a map (h, w) over an image (1, c, h, w), normalised. Equal values of the map are ordered at random."""
    ranks = _ranks(placed, generator).to(image.device)
    inserted = ranks < torch.tensor(SHARES, device=ranks.device).view(-1, 1, 1, 1)
    blurred, mean = _blurred(image), image.mean((2, 3), keepdim=True).expand_as(image)
    removed = torch.tensor(ROAD_SHARES, device=ranks.device).view(-1, 1, 1, 1)
    kept = torch.cat([ranks < 1 - removed, ranks >= removed])  # without the least, without the most important
    noise = torch.Generator().manual_seed(int(generator.integers(2**31)))
    parts = [
        image, blurred, mean, torch.where(inserted, image, blurred), torch.where(inserted, mean, image),
        impute(image.expand(len(kept), -1, -1, -1), kept, noise),
    ]  # fmt: skip
    found = look(model, torch.cat(parts)).logits.float().softmax(1)[:, class_index].double().cpu().numpy()
    whole, blur, none = found[:3]
    putting, taking, road = np.split(found[3:], [len(SHARES), 2 * len(SHARES)])
    least, most = np.split(road, 2)
    return Scores(
        _area([blur, *putting, whole]), 1 - _area([whole, *taking, none]), float((least - most).mean())
    )  # fmt: skip


def _ranks(placed: NDArray[np.float32], generator: np.random.Generator) -> Tensor:
    """The place of each pixel in the map's order, most important first, from 0 to below 1."""
    order = np.lexsort((generator.random(placed.size), -placed.ravel()))
    ranks = np.empty(placed.size, dtype=np.float32)
    ranks[order] = np.arange(placed.size) / placed.size
    return torch.from_numpy(ranks.reshape(1, 1, *placed.shape))


def _blurred(image: Tensor) -> Tensor:
    """The image without its detail."""
    sigma = max(1.0, BLUR * image.shape[-1])
    reach = min(round(2.5 * sigma), image.shape[-1] - 1)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma) ** 2)
    taps, channels = taps / taps.sum(), image.shape[1]
    for shape, pad in (((1, -1), (reach, reach, 0, 0)), ((-1, 1), (0, 0, reach, reach))):
        kernel = taps.view(1, 1, *shape).expand(channels, 1, -1, -1)
        image = F.conv2d(F.pad(image, pad, mode="replicate"), kernel, groups=channels)
    return image


def _area(curve: Sequence[float]) -> float:
    """Below a curve whose points are evenly spread over 0 to 1."""
    values = np.asarray(curve)
    return float((values[:-1] + values[1:]).mean() / 2)


def _by_measure(scores: Sequence[Scores]) -> dict[str, list[float]]:
    return {measure: [getattr(one, measure) for one in scores] for measure in MEASURES}


def _summary(name: str, scores: Mapping[str, Sequence[float]]) -> FaithfulScores:
    return FaithfulScores(name, **{measure: float(np.mean(values)) for measure, values in scores.items()})
