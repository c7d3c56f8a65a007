"""The search for alpha, beta and gamma: candidates of one true cost, successive halving over paired seeds.

Short trainings are biased, not only noisy: what leads after a few steps need not lead later. So halving begins at
the first length only where a few candidates, far apart, rank there as they do at the last; else it begins later.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from convscale.errors import BudgetError, TrainingError
from convscale.networks import ConvNet
from convscale.openers import opens_network
from convscale.records import Candidate, CoefficientSearch, SearchedCandidate
from convscale.records.coefficients import State
from convscale.report.coefficients import evidence_of
from convscale.search.coefficients.candidates import Candidates
from convscale.search.coefficients.comparison import Comparison, compare
from convscale.search.coefficients.halving import best_of, survivors
from convscale.search.coefficients.halving_plan import HalvingPlan, affordable_halving, affordable_probe, far_apart
from convscale.search.coefficients.index import SearchIndex
from convscale.search.coefficients.settings import SearchSettings, chosen_settings
from convscale.search.questions import Evaluator, Ledger, Question, evaluator_of
from convscale.statistics import accuracy_interval, order_changes, rank_correlation

if TYPE_CHECKING:
    import optuna

Ends = tuple[float, float]


@opens_network  # type: ignore[arg-type]  # options of any name might bear the first one's
def find_coefficients(
    baseline: ConvNet,
    evaluate: Callable[[ConvNet, int, int], float],
    *,
    settings: SearchSettings | None = None,
    storage: str | optuna.storages.BaseStorage | None = None,
    on_progress: Callable[[str], None] | None = None,
    **options: Any,
) -> CoefficientSearch:
    """Search with any function `evaluate(network, seed, steps) -> accuracy`, a fraction; its exceptions and
    non-finite values count as failures of the candidate. Otherwise as `search_coefficients`."""
    return search_coefficients(
        baseline, evaluator_of(evaluate), settings=settings, storage=storage, on_progress=on_progress, **options
    )


def search_coefficients(
    baseline: ConvNet,
    evaluator: Evaluator,
    *,
    settings: SearchSettings | None = None,
    storage: str | optuna.storages.BaseStorage | None = None,
    on_progress: Callable[[str], None] | None = None,
    **options: Any,
) -> CoefficientSearch:
    """Find alpha, beta and gamma of `baseline` with an evaluator that answers many questions at once.

    settings, or options: the fields of SearchSettings, of which `lengths` must be given. storage: an Optuna address
    or storage in which the outcome of every candidate is recorded once the search is done, as trials of one study,
    replacing what a search with the same settings left there; nothing else needs Optuna. on_progress is called with
    a line of progress from time to time.

    Raises ConfigError and UnknownNameError for settings that are not allowed, BudgetError where there are fewer than
    two candidates, TrainingError where every candidate failed; with `storage` ConfigError for an invalid address,
    RunError where nothing answers there, and MissingExtraError without Optuna.
    """
    settings = chosen_settings(settings, options)
    found = settings.candidates(baseline)
    if len(found.found) < 2:
        raise BudgetError(
            f"only {len(found.found)} network of {baseline.name} reaches {settings.cost:g} times its cost",
            hint="try another cost, a finer share step or a larger baseline",
        )
    search = _Search(baseline, settings, found, Ledger(evaluator), on_progress or (lambda line: None))
    index = None if storage is None else SearchIndex(storage, f"coefficients of {baseline.name} {search.key()}")
    search.probe()
    search.halve()
    search.settle()
    result = search.result()
    if index is not None:
        index.write(result)
    return result


@dataclass(slots=True)
class _Search:
    """A search under way."""

    baseline: ConvNet
    settings: SearchSettings
    candidates: Candidates
    ledger: Ledger
    note: Callable[[str], None]
    trusted: dict[int, float | None] = field(default_factory=dict)
    start: int = 0
    finalists: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger.macs = {one.network: one.macs for one in self.found}

    @property
    def found(self) -> tuple[Candidate, ...]:
        return self.candidates.found

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(self.settings.lengths)

    @property
    def full_grid(self) -> int:
        """MACs times steps of every candidate at the last length from every final seed."""
        return sum(one.macs for one in self.found) * self.settings.final_seeds * self.lengths[-1]

    @property
    def mean_macs(self) -> float:
        """The cost of a candidate; all cost nearly the same."""
        return sum(one.macs for one in self.found) / len(self.found)

    def seeds(self, count: int) -> range:
        return range(self.settings.seed, self.settings.seed + count)

    def ask(self, indices: Sequence[int], seeds: int, steps: int) -> None:
        """Train these candidates, leaving out those known to have failed."""
        networks = [self.found[index].network for index in indices]
        alive = [network for network in networks if not self.ledger.failure(network)]
        self.note(f"{len(alive)} candidates, {seeds} seeds, {steps} steps")
        self.ledger.ask([Question(network, seed, steps) for network in alive for seed in self.seeds(seeds)])

    def mean(self, index: int, steps: int, seeds: int) -> float:
        accuracies = self.ledger.accuracies(self.found[index].network)[steps]
        return math.fsum(accuracies[seed] for seed in self.seeds(seeds)) / seeds

    def probe(self) -> None:
        """Find the first length whose order of a few candidates agrees with the last length's."""
        settings, last = self.settings, self.lengths[-1]
        steps = settings.budget * self.full_grid / self.mean_macs
        count = affordable_probe(settings.probe, len(self.found), self.lengths, steps)
        probed = far_apart(self.found, count, settings.seed)
        self.ask(probed, 1, last)
        for start, steps in enumerate(self.lengths[:-1]):
            self.start = start
            self.ask(probed, 1, steps)
            if self._predicts(probed, steps):
                return
            correlation = self.trusted[steps]
            shown = "is undefined" if correlation is None else f"is {correlation:.2f}"
            self.note(f"the order after {steps} steps is not trusted: its rank correlation with {last} {shown}")
        self.start = len(self.lengths) - 1

    def _predicts(self, probed: Sequence[int], steps: int) -> bool:
        """Whether the order at `steps` agrees with the last length's, and would not have cut the best there."""
        alive = [index for index in probed if not self.ledger.failure(self.found[index].network)]
        short = {index: self.mean(index, steps, 1) for index in alive}
        long = {index: self.mean(index, self.lengths[-1], 1) for index in alive}
        correlation = self.trusted[steps] = rank_correlation(list(short.values()), list(long.values()))
        if self.settings.trust == -1:
            return True
        if correlation is None or correlation < self.settings.trust:
            return False
        best = max(alive, key=lambda index: long[index])
        return sum(value > short[best] for value in short.values()) < survivors(len(alive), self.settings.reduction, 1)

    @property
    def macs_left(self) -> float:
        """What is left of the budget, in MACs times steps."""
        return self.settings.budget * self.full_grid - self.ledger.training_macs

    def plan(self) -> HalvingPlan:
        """What the budget affords after the probe."""
        settings = self.settings
        first = self.lengths[self.start]
        asked = HalvingPlan(
            self.lengths, self.start, settings.seeds, settings.reduction, settings.keep, settings.final_seeds,
            probed=sum(first in self.ledger.accuracies(one.network) for one in self.found),
        )  # fmt: skip
        return affordable_halving(len(self.found), asked, self.macs_left / self.mean_macs)

    def halve(self) -> None:
        """Rung by rung down to the finalists, then these with every seed, and also at the length before the last, where
        orders are compared."""
        plan, running = self.plan(), list(range(len(self.found)))
        for place, steps in enumerate(self.lengths[self.start :]):
            seeds = plan.seeds if place else plan.first_seeds
            self.ask(running, seeds, steps)
            means = {index: self.mean(index, steps, seeds) for index in self.alive(running)}
            running = best_of(means, survivors(len(means), plan.reduction, plan.keep))
        self.ask(running, plan.final_seeds, self.lengths[-1])
        self.ask(running, plan.seeds, self.lengths[-2])
        self.finalists = self.alive(running)

    def settle(self) -> None:
        """Spend what is left of the budget on seeds of the candidates that cannot be told from the best."""
        steps = self.lengths[self.start]
        equal, _ = self.compared()
        seeds = min(len(self.ledger.accuracies(self.found[index].network)[steps]) for index in equal)
        each = steps * sum(self.found[index].macs for index in equal)
        more = min(self.settings.final_seeds - seeds, int(self.macs_left // each))
        if len(equal) > 1 and more > 0:
            self.ask(equal, seeds + more, steps)

    def compared(self) -> tuple[list[int], Comparison]:
        """The candidates that cannot be told from the best, and how they were compared."""
        sound = [index for index, one in enumerate(self.found) if not self.ledger.failure(one.network)]
        comparison = compare([self.ledger.accuracies(self.found[index].network) for index in sound], self.settings.seed)
        return [sound[index] for index in comparison.can_be_best], comparison

    def alive(self, running: Sequence[int]) -> list[int]:
        """Those that have not failed. Raises TrainingError where none is left."""
        failures = {index: self.ledger.failure(self.found[index].network) for index in running}
        alive = [index for index in running if not failures[index]]
        if not alive:
            raise TrainingError(
                f"every remaining candidate failed, the last one with: {failures[running[-1]]}",
                hint="check the recipe and the data: does the baseline train?",
            )
        return alive

    def key(self) -> str:
        """12 hexadecimal digits of what is searched: the same for the same question."""
        table: list[object] = [list(self.lengths), self.settings.method, self.settings.cost, self.settings.seed]
        table.append([one.network.as_dict() for one in self.found])
        return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]

    def searched(self, index: int) -> SearchedCandidate:
        """What became of one candidate."""
        candidate = self.found[index]
        known = self.ledger.accuracies(candidate.network)
        by_steps = {steps: dict(known[steps]) for steps in self.lengths if steps in known}
        failure = self.ledger.failure(candidate.network)
        if failure or not by_steps:
            return SearchedCandidate(candidate, "failed", failure, by_steps, 0, None, None, 0)
        steps = max(by_steps)
        interval = accuracy_interval(list(by_steps[steps].values()))
        state: State = "finalist" if index in self.finalists else "pruned"
        return SearchedCandidate(
            candidate, state, failure, by_steps, steps, interval.mean, interval.interval95, interval.count
        )

    def result(self) -> CoefficientSearch:
        """Everything found, the best first among the equivalent."""
        candidates = [self.searched(index) for index in range(len(self.found))]
        last, before = self.lengths[-1], self.lengths[-2]
        equal, compared = self.compared()
        best = max(self.alive(self.finalists), key=lambda index: candidates[index].accuracy or 0.0)
        equal = [best, *(index for index in equal if index != best)]
        method = self.settings.method
        order = order_changes(
            {index: one.accuracies.get(before, {}) for index, one in enumerate(candidates)},
            {index: one.accuracies.get(last, {}) for index, one in enumerate(candidates)},
        )
        alpha, beta, gamma = self.found[best].coefficients(method)
        share = self.full_grid / self.ledger.training_macs
        found = CoefficientSearch(
            alpha=alpha,
            beta=beta,
            gamma=gamma,
            baseline=self.baseline.name,
            method=method,
            cost=self.settings.cost,
            lengths=self.lengths,
            interval95=_ranges([self.found[index].coefficients(method) for index in equal]),
            candidates=tuple(candidates),
            equal_best=tuple(equal),
            noise=compared.noise,
            drift=compared.drift,
            unreachable=self.candidates.unreachable,
            merged=self.candidates.merged,
            trusted=self.trusted,
            first_length=self.lengths[self.start],
            order=order,
            device_seconds=self.ledger.device_seconds,
            full_grid_device_seconds=self.ledger.device_seconds * share,
            training_macs=self.ledger.training_macs,
            full_grid_training_macs=self.full_grid,
            trainings=len(self.ledger.answers),
        )
        return replace(found, note=evidence_of(found))


def _ranges(coefficients: Sequence[tuple[float, float, float]]) -> tuple[Ends, Ends, Ends]:
    """The lowest and the highest alpha, beta and gamma."""
    alphas, betas, gammas = zip(*coefficients, strict=True)
    return (min(alphas), max(alphas)), (min(betas), max(betas)), (min(gammas), max(gammas))
