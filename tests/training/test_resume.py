"""Nothing is lost: kills, and the resumed run that ends in the very state of the uninterrupted one."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import convscale as cs
from convscale.errors import ConfigError, DataError, RunError
from convscale.recipes import Augmentation
from convscale.runs import ProgressFile, Run
from tests.training.small_runs import FULL, LIVELY, forked, killing_itself, same_weights, state_of, trained


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
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
    first = [name for name in first if name in names]
    second = [name for name in seen.read_text().splitlines() if name in names]
    # two steps are done and saved, the third batch was loaded and is loaded again
    assert sorted(first[:36] + second[: 72 - 36]) == sorted(names)


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


@pytest.mark.long
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
    with pytest.raises(RunError, match="no checkpoint, although epochs were trained"):
        cs.resume(run, quiet=True)
    assert len(Run(run).metrics()) == 2
