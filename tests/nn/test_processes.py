"""Several processes that train one network: the same numbers as one, through kills, signals and mistakes."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributed import TCPStore

import convscale as cs
from convscale.cli.main import run as command_line
from convscale.data.images import Subset
from convscale.data.loader import training_batches
from convscale.errors import ConvscaleError, TrainingStopped, UnknownNameError
from convscale.evaluation.evaluator import measure
from convscale.files import write_toml
from convscale.nn.processes import Processes
from convscale.recipes import LBFGS, SGD, Augmentation, Recipe, RMSProp, SearchGrid, Staircase
from convscale.runs import Run, Settings
from convscale.schema import to_table
from convscale.training import loop as loop_module
from convscale.training import step as step_module
from convscale.training.setup import make_job, make_state
from convscale.training.step import Stepper, spread
from tests.images import digit_photos

# Everything random and every kind of state at once; 84 images, 4 steps an epoch.
LIVELY = Recipe(
    note="a test", epochs=3, batch=20, learning_rate=0.02, warmup_epochs=0.5, weight_decay=1e-4, label_smoothing=0.1,
    ema_decay=0.99, dropout=0.2, drop_path=0.3, accumulation=2, gradient_clip=2.0, optimizer=RMSProp(),
    schedule=Staircase(0.9, 0.7),
    augmentation=Augmentation(crop="resized", flip=True, policy="autoaugment", erasing=0.3, mixup=0.2, cutmix=1.0),
)  # fmt: skip
PLAIN = Recipe(note="a test", epochs=2, batch=20, learning_rate=0.001, optimizer=SGD(momentum=0.9))
_SMALL = cs.network("small-mbconv")
NETWORK = replace(_SMALL, resolution=12, input_channels=1, stages=_SMALL.stages[:2])
FULL = bool(os.environ.get("CONVSCALE_FAULTS"))  # `make faults`: as often as docs/reliability.md says
QUIET_THREADS = {"OMP_NUM_THREADS": "1", "GOMP_SPINCOUNT": "0", "PYTHONWARNINGS": "error"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of three classes as files: 84 to train on, 21 held out."""
    return digit_photos(tmp_path_factory.mktemp("photos"), 35)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """No process that has this test's folder in its command line outlives it."""
    yield
    for _ in range(100):
        left = subprocess.run(["pgrep", "-af", str(tmp_path)], capture_output=True, text=True).stdout
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(left)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


@contextmanager
def launch() -> Iterator[int]:
    """The store that torchrun keeps over restarts; its port. In a process of its own, as forked processes must not
    inherit its threads."""
    ours, its = multiprocessing.Pipe()

    def serve() -> None:
        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        its.send(store.port)
        signal.pause()

    process = multiprocessing.get_context("fork").Process(target=serve)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def side_by_side(
    work: Callable[[], int | None], count: int = 2, store: int | None = None, timeout: float = 60
) -> list[int]:
    """Do `work` in `count` processes as torchrun would start them; their exit codes. With the port of one `launch` for
    several calls, each is a restart to the processes."""
    port = store or free_port()

    def child(rank: int) -> None:
        if store is not None:
            os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
        sys.exit(work() or 0)

    processes = [multiprocessing.get_context("fork").Process(target=child, args=(rank,)) for rank in range(count)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + timeout
    for process in processes:
        process.join(max(0.1, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
    for process in processes:
        process.join()
    return [int(process.exitcode or 0) for process in processes]


def arguments(photos: Path, run: Path, recipe: Recipe, *more: str) -> list[str]:
    """The command that trains; network and recipe are files beside the run."""
    network, recipe_file = run.with_suffix(".network.toml"), run.with_suffix(".recipe.toml")
    write_toml(network, to_table(NETWORK))
    write_toml(recipe_file, to_table(recipe))
    return ["train", str(network), "--data", str(photos), "--recipe", str(recipe_file), "-o", str(run), *more]


def state_of(run: Path) -> str:
    result = Run(run).result()
    assert result is not None
    return result.state_sha256


def telling_states(folder: Path, words: list[str]) -> Callable[[], int]:
    """The command, which also leaves the sha256 of each process's final state in `folder`."""

    def work() -> int:
        real = loop_module.Loop.run

        def told(self: loop_module.Loop) -> Any:
            measured = real(self)
            (folder / f"state-{self.processes.rank}").write_text(self.state.sha256())
            return measured

        loop_module.Loop.run = told  # type: ignore[method-assign]
        return command_line(words)

    return work


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of two processes that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert side_by_side(telling_states(folder, arguments(photos, folder / "run", LIVELY))) == [0, 0]
    return folder / "run"


def test_all_processes_end_in_the_same_state(photos: Path, whole: Path, tmp_path: Path) -> None:
    """Weights, EMA, BN statistics and slots, with dropout, drop path and a batch in parts; and again the same."""
    states = [(whole.parent / f"state-{rank}").read_text() for rank in range(2)]
    assert states == [state_of(whole)] * 2
    result = Run(whole).result()
    assert result is not None and result.processes == 2 and result.steps == 12 and Run(whole).evaluation().n == 21
    assert not list(whole.glob("**/*.tmp")) and len(Run(whole).metrics()) == 3


def double_steps(processes: Processes) -> list[dict[str, torch.Tensor]]:
    """The states after 1 and after 50 steps in double precision, nothing random in them."""
    recipe = replace(PLAIN, batch=16, learning_rate=0.01, weight_decay=1e-4, accumulation=1)
    images = cs.open_dataset("digits")
    job = make_job(NETWORK, images, recipe, Run(Path("unused")), Settings())
    state = make_state(job, processes)
    state.model.double().train()
    stepper = Stepper(job, state, 50, processes)
    stepper.normalise = lambda pixels: (pixels.double() / 255 - 0.5).contiguous(memory_format=torch.channels_last)  # type: ignore[assignment,misc]
    states = []
    for batch in training_batches(
        images.train, job.preprocessing, recipe.augmentation, 16, seed=0, epoch=0, rank=processes.rank,
        world=processes.world,
    ):  # fmt: skip
        assert stepper.take(batch).applied
        state.position.total_steps += 1
        if state.position.total_steps in (1, 50):
            states.append(state.tensors())
        if len(states) == 2:
            break
    return states


def test_two_processes_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, over 50 steps of SGD with momentum: within 1e-9, BN statistics included."""
    monkeypatch.setattr(
        step_module, "training_loss", lambda logits, targets, smoothing: F.cross_entropy(logits, targets)
    )

    def child() -> None:
        with Processes() as processes:
            torch.save(double_steps(processes), tmp_path / f"{processes.rank}.pt")

    assert side_by_side(child) == [0, 0]
    each = zip(double_steps(Processes()), *(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True)
    for (alone, first, second), allowed in zip(each, (1e-12, 1e-9), strict=True):  # rounding grows from step to step
        assert alone.keys() == first.keys() and any(name.startswith("optimizer.") for name in alone)
        for name, tensor in alone.items():
            assert torch.equal(first[name], second[name]), name
            assert tensor.dtype == torch.float64
            assert float((tensor - first[name]).abs().max()) < allowed, name


def test_the_losses_of_two_processes_are_those_of_one(photos: Path, tmp_path: Path) -> None:
    assert side_by_side(lambda: command_line(arguments(photos, tmp_path / "two", PLAIN))) == [0, 0]
    assert command_line(arguments(photos, tmp_path / "one", PLAIN)) == 0
    one, two = (Run(tmp_path / name).metrics() for name in ("one", "two"))
    assert len(one) == 2
    for a, b in zip(one, two, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, abs=1e-5)
        assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-4)


# Transfer learning.

TUNE = replace(
    PLAIN, epochs=3, head_epochs=1, warmup_epochs=0.5, learning_rate=0.01, layer_decay=0.5, norm_statistics="frozen"
)
SEARCH = replace(TUNE, search=SearchGrid(learning_rates=(0.003, 0.03), share=0.25))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the network on all digits."""
    run = tmp_path_factory.mktemp("before") / "run"
    recipe = replace(PLAIN, batch=32, learning_rate=0.02)
    cs.train(NETWORK, "digits", recipe, run, quiet=True)
    return run / "weights.safetensors"


@pytest.mark.parametrize(
    "recipe", [TUNE, SEARCH, replace(TUNE, epochs=8, learning_rate=0.05, patience=2, validation_share=0.25)],
    ids=["phases", "search", "patience"],
)  # fmt: skip
def test_two_processes_tune_as_one_does(photos: Path, weights: Path, tmp_path: Path, recipe: Recipe) -> None:
    """What learns changes after the first epoch, frozen statistics stay; a search and early stopping decide alike."""
    start = ("--weights", str(weights))
    assert side_by_side(telling_states(tmp_path, arguments(photos, tmp_path / "two", recipe, *start))) == [0, 0]
    assert command_line(arguments(photos, tmp_path / "one", recipe, *start)) == 0
    assert [(tmp_path / f"state-{rank}").read_text() for rank in range(2)] == [state_of(tmp_path / "two")] * 2
    one, two = Run(tmp_path / "one"), Run(tmp_path / "two")
    assert len(one.metrics()) == len(two.metrics()) >= 2
    for a, b in zip(one.metrics(), two.metrics(), strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, abs=1e-5) and b.top1 == a.top1
        assert b.gradient_norm == pytest.approx(a.gradient_norm, rel=1e-4)
    ours, theirs, before = (cs.load(path).state_dict() for path in (one.weights, two.weights, weights))
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], atol=1e-5), name
        assert "running" not in name or torch.equal(theirs[name], before[name]), name
    assert not torch.equal(theirs["stem.conv.norm.bias"], before["stem.conv.norm.bias"])
    rows = [[(row.learning_rate, row.accuracy, row.n) for row in run.searched()] for run in (one, two)]
    assert rows[0] == rows[1] and len(rows[0]) == len(recipe.choices()) and one.recipe() == two.recipe()
    assert one.evaluation().n == two.evaluation().n == 21


def test_a_search_of_two_processes_goes_on(photos: Path, weights: Path, tmp_path: Path) -> None:
    """A signal to one of them in the second training of the search saves, and both end; resumed, it ends the same."""
    words = arguments(photos, tmp_path / "run", SEARCH, "--weights", str(weights))

    def stopped() -> int:
        take, taken = Stepper.take, [0]

        def stop(self: Stepper, batch: Any) -> Any:
            taken[0] += 1
            if taken[0] == 14 and self.processes.rank == 1:
                signal.raise_signal(signal.SIGTERM)
            return take(self, batch)

        Stepper.take = stop  # type: ignore[method-assign]
        return command_line(words)

    assert side_by_side(stopped) == [128 + signal.SIGTERM] * 2
    assert len(Run(tmp_path / "run").searched()) == 1 and Run(tmp_path / "run" / "search" / "002").result() is None
    assert side_by_side(lambda: command_line(["resume", str(tmp_path / "run")])) == [0, 0]
    whole = arguments(photos, tmp_path / "whole", SEARCH, "--weights", str(weights))
    assert side_by_side(lambda: command_line(whole)) == [0, 0]
    assert state_of(tmp_path / "run") == state_of(tmp_path / "whole")


def test_a_linear_probe_is_of_one_process(
    photos: Path, weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = replace(PLAIN, epochs=1, learning_rate=1, weight_decay=0.01, trainable="head", optimizer=LBFGS())
    words = arguments(photos, tmp_path / "run", recipe, "--weights", str(weights))
    assert side_by_side(lambda: command_line(words)) == [2, 2]
    assert capfd.readouterr().err.count("error: a linear probe runs in one process") == 2
    assert not (tmp_path / "run").exists()


# A worker of torchrun that harms itself or its parent, once, before a step.
HARM = """
import os, signal, sys
from pathlib import Path
from convscale.cli.main import main
from convscale.training.step import Stepper

folder, rank, at, victim = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
take = Stepper.take

def harmful(self, batch):
    mark = folder / "harmed"
    if os.environ["RANK"] == rank and self.state.position.total_steps == at and not mark.exists():
        mark.touch()
        os.kill(*((os.getpid(), signal.SIGKILL) if victim == "self" else (os.getppid(), signal.SIGTERM)))
    elif mark.exists():
        (folder / "again").touch()
    return take(self, batch)

Stepper.take = harmful
main(sys.argv[5:])
"""


def torchrun(folder: Path, rank: int, at: int, victim: str, words: list[str], *options: str) -> tuple[int, str]:
    """The command under torchrun with two processes, one of which does harm; torchrun's exit code and output."""
    script = folder / "harm.py"
    script.write_text(HARM)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *options, str(script),
         str(folder), str(rank), str(at), victim, *words],
        env=os.environ | QUIET_THREADS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("attempt", range(10 if FULL else 1))
def test_a_killed_process_is_started_again(photos: Path, whole: Path, tmp_path: Path, attempt: int) -> None:
    """FAULTS 16: SIGKILL of rank 1 at step 10; the run ends as the one that nothing interrupted."""
    run = tmp_path / "run"
    words = arguments(photos, run, LIVELY, "--workers", "1")
    code, said = torchrun(tmp_path, 1, 10, "self", words, "--max-restarts=2")
    assert code == 0, said
    assert (tmp_path / "again").stat().st_mtime - (tmp_path / "harmed").stat().st_mtime < 30
    assert "going on in epoch 3 after step 0" in said
    assert state_of(run) == state_of(whole)


def test_a_restart_goes_on_with_its_own_run_only(photos: Path, whole: Path, tmp_path: Path) -> None:
    """What torchrun starts in the place of killed processes goes on; a first start refuses whatever is there."""
    run = tmp_path / "run"
    words = arguments(photos, run, LIVELY, "--checkpoint-seconds", "0")

    def killed() -> int:
        take = Stepper.take

        def fatal(self: Stepper, batch: Any) -> Any:
            if self.processes.rank == 1 and self.state.position.total_steps == 6:
                os.kill(os.getpid(), signal.SIGKILL)
            return take(self, batch)

        Stepper.take = fatal  # type: ignore[method-assign]
        return command_line(words)

    def killed_while_it_creates() -> int:
        module: Any = sys.modules[cs.train.__module__]
        real = module.create_run

        def half(path: Path, *rest: Any, **named: Any) -> Run:
            real(path, *rest, **named)
            (path / "environment.json").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

        module.create_run = half
        return command_line(words)

    with launch() as store, launch() as other:
        assert side_by_side(killed_while_it_creates, store=store) == [-signal.SIGKILL, 1]
        assert side_by_side(killed, store=store) == [1, -signal.SIGKILL]
        for _ in range(2):  # another launch, and what is started again in it
            assert side_by_side(lambda: command_line(words), store=other) == [2, 2]
        assert side_by_side(lambda: command_line(words), store=store) == [0, 0]
    assert state_of(run) == state_of(whole)
    assert '"going on in epoch 2 after step 2"' in (run / "events.jsonl").read_text()


@pytest.mark.skipif(not FULL, reason="`make faults`")
def test_killed_on_one_of_two_machines(photos: Path, whole: Path, tmp_path: Path) -> None:
    """Two torchruns, one process each: each counts restarts of its own."""
    run, script = tmp_path / "run", tmp_path / "harm.py"
    script.write_text(HARM)
    words = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
        f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=7", "--max-restarts=2", str(script), str(tmp_path), "1",
        "10", "self", *arguments(photos, run, LIVELY),
    ]  # fmt: skip
    machines = [subprocess.Popen(words, env=os.environ | QUIET_THREADS) for _ in range(2)]
    assert [machine.wait(200) for machine in machines] == [0, 0]
    assert state_of(run) == state_of(whole) and (tmp_path / "again").exists()


def test_sigterm_to_torchrun_saves_and_any_number_goes_on(photos: Path, whole: Path, tmp_path: Path) -> None:
    run, copy = tmp_path / "run", tmp_path / "copy"
    code, said = torchrun(tmp_path, 0, 6, "torchrun", arguments(photos, run, LIVELY))
    assert code != 0 and "SIGTERM in epoch 2 after step" in said and f"convscale resume {run}" in said
    assert Run(run).result() is None
    shutil.copytree(run, copy)
    assert side_by_side(lambda: command_line(["resume", str(run)])) == [0, 0]
    assert state_of(run) == state_of(whole)
    assert command_line(["resume", str(copy)]) == 0
    result = Run(copy).result()
    assert result is not None and result.processes == 1 and result.steps == 12
    events = (copy / "events.jsonl").read_text()
    assert "2 processes before, 1 now" in events


@pytest.mark.parametrize("mistake", ["batch", "folder", "unreadable"])
def test_mistakes_end_all_processes(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], mistake: str
) -> None:
    """Exit code 2 in all, though one alone may have noticed; nobody waits."""
    run, data, recipe = tmp_path / "run", tmp_path / "data", PLAIN
    shutil.copytree(photos, data)
    if mistake == "batch":
        recipe, said = replace(recipe, batch=21), "a batch of 21 cannot be shared by 2 processes"
    elif mistake == "folder":
        run.mkdir()
        (run / "mine").touch()
        said = "the folder is not empty"
    else:
        for path in sorted(data.glob("1/*"))[:10]:
            path.write_bytes(b"")
        said = "training images cannot be read, more than"
    assert side_by_side(lambda: command_line(arguments(data, run, recipe))) == [2, 2]  # or killed after a minute
    assert capfd.readouterr().err.count(f"error: {run}: {said}" if mistake == "folder" else said) == 2
    assert (run / "mine").exists() if mistake == "folder" else not run.exists()


def test_unreadable_images_are_counted_once(photos: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(photos, data)
    for path in sorted(data.glob("*/*"))[::15]:
        path.write_bytes(b"")
    recipe = replace(PLAIN, epochs=3, max_unreadable=0.3)
    work = telling_states(tmp_path, arguments(data, run, recipe))
    assert side_by_side(work) == [0, 0]
    result, evaluation = Run(run).result(), Run(run).evaluation()
    events = (run / "events.jsonl").read_text().count("unreadable, skipped")
    assert result is not None and result.unreadable == events
    assert result.unreadable + len(evaluation.unreadable) == 7 and evaluation.n == 21 - len(evaluation.unreadable)
    assert [(tmp_path / f"state-{rank}").read_text() for rank in range(2)] == [result.state_sha256] * 2


def test_an_evaluation_counts_every_image_once(tmp_path: Path) -> None:
    """Shards of unequal length, in unequal numbers of batches, are those of one process together."""
    dataset = cs.open_dataset("digits")
    images = Subset(dataset.test, np.arange(33))
    model = cs.build(NETWORK.with_classes(10), seed=0)
    preprocessing = make_job(NETWORK, dataset, PLAIN, Run(Path("unused")), Settings()).preprocessing

    def measured(processes: Processes) -> str:
        found = measure(model, images, preprocessing, dataset.classes, batch=16, processes=processes)
        assert found.confusion is not None and found.confusion.sum() == len(images) == found.evaluation.n
        return repr((found.evaluation, found.confusion.tolist()))

    def child() -> None:
        with Processes() as processes:
            (tmp_path / str(processes.rank)).write_text(measured(processes))

    assert side_by_side(child) == [0, 0]
    assert {(tmp_path / str(rank)).read_text() for rank in range(2)} == {measured(Processes())}


def test_no_model_outlives_the_group() -> None:
    """Whatever ends the training: PyTorch's group, freed with the last model that is spread over it, may never end."""

    def child() -> int:
        models = []

        def work() -> None:
            model = spread(torch.nn.Linear(2, 2))
            models.append(weakref.ref(model))
            raise TrainingStopped("stopped", signal.SIGTERM)

        with pytest.raises(TrainingStopped) as caught, Processes():
            work()
        return 0 if caught.traceback and models[0]() is None else 7

    assert side_by_side(child) == [0, 0]


def test_one_that_is_lost_is_told(tmp_path: Path) -> None:
    """Where nobody starts it again, the others end too, with a message."""

    def child() -> int:
        try:
            with Processes() as processes:
                processes.barrier()
                if processes.rank == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                processes.barrier()
        except ConvscaleError as error:
            return 7 if "process 0 lost another of the 2" in error.message else 8
        return 0

    assert side_by_side(child) == [7, -signal.SIGKILL]


def test_what_one_tells_reaches_all() -> None:
    def child() -> int:
        with Processes() as processes:
            rank = processes.rank
            assert processes.gather([]) == [] and processes.gather([rank] * rank) == [1, 2, 2]
            assert processes.any(rank == 1) and not processes.any(False)
            assert processes.same(7) and not processes.same(rank)
            assert processes.mean(float(rank), 1 + rank) == pytest.approx(8 / 6)
            assert processes.agree(15 * (rank == 1), rank == 1) == (15, False)
            processes.remember("this")
            assert processes.remembers("this") and not processes.remembers("that")

            def work() -> None:
                if rank == 1:
                    raise UnknownNameError("network", "b9", ["b0"])

            with pytest.raises(UnknownNameError, match="unknown network 'b9'"):
                processes.together(work)

            def stop() -> None:
                if rank == 2:
                    raise TrainingStopped("SIGTERM in epoch 3", signal.SIGTERM, hint="go on with it")

            with pytest.raises(TrainingStopped, match="SIGTERM in epoch 3 .go on with it") as stopped:
                processes.together(stop)
            assert stopped.value.exit_code == 143
        return 0

    assert side_by_side(child, 3) == [0, 0, 0]


def test_gradients_keep_their_values_when_laid_out_anew() -> None:
    """Strides along axes of length 1 say nothing; DDP would warn of them."""
    gradient = torch.arange(6.0).view(3, 2, 1, 1)
    laid = step_module._laid_out(gradient, (2, 1, 2, 2))
    assert laid.stride() == (2, 1, 2, 2) and torch.equal(laid, gradient)
    other = torch.arange(12.0).view(3, 2, 2, 1)
    assert step_module._laid_out(other, (4, 1, 2, 2)) is other
    assert callable(spread)
