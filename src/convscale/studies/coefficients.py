"""The search for alpha, beta and gamma by training: questions become trials of a study, its answer a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from convscale.catalog import CATALOG, write_network
from convscale.catalog import network as find_network
from convscale.data import fit_to_images
from convscale.data.images import steps_per_epoch
from convscale.errors import ConfigError, InputError
from convscale.figures import draw_search
from convscale.files import write_text, write_toml
from convscale.formats import UNNAMED
from convscale.networks import ConvNet
from convscale.progress import print_note
from convscale.recipes import Recipe
from convscale.records import CoefficientSearch, DataChoice, SearchTraining, write_record
from convscale.report.coefficients import candidates_as_csv, evidence_of, report
from convscale.scaling.coefficients import RESULT
from convscale.schema import check, default_of, to_table
from convscale.search.coefficients import Candidates, SearchSettings, search_coefficients
from convscale.search.coefficients.settings import chosen_settings
from convscale.search.questions import Outcome, Question
from convscale.trials.coordination import run_trials
from convscale.trials.executor import Executor
from convscale.trials.folders import StudyFolder, hold_study, read_settings, require_same_settings
from convscale.trials.taking import FinishedTrials
from convscale.trials.training_work import choose_images, fingerprint_of
from convscale.trials.trial import Trial, TrialRecord

KIND = "coefficients"
RECIPE, BASELINE = "recipe.toml", "baseline.toml"

# The fields of SearchSettings that options may name, with their defaults.
_OPTIONS = {one.name: default_of(one) for one in fields(SearchSettings) if one.name != "lengths"}


@dataclass(frozen=True, kw_only=True)
class TrainingSearch:
    """What is searched, and by which trainings.

    epochs: the training lengths, at least two, increasing; each is a whole schedule of `recipe`. options: fields of
    SearchSettings other than `lengths`; once made, all of them. Raises ConfigError and UnknownNameError as
    `search_coefficients` does.
    """

    baseline: ConvNet
    data: DataChoice
    recipe: Recipe
    epochs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)
        if "lengths" in self.options:
            raise ConfigError("a search by training has no option `lengths`", hint="give the lengths as `epochs`")
        settings = self.settings(self.epochs)  # which checks them
        object.__setattr__(self, "options", {name: getattr(settings, name) for name in _OPTIONS})

    def settings(self, lengths: Sequence[int]) -> SearchSettings:
        """The search, over `lengths` in steps."""
        return chosen_settings(None, {"lengths": lengths} | self.options)


def search_by_training(
    search: TrainingSearch,
    folder: str | Path,
    executor: Executor,
    *,
    storage: str | None = None,
    quiet: bool = False,
    records: Sequence[str | Path] = (),
) -> CoefficientSearch:
    """Search with trials in `folder`, resuming what is there, and write coefficients.json, candidates.csv, report.md
    and pictures/ternary.png.

    records: files of finished trials; those that the search asks for are taken instead of trained. Raises as
    `run_trials`, `search_coefficients` and `FinishedTrials` do, and RunError where the folder holds something else.
    """
    finished = FinishedTrials(records, quiet=quiet)
    with hold_study(Path(folder)) as study:
        begun = (study.path / "settings.json").exists()
        require_same_settings(study.path, KIND, search, read_search)
        try:
            found = _search(study, search, executor, storage, quiet, finished)
        except InputError:
            if not begun and not study.trials():  # it never began: leave the folder free for the corrected command
                (study.path / "settings.json").unlink()
            raise
        finished.report()
        _write(study, search, found)
    return found


def _search(
    study: StudyFolder,
    search: TrainingSearch,
    executor: Executor,
    storage: str | None,
    quiet: bool,
    finished: FinishedTrials,
) -> CoefficientSearch:
    dataset = choose_images(search.data)
    baseline = fit_to_images(search.baseline, dataset)
    recipe = search.recipe.for_images(len(dataset.train))
    per_epoch = steps_per_epoch(dataset.train, recipe.batch)
    trials = _Trials(study, search, recipe, executor, storage, per_epoch, quiet, finished)
    found = search_coefficients(
        baseline,
        trials.answer,
        settings=search.settings([epochs * per_epoch for epochs in search.epochs]),
        on_progress=None if quiet else print_note,
    )
    training = SearchTraining(data=search.data, recipe=search.recipe, epochs=search.epochs, command=_command(search))
    found = replace(found, training=training)
    return replace(found, note=evidence_of(found))


def full_grid(search: TrainingSearch) -> tuple[Candidates, list[Trial]]:
    """The candidates, and the trials of a full grid, which a search avoids: every candidate at the last length from
    every final seed.

    Raises as `choose_images` does, and BudgetError where there is no candidate.
    """
    dataset = choose_images(search.data)
    settings = search.settings(search.epochs)
    candidates = settings.candidates(fit_to_images(search.baseline, dataset))
    recipe = search.recipe.for_images(len(dataset.train)).with_changes(epochs=search.epochs[-1])
    trials = [
        Trial(network=one.network, recipe=recipe, data=search.data, seed=settings.seed + seed)
        for one in candidates.found
        for seed in range(settings.final_seeds)
    ]
    return candidates, trials


def resume_search(
    folder: str | Path,
    executor: Executor,
    *,
    storage: str | None = None,
    quiet: bool = False,
    records: Sequence[str | Path] = (),
) -> CoefficientSearch:
    """Resume the search in `folder`. Raises RunError where there is none, and as `search_by_training` does."""
    return search_by_training(read_search(folder), folder, executor, storage=storage, quiet=quiet, records=records)


def read_search(folder: str | Path) -> TrainingSearch:
    """The settings of the search in `folder`. Raises RunError where there is none."""
    return read_settings(Path(folder), KIND, TrainingSearch, options=UNNAMED["SearchSettings"])


@dataclass(slots=True)
class _Trials:
    """Answers questions by trials."""

    study: StudyFolder
    search: TrainingSearch
    recipe: Recipe
    executor: Executor
    storage: str | None
    steps_per_epoch: int
    quiet: bool
    finished: FinishedTrials

    def answer(self, questions: Sequence[Question]) -> list[Outcome]:
        images = fingerprint_of(self.search.data)
        trials = [
            Trial(
                network=question.network,
                recipe=self.recipe.with_changes(epochs=question.steps // self.steps_per_epoch),
                data=self.search.data,
                seed=question.seed,
                images=images,
            )
            for question in questions
        ]
        self.finished.take(self.study, trials)
        records = run_trials(self.study.path, trials, self.executor, storage=self.storage, quiet=self.quiet)
        return [_outcome(record) for record in records]


def _outcome(record: TrialRecord) -> Outcome:
    if record.result is None:
        return Outcome(None, 0.0, record.failure)
    return Outcome(record.result.accuracy, record.result.device_seconds)


def _command(search: TrainingSearch) -> str:
    """The command that repeats this search in the study's folder, where recipe.toml and baseline.toml are."""
    net = search.baseline
    listed = net.name in CATALOG and find_network(net.name).at_resolution(net.resolution) == net
    baseline = net.name if listed else BASELINE
    chosen = search.data
    data = {
        "--recipe": RECIPE,
        "--data": chosen.source,
        "--label-column": None if chosen.label_column == "label" else chosen.label_column,
        "--layout": chosen.layout,
        "--range": None if chosen.stored_range is None else "{:.10g},{:.10g}".format(*chosen.stored_range),
        "--images": chosen.train_images,
        "--test-images": chosen.test_images,
    }
    lengths = {"--resolution": net.resolution, "--lengths": ",".join(map(str, search.epochs))}
    asked = {name: value for name, value in search.options.items() if value != _OPTIONS[name]}
    options = {f"--{name.replace('_', '-')}": value for name, value in asked.items()}
    given = [f"{name} {value}" for name, value in (data | lengths | options).items() if value is not None]
    return f"convscale coefficients {baseline} {' '.join(given)} -o DIR"


def _write(study: StudyFolder, search: TrainingSearch, found: CoefficientSearch) -> None:
    write_toml(study.path / RECIPE, to_table(search.recipe))
    write_network(search.baseline, study.path / BASELINE)
    write_text(study.path / "candidates.csv", candidates_as_csv(found))
    write_text(study.path / "report.md", "\n".join(report(found)) + "\n")
    draw_search(found, study.path / "pictures" / "ternary.png")
    write_record(study.path / RESULT, found)  # last: a folder that has it is finished
