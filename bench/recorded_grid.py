"""Train every candidate of a grid from every seed at every length: the table that the search's tests use.

    python bench/recorded_grid.py cifar10 -o runs/recorded-grid --table tests/fixtures/recorded_grid.json

small-mbconv at 16 px, all directions of growth at four times its MACs. If stopped, it resumes when the command is given
again. Rows of other seeds already in the table are kept, so that seeds can be added later. The search is then compared
with this table (bench/recorded_search.py): does it pick as well as the full grid, and for how much less?
"""

from __future__ import annotations

import argparse
from pathlib import Path

import convscale as cs
from convscale.data import fit_to_images
from convscale.files import read_json, write_json
from convscale.recipes import recipe
from convscale.records import DataChoice
from convscale.search.coefficients import candidates_at_cost
from convscale.trials.coordination import run_trials
from convscale.trials.local import LocalExecutor
from convscale.trials.training_work import choose_images
from convscale.trials.trial import Trial

RESOLUTION, COST, SHARE_STEP = 16, 4.0, 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[2, 6])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--table", type=Path, required=True)
    options = parser.parse_args()
    choice = DataChoice(source=options.data, train_images=options.images, test_images=options.test_images)
    baseline = fit_to_images(cs.network("small-mbconv").at_resolution(RESOLUTION), choose_images(choice))
    found = candidates_at_cost(baseline, COST, step=SHARE_STEP).found
    recipes = [recipe("small-images").with_changes(epochs=epochs) for epochs in options.epochs]
    trials = [
        Trial(network=one.network, recipe=chosen, data=choice, seed=seed)
        for seed in options.seeds for chosen in recipes for one in found
    ]  # fmt: skip
    executor = LocalExecutor(workers=options.workers)
    try:
        records = run_trials(options.output, trials, executor)
    finally:
        executor.close()
    rows = []
    for trial, record in zip(trials, records, strict=True):
        assert record.result is not None, record.failure
        shares = next(one.shares for one in found if one.network == trial.network)
        rows.append(
            {"shares": shares, "macs": cs.cost(trial.network).macs, "steps": record.result.steps, "seed": trial.seed,
             "accuracy": record.result.accuracy, "device_seconds": round(record.result.device_seconds, 1)}
        )  # fmt: skip
    table = {"baseline": "small-mbconv", "resolution": RESOLUTION, "cost": COST, "share_step": SHARE_STEP,
             "recipe": "small-images", "epochs": options.epochs, "images": options.images,
             "test_images": options.test_images,
             "trained": [{"shares": one.shares,
                          "scaling": [one.scaling.depth, one.scaling.width, one.scaling.resolution]}
                         for one in found]}  # fmt: skip
    before = read_json(options.table) if options.table.exists() else table | {"rows": []}
    kept = [row for row in before.pop("rows") if row["seed"] not in options.seeds]
    assert not kept or before == table, f"{options.table} is of other trainings: {before}"
    write_json(options.table, table | {"rows": sorted(kept + rows, key=lambda row: row["seed"])})


if __name__ == "__main__":
    main()
