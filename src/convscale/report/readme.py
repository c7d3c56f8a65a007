"""README.md of a run folder, for whoever is handed the folder, made from its records alone."""

from __future__ import annotations

import shlex

from convscale.recipes import LBFGS
from convscale.records import Story, TrainRecord
from convscale.report.runs import label_lines, local_time, run_facts
from convscale.runs import BEST_WEIGHTS, WEIGHTS, Run
from convscale.units import format_number, format_seconds, printable
from convscale.version import __version__

_USE = """\
## Use it

In this folder, or with its path in place of the dot:

```sh
convscale predict . IMAGE...    # files, folders, 'patterns'; -o answers.csv writes them
convscale eval . --data {data}
convscale show .
```

```python
import convscale as cs

cs.predict(".", "photo.jpg")
network = cs.load(".")  # a PyTorch module with its preprocessing and classes
```

{further}To train the network on other images:
`convscale train . --weights . --data DATA --recipe finetune -o OUT`.
"""

_FURTHER = "This training is done: `convscale resume . --epochs 5` trains it for 5 more epochs, as a new run.\n"

_SHIP = f"""\
## Ship it

`{WEIGHTS}` is the file to ship. The accuracy above was measured with it, and it carries network,
preprocessing and class names: `convscale predict {WEIGHTS} IMAGE...` and
`cs.load("{WEIGHTS}")` need nothing else.
"""


def run_readme(run: Run, result: TrainRecord) -> str:
    """The text for a run that has its weights and its evaluation. Raises ConfigError where a file is damaged."""
    data, evaluation, story = run.data(), run.evaluation(), run.story() or Story()
    accuracy = evaluation.in_words("top1" if data is None else data.metric, "95% interval ")
    started = f", started {local_time(story.started)}" if story.started else ""
    rows = [
        ("accuracy", f"{accuracy} on {evaluation.n:,} held-out images"),
        *run_facts(run),
        ("training", f"{format_number(result.epochs, 'epoch')} in {format_seconds(result.seconds)}{started}"),
    ]
    source = "DATA" if data is None else printable(shlex.quote(data.source))
    further = "" if isinstance(run.recipe().optimizer, LBFGS) else _FURTHER  # a probe is fitted to the end
    parts = [
        f"# {printable(run.network().name)}",
        f"A ConvNet for images of {len(evaluation.per_class):,} classes, trained with Convscale {__version__}.",
        "\n".join(("```", *label_lines(rows), "```")),
        _USE.format(data=source, further=further).rstrip(),
        _SHIP.rstrip(),
    ]
    if (run.path / BEST_WEIGHTS).exists() and result.best_epoch:
        parts.append(
            f"`{BEST_WEIGHTS}` is the network after epoch {result.best_epoch}, the best of all while it was trained: "
            f"top-1 {result.best_top1:.4f}\non the images that epochs were judged by. They chose it, so this figure is "
            "optimistic; ship it only if images that\nneither of the two has seen say that it is the better one."
        )
    return "\n\n".join(parts) + "\n"
