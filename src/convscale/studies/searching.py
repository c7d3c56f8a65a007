"""The search for alpha, beta and gamma by training: questions become trials of a study, its answer a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from convscale.catalog import CATALOG, write_network
from convscale.catalog import network as find_network
from convscale.data import fit_to_images
from convscale.data.loader import steps_per_epoch
from convscale.errors import ConfigError, InputError, suggestion
from convscale.figures import draw_ternary
from convscale.files import write_json, write_text, write_toml
from convscale.formats import UNNAMED
from convscale.networks import ConvNet
from convscale.progress import tell
from convscale.recipes import Recipe
from convscale.scaling.coefficients import RESULT
from convscale.schema import check, default_of, to_table
from convscale.search import Candidates, CoefficientSearch, Outcome, Question, SearchSettings, search_coefficients
from convscale.studies.coordinator import run_trials
from convscale.studies.executor import Executor
from convscale.studies.folder import Holding, StudyFolder, read_settings, require_same_settings, to_plain
from convscale.studies.search_report import report
from convscale.studies.trial import DataChoice, Trial, TrialRecord
from convscale.studies.work import choose_images

KIND = "coefficients"
RECIPE, BASELINE = "recipe.toml", "baseline.toml"

# The fields of SearchSettings that options may name, and what they are where none does.
_OPTIONS = {one.name: default_of(one) for one in fields(SearchSettings) if one.name != "lengths"}


@dataclass(frozen=True, kw_only=True)
class TrainingSearch:
    """What is searched, and with which trainings.

    epochs: the training lengths, two at least, increasing; each is a whole schedule of `recipe`. options: fields of
    SearchSettings but `lengths`, all of them once it is made. Raises ConfigError as SearchSettings does.
    """

    baseline: ConvNet
    data: DataChoice
    recipe: Recipe
    epochs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)
        if unknown := min(self.options.keys() - _OPTIONS.keys(), default=""):
            raise ConfigError(f"options.{unknown}: unknown key", hint=suggestion(unknown, _OPTIONS))
        settings = self.settings  # which checks them
        object.__setattr__(self, "options", {name: getattr(settings, name) for name in _OPTIONS})

    @property
    def settings(self) -> SearchSettings:
        """The options as they are with lengths in epochs."""
        return SearchSettings(lengths=self.epochs, **self.options)


def search_by_training(
    search: TrainingSearch, folder: Path, executor: Executor, *, storage: str | None = None, quiet: bool = False
) -> CoefficientSearch:
    """Search with trials in `folder`, or go on there, and write coefficients.json, candidates.csv, report.md and
    pictures/ternary.png.

    Raises as `run_trials` and `search_coefficients` do, and RunError where the folder holds something else.
    """
    with Holding(folder) as study:
        begun = (study.path / "settings.json").exists()
        require_same_settings(study.path, KIND, search, read_search)
        try:
            found = _search(study, search, executor, storage, quiet)
        except InputError:
            if not begun and not study.trials():  # it could not begin: leave the folder to the corrected command
                (study.path / "settings.json").unlink()
            raise
        _write(study, search, found)
    return found


def _search(
    study: StudyFolder, search: TrainingSearch, executor: Executor, storage: str | None, quiet: bool
) -> CoefficientSearch:
    dataset = choose_images(search.data)
    baseline = fit_to_images(search.baseline, dataset)
    recipe = search.recipe.for_images(len(dataset.train))
    per_epoch = steps_per_epoch(dataset.train, recipe.batch)
    trials = _Trials(study, search, recipe, executor, storage, per_epoch, quiet)
    return search_coefficients(
        baseline,
        trials.answer,
        storage=storage or f"sqlite:///{study.database}",
        on_progress=None if quiet else tell,
        lengths=[epochs * per_epoch for epochs in search.epochs],
        **search.options,
    )


def full_grid(search: TrainingSearch) -> tuple[Candidates, list[Trial]]:
    """The candidates, and the trials of all of them at the last length from every final seed: what a search spares.

    Raises as `choose_images` does, and BudgetError where no candidate can be had.
    """
    dataset = choose_images(search.data)
    settings = search.settings
    candidates = settings.candidates(fit_to_images(search.baseline, dataset))
    recipe = search.recipe.for_images(len(dataset.train)).with_changes(epochs=search.epochs[-1])
    trials = [
        Trial(network=one.network, recipe=recipe, data=search.data, seed=settings.seed + seed)
        for one in candidates.found
        for seed in range(settings.final_seeds)
    ]
    return candidates, trials


def resume_search(
    folder: Path, executor: Executor, *, storage: str | None = None, quiet: bool = False
) -> CoefficientSearch:
    """Go on with the search in `folder`. Raises RunError where there is none, and as `search_by_training`."""
    return search_by_training(read_search(folder), folder, executor, storage=storage, quiet=quiet)


def read_search(folder: Path) -> TrainingSearch:
    """What the search in `folder` is asked. Raises RunError where there is none."""
    return read_settings(folder, KIND, TrainingSearch, options=UNNAMED["SearchSettings"])


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

    def answer(self, questions: Sequence[Question]) -> list[Outcome]:
        trials = [
            Trial(
                network=question.network,
                recipe=self.recipe.with_changes(epochs=question.steps // self.steps_per_epoch),
                data=self.search.data,
                seed=question.seed,
            )
            for question in questions
        ]
        records = run_trials(self.study.path, trials, self.executor, storage=self.storage, quiet=self.quiet)
        return [_outcome(record) for record in records]


def _outcome(record: TrialRecord) -> Outcome:
    if record.result is None:
        return Outcome(None, 0.0, record.failure)
    return Outcome(record.result.accuracy, record.result.device_seconds)


def search_as_dict(search: TrainingSearch, found: CoefficientSearch) -> dict[str, Any]:
    """The result with what it is evidence of: for JSON and coefficients.json."""
    data = search.data
    evidence = {
        "data": data.source,
        "train_images": data.train_images,
        "test_images": data.test_images,
        "epochs": list(search.epochs),
        "final_seeds": found.best.seeds,
    }
    return found.as_dict() | evidence | {"note": evidence_of(search, found)}


def command_of(search: TrainingSearch) -> str:
    """The command that searches this again in the study's folder, where recipe.toml and baseline.toml are."""
    net = search.baseline
    listed = net.name in CATALOG and find_network(net.name).at_resolution(net.resolution) == net
    baseline = net.name if listed else BASELINE
    data = {
        "--recipe": RECIPE,
        "--data": search.data.source,
        "--images": search.data.train_images,
        "--test-images": search.data.test_images,
    }
    lengths = {"--resolution": net.resolution, "--lengths": ",".join(map(str, search.epochs))}
    chosen = {name: value for name, value in search.options.items() if value != _OPTIONS[name]}
    options = {f"--{name.replace('_', '-')}": value for name, value in chosen.items()}
    given = [f"{name} {value}" for name, value in (data | lengths | options).items() if value is not None]
    return f"convscale coefficients {baseline} {' '.join(given)} -o DIR"


def evidence_of(search: TrainingSearch, found: CoefficientSearch) -> str:
    """One sentence that says what stands behind the coefficients."""
    count = search.data.train_images
    images = "all images" if count is None else f"{count:,} images"
    others = len(found.equivalent) - 1
    told = f"{others} more cannot be told from it" if others else "no other finalist can be taken for it"
    intervals = ", ".join(
        f"{name} {low:.3f} to {high:.3f}"
        for name, (low, high) in zip(("alpha", "beta", "gamma"), found.interval95, strict=True)
    )
    epochs, steps = ", ".join(map(str, search.epochs)), ", ".join(f"{one:,}" for one in found.lengths)
    return (
        f"found for {found.baseline} at {found.cost:g} times its cost on {Path(search.data.source).name}, {images}, "
        f"{epochs} epochs ({steps} steps), {found.best.seeds} seeds, {len(found.candidates)} candidates; "
        f"95 % intervals {intervals}; {told}"
    )


def _write(study: StudyFolder, search: TrainingSearch, found: CoefficientSearch) -> None:
    table = to_plain(search_as_dict(search, found))
    write_toml(study.path / RECIPE, to_table(search.recipe))
    write_network(search.baseline, study.path / BASELINE)
    rows = ["depth,width,resolution,macs,steps,accuracy,low,high,seeds,state"]
    for one in found.candidates:
        low, high = one.interval95 or ("", "")
        accuracy = "" if one.accuracy is None else one.accuracy
        shares = ",".join(f"{share:.4f}" for share in one.candidate.actual)
        rows.append(f"{shares},{one.candidate.macs},{one.steps},{accuracy},{low},{high},{one.seeds},{one.state}")
    write_text(study.path / "candidates.csv", "\n".join(rows) + "\n")
    write_text(
        study.path / "report.md", "\n".join(report(found, evidence_of(search, found), command_of(search))) + "\n"
    )
    points = [
        (one.candidate.actual, one.accuracies[found.first_length])
        for one in found.candidates
        if found.first_length in one.accuracies
    ]
    draw_ternary(
        [(shares, sum(by.values()) / len(by)) for shares, by in points],
        found.best.candidate.actual,
        study.path / "pictures" / "ternary.png",
    )
    write_json(study.path / RESULT, table)  # last: what has it is done
