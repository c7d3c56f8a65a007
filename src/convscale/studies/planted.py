"""A study of planted accuracies: any function in place of training, so that a study can be tried in a second."""

from __future__ import annotations

from collections.abc import Callable

from convscale.errors import ConfigError
from convscale.networks import ConvNet
from convscale.records import StudyResult, StudySpec
from convscale.search.questions import Outcome, Question, evaluator_of
from convscale.studies.collecting import collect
from convscale.studies.designs import design
from convscale.studies.spec import settled_methods
from convscale.trials.trial import TrialRecord, TrialResult

STEPS_PER_EPOCH = 100


def planted_study(spec: StudySpec, evaluate: Callable[[ConvNet, int, int], float]) -> StudyResult:
    """The result of `spec` with `evaluate(network, seed, steps) -> accuracy` for its trainings, each asked once.

    Exceptions and accuracies that are not finite are failures of that training. Raises as `design` does, and
    ConfigError for accuracies outside 0 to 1.
    """
    spec = settled_methods(spec)
    designed = design(spec, planted=True)
    places = {
        (point, epochs, seed): Question(point.network, seed, STEPS_PER_EPOCH * epochs)
        for seed in range(spec.seeds)
        for epochs in spec.lengths
        for point in designed.points
    }
    questions = list(dict.fromkeys(places.values()))
    answers = zip(questions, evaluator_of(evaluate)(questions), strict=True)
    records = {question: _record(number, question, outcome) for number, (question, outcome) in enumerate(answers)}
    return collect(designed, {place: records[question] for place, question in places.items()})


def _record(number: int, question: Question, outcome: Outcome) -> TrialRecord:
    accuracy, result = outcome.accuracy, None
    if accuracy is not None:
        if not 0 <= accuracy <= 1:
            raise ConfigError(
                f"evaluate gave {question.network.name}, seed {question.seed}, {question.steps} steps the accuracy "
                f"{accuracy:g}",
                hint="a fraction, from 0 to 1",
            )
        result = TrialResult(accuracy=accuracy, interval95=(accuracy, accuracy), steps=question.steps,
                             device_seconds=outcome.device_seconds)  # fmt: skip
    return TrialRecord(key="", number=number, result=result, failure=outcome.failure, attempts=1, run="")
