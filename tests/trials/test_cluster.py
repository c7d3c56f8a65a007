"""Trials on a Ray cluster of two nodes, real ones of this machine: what a node takes with it is done elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from convscale.errors import ConfigError, RunError
from convscale.records import DataChoice
from convscale.trials.cluster import ClusterExecutor
from convscale.trials.coordination import run_trials
from convscale.trials.folders import TrialFolder
from convscale.trials.local import LocalExecutor
from convscale.trials.trial import Trial
from tests import works
from tests.trials.small_trials import accuracies, stored, trials, wait_for
from tests.works import records_of

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")
pytest.importorskip("optuna")

# Ray leaves sockets and files to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(280)]

SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 1000,
        "health_check_failure_threshold": 4, "worker_niceness": 0}  # fmt: skip
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    made = cluster_utils.Cluster(
        initialize_head=True, head_node_args={**NODE, "include_dashboard": False, "_system_config": SOON}
    )
    yield made
    ray.shutdown()
    made.shutdown()


def children(pid: int) -> set[int]:
    """The processes that `pid` started, and theirs."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found, new = set(), {pid}
    while new:
        found |= new
        new = {one for one, parent in parents.items() if parent in new} - found
    return found


def kill_tree(node: Any) -> set[int]:
    """SIGKILL to every process of a node: its workers must not finish as orphans."""
    roots = [info.process.pid for infos in node.all_processes.values() for info in infos]
    tree = set().union(*(children(pid) for pid in roots))
    for pid in tree:
        os.kill(pid, signal.SIGKILL)
    return tree


@pytest.mark.long
def test_what_a_killed_node_ran_goes_on_elsewhere(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    killed: list[str] = []

    def kill() -> None:
        raylet = node.all_processes["raylet"][0].process.pid

        def runs_there() -> bool:
            there = children(raylet)
            for pid in tmp_path.glob("trials/*/attempt-1/pid"):
                ticks = pid.with_name("ticks")
                if pid.read_text() and int(pid.read_text()) in there and ticks.exists() and int(ticks.read_text()) > 3:
                    killed.append(pid.parent.parent.name)
                    return True
            return False

        wait_for(runs_there, 120)
        assert len(kill_tree(node)) > 1

    killer = threading.Thread(target=kill)
    killer.start()
    with closing(ClusterExecutor(cluster.address, work=works.ticking)) as executor:
        assert executor.slots == 2
        records = run_trials(tmp_path, trials(6), executor, quiet=True)
    killer.join()
    assert accuracies(records) == [0.5 + seed / 1000 for seed in range(6)]
    (lost,) = [record for record in records if record.attempts > 1]
    assert lost.number == int(killed[0]) and lost.attempts == 2
    assert lost.result is not None and 0 < lost.result.steps < works.TICKS  # it went on, it did not begin anew
    assert len(records_of(tmp_path)) == 6 == len(stored(tmp_path))


COORDINATOR = """
import sys
from contextlib import closing
from pathlib import Path
from convscale.trials.cluster import ClusterExecutor
from convscale.trials.coordination import run_trials
from tests.trials.small_trials import trials
from tests.works import ticking
with closing(ClusterExecutor(sys.argv[1], work=ticking)) as executor:
    run_trials(Path(sys.argv[2]), trials(3), executor, quiet=True)
"""


@pytest.mark.long
def test_a_killed_coordinator_leaves_nothing_running_on_the_cluster(cluster: Any, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", COORDINATOR, cluster.address, str(tmp_path)])
    ticks = tmp_path / "trials/0000/attempt-1/ticks"
    wait_for(lambda: (ticks.exists() and int(ticks.read_text()) > 3) or process.poll() is not None, 120)
    process.kill()
    process.wait()
    orphan = int(ticks.with_name("pid").read_text())
    wait_for(lambda: not Path(f"/proc/{orphan}").exists(), 30)
    with closing(ClusterExecutor(cluster.address, work=works.ticking)) as executor:
        records = run_trials(tmp_path, trials(3), executor, quiet=True)
    assert accuracies(records) == [0.5, 0.501, 0.502]
    first = records[0]
    assert first.attempts == 2 and first.result is not None and first.result.steps < works.TICKS  # it went on


@pytest.mark.long
def test_the_process_that_supervises_a_cluster_loads_no_pytorch(cluster: Any, tmp_path: Path) -> None:
    code = COORDINATOR.replace("ticking", "quick") + 'assert "torch" not in sys.modules\n'
    words = [sys.executable, "-W", "ignore", "-c", code, cluster.address, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(records_of(tmp_path)) == 3


def test_a_node_that_cannot_see_the_folder_ends_the_study(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is recorded as a trial's failure; the study goes on where the folder can be seen."""
    attempt = TrialFolder.attempt
    monkeypatch.setattr(TrialFolder, "attempt", lambda self, number: Path("/elsewhere") / attempt(self, number).name)
    monkeypatch.setattr(TrialFolder, "begin_attempt", lambda self: 1)
    with (
        closing(ClusterExecutor(cluster.address, work=works.quick)) as executor,
        pytest.raises(RunError, match="cannot run trials: FileNotFoundError: /elsewhere does not exist on"),
    ):
        run_trials(tmp_path, trials(2), executor, quiet=True)
    assert not records_of(tmp_path)
    monkeypatch.undo()
    with closing(ClusterExecutor(cluster.address, work=works.quick)) as executor:
        assert accuracies(run_trials(tmp_path, trials(2), executor, quiet=True)) == [0.5, 0.501]


def test_failures_and_no_numbers_are_recorded(cluster: Any, tmp_path: Path) -> None:
    with closing(ClusterExecutor(cluster.address, work=works.odd)) as executor:
        records = run_trials(tmp_path, trials(6), executor, quiet=True)
    assert accuracies(records) == [None] * 5 + [0.505]
    assert records[0].failure == "the accuracy is nan"
    assert records[4].failure == "RuntimeError: the loss exploded"


def test_a_worker_that_dies_is_given_up_after_three(cluster: Any, tmp_path: Path) -> None:
    with closing(ClusterExecutor(cluster.address, work=works.dying)) as executor:
        (record,) = run_trials(tmp_path, trials(1), executor, quiet=True)
    assert record.result is None and "lost 3 times" in record.failure and record.attempts == 3


@pytest.mark.long
def test_a_study_is_the_same_here_and_there(cluster: Any, tmp_path: Path) -> None:
    data = DataChoice(source="digits", train_images=320, test_images=100)
    short: list[Trial] = [
        replace(trial, recipe=trial.recipe.with_changes(epochs=1), data=data) for trial in trials(2)
    ]  # fmt: skip
    with closing(LocalExecutor(2)) as here:
        local = run_trials(tmp_path / "here", short, here, quiet=True)
    with closing(ClusterExecutor(cluster.address)) as there:
        remote = run_trials(tmp_path / "there", short, there, quiet=True)
    assert accuracies(local) == accuracies(remote) and None not in accuracies(local)
    assert [one.key for one in local] == [one.key for one in remote]


@pytest.mark.long
def test_no_cluster_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    ray.shutdown()
    with pytest.raises(RunError, match=r"no Ray cluster answers at '127.0.0.1:1'.*ray start --head"):
        ClusterExecutor("127.0.0.1:1", work=works.quick)
    with pytest.raises(ConfigError, match="0 or more of each"):
        ClusterExecutor("local", cpus=0, gpus=0, work=works.quick)
