"""Nothing is lost: kills, signals, and the resumed run that ends in the very state of the uninterrupted one."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.data.loader import training_batches
from convscale.errors import ConfigError, DataError, RunError, TrainingError, TrainingStopped
from convscale.nn.processes import Processes
from convscale.recipes import SGD, Augmentation, Recipe, RMSProp, Staircase
from convscale.runs import ProgressFile, Run, Settings
from convscale.training import step as step_module
from convscale.training.checkpoint import load_newest
from convscale.training.setup import make_job, make_state
from convscale.training.step import Outcome, Stepper
from tests.images import bomb, digit_photos

# Everything random and every kind of state at once.
LIVELY = Recipe(
    note="a test", epochs=3, batch=16, learning_rate=0.02, warmup_epochs=0.5, weight_decay=1e-4, label_smoothing=0.1,
    ema_decay=0.99, dropout=0.2, drop_path=0.3, accumulation=2, gradient_clip=2.0, optimizer=RMSProp(),
    schedule=Staircase(0.9, 0.7),
    augmentation=Augmentation(crop="resized", flip=True, policy="autoaugment", erasing=0.3, mixup=0.2, cutmix=1.0),
)  # fmt: skip
NETWORK = replace(cs.network("small-mbconv"), resolution=12, input_channels=1)
IMAGES = 90  # 72 to train on: 4 steps an epoch, the last images of each left out
FULL = bool(os.environ.get("CONVSCALE_FAULTS"))  # `make faults`: as often as docs/reliability.md says


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits of three classes as files."""
    return digit_photos(tmp_path_factory.mktemp("photos"), IMAGES // 3)


def trained(photos: Path, run: Path, recipe: Recipe = LIVELY, **settings: Any) -> None:
    cs.train(NETWORK, photos, recipe, run, quiet=True, seed=3, **settings)


def state_of(run: Path) -> str:
    result = Run(run).result()
    assert result is not None
    return result.state_sha256


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    trained(photos, run)
    return run


def same_weights(one: Path, other: Path) -> bool:
    (a, header), (b, same) = (cs.load_weights(Run(run).weights) for run in (one, other))
    tensors = a.state_dict(), b.state_dict()
    return header == same and all(torch.equal(value, tensors[1][key]) for key, value in tensors[0].items())


def forked(work: Callable[[], None], timeout: float = 60) -> int:
    """Do `work` in a process of its own; its exit code, negative for a signal, as multiprocessing says it."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(timeout)
    assert process.exitcode is not None, "still running"
    return process.exitcode


def killing_itself(when: str, at: int, work: Callable[[], None]) -> Callable[[], None]:
    """`work`, in which the process kills itself with SIGKILL before or after the update of step `at`, from 0."""

    def child() -> None:
        take = Stepper.take

        def fatal(self: Stepper, batch: Any) -> Outcome:
            now = self.state.position.total_steps == at
            if now and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            outcome = take(self, batch)
            if now and when == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        Stepper.take = fatal  # type: ignore[method-assign]
        work()

    return child


def test_the_same_state_again_with_any_number_of_workers(photos: Path, whole: Path, tmp_path: Path) -> None:
    trained(photos, tmp_path / "run", workers=2)
    assert state_of(tmp_path / "run") == state_of(whole)
    trained(photos, tmp_path / "other", replace(LIVELY, learning_rate=0.021))
    assert state_of(tmp_path / "other") != state_of(whole)


KILLS = [
    (0, "before", 0, 300.0), (1, "after", 2, 300.0), (3, "after", 0, 300.0), (4, "before", 2, 300.0),
    (5, "after", 0, 0.0), (7, "after", 0, 0.0), (8, "before", 0, 0.0), (9, "after", 2, 0.0), (11, "after", 0, 0.0),
    (11, "before", 2, 300.0),
]  # fmt: skip


if FULL:
    KILLS += [(at, "after" if at % 2 else "before", at % 3 // 2 * 2, 0.1 * (at % 4)) for at in range(1, 11)]


@pytest.mark.parametrize(("at", "when", "workers", "seconds"), KILLS)
def test_killed_and_resumed_is_uninterrupted(
    photos: Path, whole: Path, tmp_path: Path, at: int, when: str, workers: int, seconds: float
) -> None:
    """FAULTS 4: the same bits, though the kill came between two checkpoints and at the edges of epochs."""
    run = tmp_path / "run"
    code = forked(killing_itself(when, at, lambda: trained(photos, run, workers=workers, checkpoint_seconds=seconds)))
    assert code == -signal.SIGKILL and Run(run).result() is None
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)
    metrics, reference = Run(run).metrics(), Run(whole).metrics()
    assert [(m.epoch, m.train_loss, m.top1) for m in metrics] == [(m.epoch, m.train_loss, m.top1) for m in reference]
    assert same_weights(run, whole)
    assert not (run / "checkpoints").exists() and not list(run.glob("**/*.tmp"))


@pytest.mark.parametrize("workers", [(0, 2), (2, 0)])
def test_resumed_with_another_number_of_workers(
    photos: Path, whole: Path, tmp_path: Path, workers: tuple[int, int]
) -> None:
    """FAULTS 5: images, views and their order do not depend on who loads them."""
    run = tmp_path / "run"
    assert forked(killing_itself("after", 6, lambda: trained(photos, run, workers=workers[0]))) == -signal.SIGKILL
    settings = json.loads((run / "settings.json").read_text()) | {"workers": workers[1]}
    (run / "settings.json").write_text(json.dumps(settings))
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)


def test_resumed_with_another_number_of_threads_says_so(
    photos: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAULTS 5: the last bits differ by nature, the course does not."""
    run = tmp_path / "run"
    assert forked(killing_itself("after", 6, lambda: trained(photos, run))) == -signal.SIGKILL
    torch.set_num_threads(2)
    try:
        cs.resume(run)
    finally:
        torch.set_num_threads(1)
    assert "1 threads before, 2 now" in capsys.readouterr().err
    assert any("2 now" in line for line in (run / "events.jsonl").read_text().splitlines())
    losses = [[m.train_loss for m in Run(path).metrics()] for path in (run, whole)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_every_image_is_seen_once_an_epoch_though_killed(photos: Path, tmp_path: Path) -> None:
    """FAULTS 4: N of N, over the kill and the resumption."""
    seen = tmp_path / "seen"
    recipe = replace(LIVELY, batch=18, epochs=2, augmentation=Augmentation())

    def told(self: Any, index: int) -> bytes:
        with seen.open("a") as file:
            file.write(f"{self.name(index)}\n")
        return Path(self.name(index)).read_bytes()

    from convscale.data.images import FileImages

    with pytest.MonkeyPatch.context() as patch:
        dataset = cs.open_dataset(photos, seed=3)
        patch.setattr(FileImages, "content", told)
        run = tmp_path / "run"
        work = killing_itself("before", 2, lambda: trained(photos, run, recipe, checkpoint_seconds=0.0))
        assert forked(work) == -signal.SIGKILL
        first = seen.read_text().splitlines()
        seen.unlink()
        cs.resume(run, quiet=True)
    names = {dataset.train.name(index) for index in range(len(dataset.train))}
    first = [name for name in first if name in names][18:]  # the sheet of the first batch comes before
    second = [name for name in seen.read_text().splitlines() if name in names]
    # two steps are done and saved, the third batch was loaded and is loaded again
    assert sorted(first[:36] + second[: 72 - 36]) == sorted(names)


def interrupted(work: Callable[[], None], now: Path, at: int, number: int, delay: float, again: bool = False) -> float:
    """Send a signal to `work` in a process of its own, `delay` s after its step `at` began, and, `again`, once more
    half a second later; the seconds from the last signal to the end, which was by that signal."""

    def child() -> None:
        take = Stepper.take

        def slower(self: Stepper, batch: Any) -> Outcome:
            if self.state.position.total_steps >= at:
                now.touch()
                time.sleep(0.05)
            return take(self, batch)

        Stepper.take = slower  # type: ignore[method-assign]
        try:
            work()
        except TrainingStopped as stopped:
            sys.exit(stopped.exit_code)
        except KeyboardInterrupt:
            sys.exit(130)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    deadline = time.monotonic() + 60
    while not now.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(delay)
    assert process.pid is not None
    for pause in (0.0, 0.5) if again else (0.0,):
        time.sleep(pause)
        assert process.is_alive()
        os.kill(process.pid, number)
    told = time.monotonic()
    process.join(30)
    assert process.exitcode == 128 + number
    return time.monotonic() - told


@pytest.mark.parametrize("attempt", range(20 if FULL else 4))
def test_sigterm_saves_and_leaves(photos: Path, whole: Path, tmp_path: Path, attempt: int) -> None:
    """FAULTS 6: at any moment, evaluations and saves included: 143 within 5 s, and nothing lost."""
    run, chance = tmp_path / "run", random.Random(attempt)
    work = partial(trained, photos, run, workers=attempt % 2 * 2)
    assert interrupted(work, tmp_path / "now", chance.randrange(10), signal.SIGTERM, chance.uniform(0, 0.2)) <= 5
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)


def test_sigterm_during_an_evaluation(photos: Path, whole: Path, tmp_path: Path) -> None:
    from convscale.training import loop

    def child() -> None:
        real = loop.measure

        def slow(*arguments: Any, **keywords: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            return real(*arguments, **keywords)

        loop.measure = slow  # type: ignore[assignment]
        try:
            trained(photos, tmp_path / "run")
        except TrainingStopped as stopped:
            os._exit(stopped.exit_code)

    assert forked(child) == 143
    cs.resume(tmp_path / "run", quiet=True)
    assert state_of(tmp_path / "run") == state_of(whole)


@pytest.mark.parametrize("attempt", range(20 if FULL else 3))
def test_ctrl_c_twice(photos: Path, whole: Path, tmp_path: Path, attempt: int) -> None:
    """FAULTS 7: the first is graceful, the second leaves within a second, here from a save that takes long; no file is
    left damaged."""
    run, chance = tmp_path / "run", random.Random(attempt)

    def slow_to_save() -> None:
        from convscale.training import session

        real = session.save_checkpoint

        def slow(*arguments: Any) -> Path:
            if (tmp_path / "now").exists():
                for _ in range(500):
                    time.sleep(0.01)
            return real(*arguments)

        session.save_checkpoint = slow
        trained(photos, run, workers=attempt % 2)

    assert (
        interrupted(slow_to_save, tmp_path / "now", chance.randrange(8), signal.SIGINT, chance.uniform(0, 0.1), True)
        <= 1
    )
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)


WINDOWS = [(name, when, call) for name in ("append_metrics", "save_weights", "save_checkpoint", "write_result",
           "write_evaluation", "remove_checkpoints", "write")
           for when in ("before", "after") for call in (1, 2)]  # fmt: skip


@pytest.mark.parametrize(("name", "when", "call"), WINDOWS if FULL else [*WINDOWS[::3], WINDOWS[-3]])
def test_killed_between_any_two_writes(
    photos: Path, whole: Path, tmp_path: Path, name: str, when: str, call: int
) -> None:
    """FAULTS 4: between metrics, best weights, checkpoints and results too; nothing is counted twice or left over."""
    run = tmp_path / "run"

    def child() -> None:
        from convscale.training import results, session

        calls = [0]
        for owner in (Run, session, results, ProgressFile):
            real = getattr(owner, name, None)
            if real is None:
                continue

            def fatal(*arguments: Any, real: Any = real, **keywords: Any) -> Any:
                calls[0] += 1
                if when == "before" and calls[0] == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                written = real(*arguments, **keywords)
                if when == "after" and calls[0] == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return written

            setattr(owner, name, fatal)
        trained(photos, run)

    code = forked(child)
    assert code == -signal.SIGKILL or (code == 0 and call == 2)  # it is not written twice
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)
    keys = [(m.epoch, m.train_loss, m.top1) for m in Run(run).metrics()]
    assert keys == [(m.epoch, m.train_loss, m.top1) for m in Run(whole).metrics()]
    for file in ("weights.safetensors", "best.safetensors"):
        assert (run / file).read_bytes() == (whole / file).read_bytes()
    assert {path.name for path in run.iterdir()} - {"events.jsonl"} == {path.name for path in whole.iterdir()}


class Poisoned:
    """A loss that is not finite at some steps."""

    def __init__(self, steps: set[int], value: float, *, gradient: bool = False) -> None:
        self.steps, self.value, self.gradient, self.calls = steps, value, gradient, 0
        self.real = step_module.training_loss

    def __call__(self, logits: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        loss = self.real(logits, targets, smoothing)
        bad = self.calls in self.steps
        self.calls += 1
        if bad and self.gradient:
            logits.register_hook(lambda gradient: gradient * self.value)
            return loss
        return loss * self.value if bad else loss


PLAIN = replace(LIVELY, accumulation=1)


@pytest.fixture(scope="module")
def plain(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The state that PLAIN ends in."""
    run = tmp_path_factory.mktemp("plain") / "run"
    trained(photos, run, PLAIN)
    return state_of(run)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [3, 7, 11] if FULL else [0, 11])
def test_a_loss_that_is_not_finite_stops(
    photos: Path, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, value: float, gradient: bool
) -> None:
    """FAULTS 12: noticed in that very step; the state before it is kept, and training can go on from it."""
    poisoned = Poisoned({at}, value, gradient=gradient)
    monkeypatch.setattr(step_module, "training_loss", poisoned)
    with pytest.raises(TrainingError, match=rf"in step {at + 1} \(epoch .*learning rate .*resume") as caught:
        trained(photos, tmp_path / "run", PLAIN)
    assert "gradient norm" in caught.value.message and poisoned.calls == at + 1
    monkeypatch.undo()
    cs.resume(tmp_path / "run", quiet=True)  # nothing bad was taken over
    assert state_of(tmp_path / "run") == plain


def test_a_recipe_can_be_changed_to_go_on(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_module, "training_loss", Poisoned({6}, float("nan")))
    with pytest.raises(TrainingError, match="resume .* --set"):
        trained(photos, tmp_path / "run", PLAIN)
    monkeypatch.undo()
    cs.resume(tmp_path / "run", changes=["learning_rate=0.001"], quiet=True)
    assert Run(tmp_path / "run").recipe().learning_rate == 0.001
    assert "learning_rate 0.02 -> 0.001" in (tmp_path / "run" / "events.jsonl").read_text()


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_a_step_that_is_not_finite_can_be_left_out(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: Any
) -> None:
    monkeypatch.setattr(step_module, "training_loss", Poisoned({5}, float("nan")))
    trained(photos, tmp_path / "run", replace(PLAIN, on_nonfinite=policy))
    cs.load_weights(tmp_path / "run" / "weights.safetensors")  # refuses NaN
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert "not finite: loss nan" in events and json.loads(events.splitlines()[0])["policy"] == policy
    monkeypatch.setattr(step_module, "training_loss", Poisoned(set(range(1, 99)), float("nan")))
    said = "after 3 rollbacks" if policy == "rollback" else "skipped in a row"
    with pytest.raises(TrainingError, match=said):
        trained(photos, tmp_path / "other", replace(PLAIN, on_nonfinite=policy, epochs=6))


def test_unreadable_images_are_skipped_up_to_a_share(photos: Path, tmp_path: Path) -> None:
    """FAULTS 10 and 11, in training: counted, listed, user files as they were."""
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    bad = {
        data / "0" / "empty.png": b"",
        data / "1" / "text.jpg": b"<html>no</html>",
        data / "2" / "bomb.png": bomb(20_000),
    }
    for path, content in bad.items():
        path.write_bytes(content)
    before = {path: path.read_bytes() for path in data.glob("*/*")}
    recipe = replace(PLAIN, max_unreadable=0.1, epochs=4)
    for workers in (0, 2):
        run, evaluation = cs.train(NETWORK, data, recipe, tmp_path / f"run{workers}", quiet=True, workers=workers)
        record = run.result()
        assert record is not None
        listed = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
        assert record.unreadable + len(evaluation.unreadable) == 3 == len(listed) + len(evaluation.unreadable)
        assert {Path(event["image"]) for event in listed} <= set(bad)
    assert state_of(tmp_path / "run0") == state_of(tmp_path / "run2")
    assert {path: path.read_bytes() for path in data.glob("*/*")} == before
    with pytest.raises(DataError, match=r"of 75 training images cannot be read, more than 1.0%.*data check"):
        cs.train(NETWORK, data, replace(recipe, max_unreadable=0.01), tmp_path / "strict", quiet=True)
    assert not (tmp_path / "strict").exists()


def test_a_run_is_trained_by_one_process_at_a_time(photos: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert forked(killing_itself("after", 5, lambda: trained(photos, run))) == -signal.SIGKILL

    def child() -> None:
        with Run(run).locked():
            (tmp_path / "held").touch()
            time.sleep(600)

    holder = multiprocessing.get_context("fork").Process(target=child)
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with pytest.raises(RunError, match=r"process \d+ is training this run"):
        cs.resume(run, quiet=True)
    holder.kill()
    holder.join()
    cs.resume(run, quiet=True)
    assert state_of(run) == state_of(whole)


def test_what_cannot_change_once_a_run_has_begun(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert forked(killing_itself("after", 5, lambda: trained(photos, run))) == -signal.SIGKILL
    for change in ("batch=8", "optimizer.type=sgd", "ema_decay=0", "trainable=head"):
        with pytest.raises(ConfigError, match="cannot change once a run has begun"):
            cs.resume(run, changes=[change], quiet=True)
        assert Run(run).recipe() == LIVELY  # a change that fails leaves nothing behind
    text = (run / "network.toml").read_text()
    (run / "network.toml").write_text(text.replace("resolution = 12", "resolution = 16"))
    with pytest.raises(RunError, match="not the network that was trained"):
        cs.resume(run, quiet=True)
    (run / "network.toml").write_text(text)
    cs.resume(run, changes=["accumulation=4"], quiet=True)
    assert Run(run).recipe().accumulation == 4
    with pytest.raises(ConfigError, match="its training is done"):
        cs.resume(run, changes=["accumulation=2"], quiet=True)
    (photos / "0" / "new.png").write_bytes(next(iter((photos / "0").iterdir())).read_bytes())
    try:
        other = tmp_path / "other"
        assert forked(killing_itself("after", 30, lambda: trained(photos, other))) == 0
        assert forked(killing_itself("after", 2, lambda: trained(photos, tmp_path / "third"))) == -signal.SIGKILL
    finally:
        (photos / "0" / "new.png").unlink()
    with pytest.raises(DataError, match="not the data that .* 72 and 18 images, 73 and 18 when .* --data|not the data"):
        cs.resume(tmp_path / "third", quiet=True)


def test_data_that_moved_or_changed(photos: Path, whole: Path, tmp_path: Path) -> None:
    run, data = tmp_path / "run", tmp_path / "data"
    shutil.copytree(photos, data)
    assert forked(killing_itself("after", 5, lambda: trained(data, run))) == -signal.SIGKILL
    data.rename(tmp_path / "moved")
    with pytest.raises(DataError, match="no such file or folder.*resume .* --data NEW"):
        cs.resume(run, quiet=True)
    (tmp_path / "moved" / "0").rename(tmp_path / "moved" / "zero")  # the same counts, other classes
    with pytest.raises(DataError, match="not the data that"):
        cs.resume(run, data=tmp_path / "moved", quiet=True)
    (tmp_path / "moved" / "zero").rename(tmp_path / "moved" / "0")
    cs.resume(run, data=tmp_path / "moved", quiet=True)
    assert state_of(run) == state_of(whole)


def test_a_run_without_its_checkpoints_is_not_begun_anew(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert forked(killing_itself("after", 9, lambda: trained(photos, run))) == -signal.SIGKILL
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError, match="no checkpoint, though epochs were trained"):
        cs.resume(run, quiet=True)
    assert len(Run(run).metrics()) == 2


def test_statistics_that_overflow_are_noticed(photos: Path, tmp_path: Path) -> None:
    """FAULTS 12: the loss of the step may still be finite; no checkpoint takes the overflow over."""
    wild = replace(PLAIN, learning_rate=1000.0, warmup_epochs=0.0, gradient_clip=0.0, epochs=20, optimizer=SGD(0.9))
    with pytest.raises(TrainingError, match="resume"):
        trained(photos, tmp_path / "run", wild)
    found = load_newest(tmp_path / "run" / "checkpoints")
    assert found is not None and all(bool(tensor.isfinite().all()) for tensor in found.tensors.values())


def test_parts_of_a_batch_count_by_their_images(photos: Path) -> None:
    """Ten images in three parts: the gradient is that of the mean loss over the ten, each part normalised by itself."""
    still = replace(LIVELY, batch=10, accumulation=3, dropout=0.0, drop_path=0.0, augmentation=Augmentation())
    dataset = cs.open_dataset(photos, seed=3)
    job = make_job(NETWORK, dataset, still, Run(Path("unused")), Settings(seed=3))
    state = make_state(job, Processes())
    stepper = Stepper(job, state, 7, Processes())
    batch = next(training_batches(dataset.train, job.preprocessing, still.augmentation, 10, seed=3, epoch=0))
    state.model.train()
    pixels = stepper.normalise(batch.pixels)
    total = sum(
        step_module.training_loss(state.model(part), labels, 0.1) * len(part) / 10
        for part, labels in zip(pixels.tensor_split(3), batch.labels.tensor_split(3), strict=True)
    )
    wanted = torch.autograd.grad(total, list(state.model.parameters()))  # type: ignore[arg-type]
    stepper.seconds = {"forward": 0.0, "backward": 0.0}
    stepper._gradients(pixels, batch.labels, [])
    for parameter, gradient in zip(state.model.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_a_batch_of_which_nothing_can_be_read_is_left_out(photos: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    for path in sorted((data / "0").iterdir())[:12]:
        path.write_bytes(b"nothing")
    recipe = replace(PLAIN, batch=2, max_unreadable=0.3, epochs=2)
    run, _ = cs.train(NETWORK, data, recipe, tmp_path / "run", quiet=True, seed=3)
    record = run.result()
    assert record is not None and record.steps == 72 and record.unreadable > 5
    assert "no image of a batch could be read" in (run.path / "events.jsonl").read_text()
