"""A run folder that exists: its files' names, what they say, and what is added to them while it is trained."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convscale.catalog import read_network
from convscale.errors import ConfigError, RunError
from convscale.files import parse_json, read_json, read_toml, write_text, write_toml
from convscale.formats import read_kept, require_version
from convscale.locks import LockedError, is_locked, lock
from convscale.networks import ConvNet
from convscale.planning import Plan
from convscale.preprocessing import Preprocessing, default_preprocessing
from convscale.recipes import Recipe
from convscale.records import (
    Bench,
    DataRecord,
    EpochRecord,
    Evaluation,
    EvaluationDetails,
    Explanations,
    SearchRow,
    Story,
    TrainRecord,
    ValueSearch,
    flat,
    read_as,
    write_record,
)
from convscale.runs.settings import Settings
from convscale.schema import to_table

WEIGHTS = "weights.safetensors"
BEST_WEIGHTS = "best.safetensors"
README = "README.md"
_FILES = (
    WEIGHTS, BEST_WEIGHTS, README, "network.toml", "recipe.toml", "preprocessing.toml", "settings.json", "data.json",
    "exclude.json", "story.json", "plan.json", "search.json", "fit.json", "metrics.jsonl", "events.jsonl",
    "progress.json", "evaluation.json", "details.json", "bench.json", "result.json", "environment.json", "lock",
)  # fmt: skip
_FOLDERS = ("checkpoints", "pictures", "tensorboard", "search", "features", "explanations")


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))  # a str will do

    @property
    def weights(self) -> Path:
        """The weights file."""
        return self.path / WEIGHTS

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def features(self) -> Path:
        """The folder of features that a linear probe computed."""
        return self.path / "features"

    @property
    def explanations(self) -> Path:
        """The folder of class activation maps, where some were made."""
        return self.path / "explanations"

    def data(self) -> DataRecord | None:
        """What data.json says of the images, None where it is missing. Raises ConfigError where it is damaged."""
        path = self.path / "data.json"
        return read_as(DataRecord, path) if path.exists() else None

    def excluded_images(self) -> dict[str, tuple[int, ...]]:
        """The positions of the images that were left out, by split; empty where none were."""
        path = self.path / "exclude.json"
        return read_kept(dict[str, tuple[int, ...]], read_json(path), str(path)) if path.exists() else {}

    def recipe(self) -> Recipe:
        """The recipe. Raises ConfigError where it is damaged."""
        path = self.path / "recipe.toml"
        return read_kept(Recipe, read_toml(path), str(path))

    def network(self) -> ConvNet:
        """The network. Raises ConfigError where it is damaged."""
        return read_network(self.path / "network.toml", kept=True)

    def preprocessing(self) -> Preprocessing:
        """How its images are prepared; in the usual way for older runs. Raises ConfigError where it is damaged."""
        file = self.path / "preprocessing.toml"
        if not file.exists():
            network = self.network()
            return default_preprocessing(network.resolution, network.input_channels)
        return read_kept(Preprocessing, read_toml(file), str(file))

    def settings(self) -> Settings:
        """Seed, workers and the rest. Raises ConfigError where they are damaged."""
        path = self.path / "settings.json"
        return read_kept(Settings, read_json(path), str(path))

    def story(self) -> Story | None:
        """How the run came about; None of a run older than the file. Raises ConfigError where it is damaged."""
        path = self.path / "story.json"
        return read_as(Story, path) if path.exists() else None

    def plan(self) -> Plan | None:
        """The plan that its network comes from, None where none was made. Raises ConfigError where it is damaged."""
        path = self.path / "plan.json"
        return read_as(Plan, path) if path.exists() else None

    def environment(self) -> dict[str, Any]:
        """What environment.json says. Raises ConfigError where it is damaged."""
        table = read_json(self.path / "environment.json")
        return table if isinstance(table, dict) else {}

    def result(self) -> TrainRecord | None:
        """How training ended, None before that. Raises ConfigError where the file is damaged."""
        path = self.path / "result.json"
        return read_as(TrainRecord, path) if path.exists() else None

    def evaluation(self) -> Evaluation:
        """The accuracy on the held-out images. Raises ConfigError where the file is missing or damaged."""
        return read_as(Evaluation, self.path / "evaluation.json")

    def bench(self) -> Bench | None:
        """How long it takes where it was benched last, None where it never was. Raises ConfigError where that file is
        damaged."""
        path = self.path / "bench.json"
        return read_as(Bench, path) if path.exists() else None

    def details(self) -> EvaluationDetails | None:
        """Confusion, calibration and mistakes on the held-out images, None of a run older than the file. Raises
        ConfigError where it is damaged."""
        path = self.path / "details.json"
        return read_as(EvaluationDetails, path) if path.exists() else None

    def explained(self) -> Explanations | None:
        """The maps that were kept last, None where none were. Raises ConfigError where their record is damaged."""
        path = self.explanations / "explanations.json"
        return read_as(Explanations, path) if path.exists() else None

    def metrics(self) -> list[EpochRecord]:
        """The finished epochs; a line that a crash left torn, and what follows it, is not counted."""
        records: list[EpochRecord] = []
        path = self.path / "metrics.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                records.append(read_kept(EpochRecord, parse_json(line, str(path))))
            except ConfigError:
                break
        return records

    def keep_metrics(self, epochs: int) -> None:
        """Drop what metrics.jsonl says of epochs after the first `epochs`: they will be trained again."""
        kept = [json.dumps(flat(record)) + "\n" for record in self.metrics() if record.epoch <= epochs]
        write_text(self.path / "metrics.jsonl", "".join(kept))

    def append_metrics(self, record: EpochRecord) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(flat(record)) + "\n")

    def append_event(self, kind: str, **facts: Any) -> None:
        """Add a line to events.jsonl."""
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": kind} | facts, ensure_ascii=True) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run: no second process trains it meanwhile. The hold ends with the process, however it ends.

        Raises RunError where another one has it.
        """
        try:
            held = lock(self.path / "lock")
        except LockedError as error:
            message = f"{self.path}: process {error.owner} is training this run"
            raise RunError(message, hint="wait until it has ended") from None
        try:
            yield
        finally:
            if held is not None:
                os.close(held)

    def discard(self) -> None:
        """Remove the folder's files of a run that has nothing to keep."""
        for name in _FILES:
            (self.path / name).unlink(missing_ok=True)
        for name in _FOLDERS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        for leftover in self.path.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        with suppress(OSError):  # what else is in it is not ours
            self.path.rmdir()

    def write_evaluation(self, evaluation: Evaluation) -> None:
        """Write evaluation.json."""
        write_record(self.path / "evaluation.json", evaluation)

    def write_bench(self, bench: Bench) -> None:
        """Write bench.json."""
        write_record(self.path / "bench.json", bench)

    def write_details(self, details: EvaluationDetails) -> None:
        """Write details.json."""
        write_record(self.path / "details.json", details)

    def write_recipe(self, recipe: Recipe) -> None:
        """Write recipe.toml."""
        write_toml(self.path / "recipe.toml", to_table(recipe, complete=True))

    def searched(self) -> tuple[SearchRow, ...]:
        """What the search has found so far. Raises ConfigError where the file is damaged."""
        path = self.path / "search.json"
        return read_as(ValueSearch, path).rows if path.exists() else ()

    def write_searched(self, rows: Sequence[SearchRow]) -> None:
        """Write search.json."""
        write_record(self.path / "search.json", ValueSearch(tuple(rows)))

    def remove_weights(self) -> None:
        """Remove the weights, and the text about them, of a run whose accuracy alone was wanted."""
        for name in (WEIGHTS, BEST_WEIGHTS, README):
            (self.path / name).unlink(missing_ok=True)

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints, and whatever else was kept for resuming, of a run that is done."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        shutil.rmtree(self.features, ignore_errors=True)

    def write_readme(self, text: str) -> None:
        """Write README.md."""
        write_text(self.path / README, text)

    def write_result(self, record: TrainRecord) -> None:
        """Write result.json: training is done."""
        write_record(self.path / "result.json", record)


def open_run(path: str | Path) -> Run:
    """A run folder that was trained to its end. Raises RunError if it is not one, unfinished or too new."""
    run = open_unfinished_run(path)
    if not run.weights.exists():
        if is_locked(run.path / "lock"):
            raise RunError(f"{path}: is still being trained and has no weights yet", hint="wait until it has ended")
        message = f"{path}: the run has no weights yet: its training did not finish"
        raise RunError(message, hint=f"convscale resume {path}")
    return run


def open_unfinished_run(path: str | Path) -> Run:
    """An existing run folder, trained to its end or not. Raises RunError where it is none or from a newer version."""
    path = Path(path)
    if not path.is_dir():
        raise RunError(f"{path}: no such run folder")
    if not (path / "environment.json").exists():
        raise RunError(f"{path}: not a run folder: it has no environment.json")
    environment = read_json(path / "environment.json")
    require_version(path, environment.get("format_version", 0) if isinstance(environment, dict) else 0)
    return Run(path)


def weights_file(run_or_file: Path) -> Path:
    """The weights file of a run folder, or the file itself. Raises RunError where there is none."""
    if run_or_file.is_dir():
        return open_run(run_or_file).weights
    if not run_or_file.exists():
        raise RunError(f"{run_or_file}: no such run folder or weights file")
    return run_or_file
