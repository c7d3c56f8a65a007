"""The run folder: everything that one training leaves behind, enough for every later command.

weights.safetensors   weights; the header holds network, preprocessing, class names, format version
best.safetensors      the same of the epoch that was best on the held-out images, which therefore chose it
README.md             for people: what it is, how good, how to use it, which file to ship
network.toml          the network
recipe.toml           how it was trained
preprocessing.toml    how images are prepared for it
settings.json         seed, workers and what else `resume` needs; the run that this one continues
story.json            the command or the call that it came from, what was chosen by whom and why, notes on the data
plan.json             law, budget, the chosen network, what the formula alone gives, alternatives: where it was planned
fit.json              what `fit` chose, planned and measured
data.json             the data: where from, which split was held out, seed
search.json           learning rates and weight decays that were tried, and what came of each
search/               the trainings of the search, without their weights
features/             what a linear probe computed of the images, until it is done
exclude.json          the images of it that were left out, by split and position
metrics.jsonl         one line per epoch
events.jsonl          what else happened: resumed, skipped, fell back
progress.json         its progress, updated once per second during training; afterwards, how it was left
checkpoints/          the two newest states of training, until it is done
evaluation.json       accuracy on the held-out images
bench.json            how long it takes in engines, where it was benched last
details.json          confusion, calibration and, where they were asked for, the worst mistakes
result.json           how training ended
environment.json      versions and machine; written last of what is known beforehand: a folder that has it is a run
lock                  made by the process that claims the folder, held by the one that trains
pictures/             curves, confusion matrix, the first batch
explanations/         class activation maps of the images that were explained last, and their record
tensorboard/          what TensorBoard shows, where it was asked for

Runs of before lack some of these: readers give None, or nothing, for what is not there.
"""

from convscale.records import Decision, ProgressRecord, RunRow, RunState, Story
from convscale.runs.create import (
    claim,
    claim_next,
    claimed,
    create_run,
    next_run_path,
    release,
    require_free,
    require_writable,
)
from convscale.runs.listing import list_runs, read_row, run_state
from convscale.runs.progress import ProgressFile, read_progress
from convscale.runs.run import (
    BEST_WEIGHTS,
    WEIGHTS,
    Run,
    open_run,
    open_unfinished_run,
    weights_file,
)
from convscale.runs.settings import Settings
from convscale.runs.story import format_call

__all__ = [
    "BEST_WEIGHTS",
    "WEIGHTS",
    "Decision",
    "ProgressFile",
    "ProgressRecord",
    "Run",
    "RunRow",
    "RunState",
    "Settings",
    "Story",
    "claim",
    "claim_next",
    "claimed",
    "create_run",
    "format_call",
    "list_runs",
    "next_run_path",
    "open_run",
    "open_unfinished_run",
    "read_progress",
    "read_row",
    "release",
    "require_free",
    "require_writable",
    "run_state",
    "weights_file",
]
