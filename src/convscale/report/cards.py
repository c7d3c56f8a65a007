"""The model card of a run, as the Hugging Face hub shows it: a head that machines read, and Markdown for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from convscale.costs import cost
from convscale.records import Evaluation, Story
from convscale.records.training import held_out_in_words
from convscale.report.evaluation import class_table
from convscale.report.networks import stage_table
from convscale.report.tables import markdown
from convscale.runs import WEIGHTS, Run
from convscale.units import format_bytes, format_count, format_number, printable
from convscale.version import __version__

MOST_CLASSES = 50

_USE = f"""\
```python
import convscale as cs

cs.predict("{WEIGHTS}", "photo.jpg")
network = cs.load("{WEIGHTS}")  # a PyTorch module with its preprocessing and classes
```"""


def model_card(run: Run) -> str:
    """The card of a run that is done, made from its records alone. Raises ConfigError where one is damaged."""
    network, evaluation, story = run.network(), run.evaluation(), run.story() or Story()
    costs, preprocessing = cost(network), run.preprocessing()
    limits = [
        "- It names one of the classes below for every image, also for one that shows none of them.",
        f"- Its accuracy was measured on {evaluation.n:,} held-out images of the data above; images of another origin, "
        "camera or time may give another.",
        *(f"- {printable(note)}" for note in story.notes),
    ]
    parts = [
        "\n".join(("---", *_head(run, evaluation), "---")),
        f"# {printable(network.name)}",
        f"A ConvNet for images of {len(evaluation.per_class):,} classes, trained with Convscale {__version__}: "
        f"{network.resolution} px, {format_count(costs.params)} parameters, {format_count(costs.macs)} MACs, "
        f"{format_bytes(costs.file_bytes)}.",
        "## Use", _USE, f"Images are prepared so: {preprocessing.in_words()}.",
        "## Data", _data(run),
        "## Accuracy", *_accuracy(run, evaluation),
        "## Limits", "\n".join(limits),
        "## Training", *_training(run, story),
        "## Network", "\n".join(markdown(stage_table(network))),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _head(run: Run, evaluation: Evaluation) -> list[str]:
    """YAML, whose strings are JSON's."""
    data = run.data()
    name = "unknown" if data is None else Path(data.source).name
    found = [("accuracy", "top-1", evaluation.top1), ("accuracy", "top-5", evaluation.top5)]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": name, "type": name},
        "metrics": [{"type": kind, "name": label, "value": round(value, 6)} for kind, label, value in found],
    }
    entries: dict[str, Any] = {
        "library_name": "convscale",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "convscale", "convnet"],
        "datasets": [name],
        "metrics": ["accuracy"],
        "model-index": [{"name": run.network().name, "results": [result]}],
    }
    return [f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in entries.items()]


def _data(run: Run) -> str:
    data = run.data()
    if data is None:
        return "Not recorded."
    held_out = held_out_in_words(data.held_out, data.test_images, data.validation_images)
    return f"{printable(data.source)}: {data.train_images:,} training images; {held_out}."


def _accuracy(run: Run, evaluation: Evaluation) -> list[str]:
    data = run.data()
    words = evaluation.in_words("top1" if data is None else data.metric, "95 % interval ")
    lines = [f"{words} on {evaluation.n:,} held-out images."]
    if evaluation.ece is not None:
        lines.append(f"Expected calibration error {evaluation.ece:.4f} (15 bins).")
    if len(evaluation.per_class) <= MOST_CLASSES:
        lines.append("\n".join(markdown(class_table(evaluation))))
    return lines


def _training(run: Run, story: Story) -> list[str]:
    recipe, result = run.recipe(), run.result()
    epochs = recipe.epochs if result is None else result.epochs
    words = f"{format_number(epochs, 'epoch')}, batch {recipe.batch}, learning rate {recipe.learning_rate:.3g}."
    chosen = [
        f"- {printable(one.what)}: {printable(one.choice)}" + (f" ({printable(one.why)})" if one.why else "")
        for one in story.decisions
    ]
    command = [f"```\n{printable(story.command)}\n```"] if story.command else []
    return [words, *(["\n".join(chosen)] if chosen else []), *command]
