"""The process that supervises trials: what it loads, and how many it runs at once."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from convscale import machine
from convscale.runs import Settings
from convscale.trials.coordination import run_trials
from convscale.trials.local import LocalExecutor
from tests import works
from tests.trials.small_trials import trials
from tests.works import quick

pytest.importorskip("optuna")

SUPERVISOR = """
import resource, sys
from contextlib import closing
from pathlib import Path
import convscale as cs
from convscale.records import DataChoice
from convscale.trials.trial import Trial
data = DataChoice(source="digits", train_images=64, test_images=50)
network = cs.network("small-mbconv").at_resolution(16)
recipe = cs.recipe("digits").with_changes(epochs=1)
trials = [Trial(network=network, recipe=recipe, data=data, seed=seed) for seed in range(3)]
{body}
assert "torch" not in sys.modules, "the supervisor has loaded PyTorch"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
RUN_TRIALS = """
from convscale.trials.coordination import run_trials
from convscale.trials.local import LocalExecutor
from tests.works import quick
with closing(LocalExecutor(2, work=quick)) as executor:
    assert len(run_trials(Path(sys.argv[1]), trials, executor, quiet=True)) == 3
"""
TRAIN = """
from convscale.trials.coordination import run_trials
from convscale.trials.local import LocalExecutor
with closing(LocalExecutor(1)) as executor:
    (record,) = run_trials(Path(sys.argv[1]), trials[:1], executor, quiet=True)
assert record.result is not None, record
"""
COMMANDS = """
from contextlib import contextmanager
from convscale.cli import main, study, family, coefficients
from tests.works import Inline

@contextmanager
def executor(*options):
    yield Inline()

study.executor = family.executor = coefficients.executor = executor
images = ["--data", "digits", "--images", "100", "--test-images", "50", "-q"]
few = ["--cost", "3", "--share-step", "1", "--lengths", "1,2", "--seeds", "1", "--final-seeds", "2", "--probe", "3",
       "--keep", "2", "--budget", "1", "--recipe", "digits"]
base = Path(sys.argv[1])
for words in (
    ["study", "run", "demo", "-o", base / "study", "-q"],
    ["study", "resume", base / "study", "-q"],
    ["study", "status", base / "study"],
    ["coefficients", "small-mbconv", *images, *few, "-o", base / "search"],
    ["study", "resume", base / "search", "-q"],
    ["family", "small-mbconv", "--phi", "0..1", "--train", *images, "--recipe", "digits", "--seeds", "2",
     "-o", base / "family"],
    ["study", "resume", base / "family", "-q"],
):
    assert main.run([str(word) for word in words]) == 0, words
    assert "torch" not in sys.modules, words
"""


@pytest.mark.long
@pytest.mark.parametrize("body", [RUN_TRIALS, TRAIN, COMMANDS], ids=["light work", "training", "commands"])
def test_the_process_that_supervises_loads_no_pytorch(tmp_path: Path, body: str) -> None:
    code = SUPERVISOR.format(body=body)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("quota", "threads", "slots"), [(None, 1, 64), (2.0, 1, 2), (1.5, 1, 1), (0.5, 1, 1), (7.9, 2, 3), (100.0, 1, 64)]
)
def test_there_are_as_many_workers_as_the_container_grants_cores(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, threads: int, slots: int
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 64)
    monkeypatch.setattr(machine, "core_quota", lambda: quota)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert LocalExecutor(threads=threads, work=quick).slots == slots
    assert LocalExecutor(5, threads=threads, work=quick).slots == 5  # asked for


def test_workers_are_spread_over_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert LocalExecutor(work=quick).slots == 2
    with closing(LocalExecutor(4, work=works.seeing_gpus)) as executor:
        run_trials(tmp_path, trials(4), executor, quiet=True)
    assert sorted(file.read_text() for file in tmp_path.glob("trials/*/*/gpus")) == ["4", "4", "7", "7"]


@pytest.mark.parametrize(
    ("named", "found"),
    [("0,1,3", ("0", "1", "3")), ("", ()), ("-1", ()), ("2, GPU-ab,-1,3", ("2", "GPU-ab")), (None, ("0", "1"))],
)
def test_the_gpus_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str | None, found: tuple[str, ...]
) -> None:
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert machine.gpus(tmp_path) == found
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert machine.gpus(tmp_path / "none") == ()


@pytest.mark.parametrize(
    ("visible", "cores", "together", "workers"),
    [("", 16, 1, 0), ("0", 16, 1, 8), ("0", 4, 1, 3), ("0", 1, 1, 0), ("0,1", 16, 2, 7), ("0,1", 2, 2, 0)],
)
def test_as_many_processes_load_images_as_the_machine_allows(
    monkeypatch: pytest.MonkeyPatch, visible: str, cores: int, together: int, workers: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(together))
    monkeypatch.setattr(machine, "usable_cores", lambda: cores)
    assert machine.loading_workers() == Settings().workers == workers
    assert Settings(workers=2).workers == 2
