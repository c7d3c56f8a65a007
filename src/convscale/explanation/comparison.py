"""The same images under several networks, as the paper's Figure 7: one scale of colours, places in the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from convscale.costs import cost
from convscale.data.randomness import Purpose, keyed
from convscale.errors import ConfigError
from convscale.evaluation.inputs import GivenImage, Images, given_images
from convscale.explanation.boxes import Boxes
from convscale.explanation.comparing import against
from convscale.explanation.explained import Explanation
from convscale.explanation.explaining import Unreadable, explained, opened
from convscale.explanation.keeping import make_folder
from convscale.explanation.measures import Measures
from convscale.explanation.methods import method_for
from convscale.figures import Row, draw_comparison, panel_sides
from convscale.nn import Model
from convscale.progress import Progress
from convscale.records import ComparedNetwork, ControlDifference, ExplanationComparison, Explanations, write_record

RECORD, PICTURE = "comparison.json", "comparison.webp"
SHOWN = 12  # images at most in the picture
_DENSE = ("cam", "gradcam")  # whose cells are parts of a logit: the more of them, the smaller each


class _One(NamedTuple):
    """What was found of one network."""

    record: ComparedNetwork
    shown: dict[str, Explanation]
    measures: Measures


def compare_explanations(
    runs: Sequence[str | Path],
    images: GivenImage | Sequence[GivenImage],
    folder: Path | None = None,
    *,
    method: str | None = None,
    class_name: str | None = None,
    boxes: Boxes | None = None,
    faithful: bool = False,
    seed: int = 0,
    batch: int = 16,
    quiet: bool = False,
) -> ExplanationComparison:
    """Explain the same images by several networks; write comparison.webp, with at most twelve of them, drawn by `seed`,
    and comparison.json into `folder`, by default explanations/compared.

    Without a method all have cam, or gradcam where one of them has a head with a hidden layer. boxes, faithful: as for
    `keep_explanations`; what the first network scores is compared with each other's, image by image. Images that cannot
    be read are left out and named. Raises as `keep_explanations` does, ConfigError for fewer than two networks.
    """
    sources = [Path(one) for one in runs]
    if len(sources) < 2:
        raise ConfigError(f"{len(sources)} network cannot be compared", hint="name two run folders or weights files")
    models = [opened(source) for source in sources]
    names = {method_for(method, model.network) for model in models}
    name = names.pop() if len(names) == 1 else "gradcam"
    given, notes = given_images(images)
    place = Path("explanations") / "compared" if folder is None else folder
    chosen = _drawn(given, seed)
    progress = Progress(len(given) * len(models), quiet=quiet)
    for note in notes:
        progress.note(note)
    found: list[_One] = []
    for source, model in zip(sources, models, strict=True):
        measures = Measures(model, name, boxes, faithful, given)
        make_folder(place)
        found.append(_of_network(source, model, given, name, class_name, measures, chosen, batch, progress))
    shown = [image for image in chosen if all(image in one.shown for one in found)]
    _draw(found, shown, place / PICTURE)
    networks = tuple(one.record for one in found)
    record = ExplanationComparison(networks, tuple(shown), PICTURE, _differences(found))
    write_record(place / RECORD, record)
    return record


def _of_network(
    source: Path, model: Model, given: Images, method: str, class_name: str | None, measures: Measures,
    chosen: Sequence[str], batch: int, progress: Progress,
) -> _One:  # fmt: skip
    """The maps of all images by one network."""
    records, unreadable, shown = [], [], {}
    for one in explained(model, given, method=method, class_name=class_name, batch=batch):
        if isinstance(one, Unreadable):
            unreadable.append((one.image, one.reason))
        else:
            measures.add(one)
            records.append(one.record())
            if one.image in chosen:
                shown[one.image] = one
        progress.step(f"explaining by {source.name}")
    costs = cost(model.network)
    found = Explanations(str(source), method, tuple(records), tuple(unreadable), *measures.results())
    return _One(ComparedNetwork(model.network.resolution, costs.params, costs.macs, found), shown, measures)


def _drawn(images: Images, seed: int) -> list[str]:
    """The names of those that are shown, in their order."""
    count = len(images)
    order = keyed(Purpose.SHOWN, seed).permutation(count)[:SHOWN]
    return [images.name(int(index)) for index in sorted(order)]


def _draw(found: Sequence[_One], images: Sequence[str], path: Path) -> None:
    """A row an image: itself, and the maps on it by each network, in logits of the whole image."""
    rows = []
    for image in images:
        first, *_ = own = [one.shown[image] for one in found]
        width, height = panel_sides(first.shown.shape[1], first.shown.shape[0])
        maps = [one.placed(height, width) * (one.map.size if one.method in _DENSE else 1) for one in own]
        rows.append(Row(first.shown, maps, [f"{one.class_name}  {one.probability:.2f}" for one in own]))
    heads = [f"{Path(one.record.explanations.network).name}, {one.record.resolution} px" for one in found]
    if rows:
        draw_comparison(rows, heads, path, found[0].record.explanations.method)


def _differences(found: Sequence[_One]) -> tuple[ControlDifference, ...]:
    """What the first network scores minus what each other does."""
    first, *others = ((one.record.explanations.network, one.measures.scores()) for one in found)
    pairs = {name: {key: (first[1][key], values[key]) for key in values} for name, values in others}
    return against(pairs) if first[1] else ()
