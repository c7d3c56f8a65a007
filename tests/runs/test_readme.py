"""README.md of a run folder: what it says is in the records, and what it advises works, wherever the folder lies."""

from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import convscale as cs
from convscale.fitting import Fit
from convscale.recipes import Recipe
from convscale.report.readme import run_readme
from convscale.runs import Run
from tests.cli.calling import run
from tests.images import digit_photos

TINY = replace(cs.network("small-resnet"), resolution=8, input_channels=1)
QUICK = Recipe(note="a test", epochs=1, batch=16, learning_rate=0.05)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fit:
    folder = tmp_path_factory.mktemp("fitted") / "one"
    return cs.fit("digits", cs.Budget(macs="300k"), epochs=2, output=folder, seed=5, quiet=True, batch=64)


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_it_says_what_the_records_say(fitted: Fit) -> None:
    text = (fitted.run.path / "README.md").read_text(encoding="utf-8")
    network, evaluation, result = fitted.plan.network, fitted.evaluation, fitted.run.result()
    low, high = evaluation.interval95
    assert result is not None and text == run_readme(fitted.run, result)
    for wanted in (
        f"# {network.name}\n", "images of 10 classes",
        f"top-1 {evaluation.top1:.4f} (95% interval {low:.4f} to {high:.4f}) on 359 held-out images",
        f"{network.resolution} px", "params", "MACs", "1,438 training images; 359 held out (a drawn fifth)",
        "convscale.fit('digits', convscale.Budget(macs=300000.0), ", "2 epochs in", "convscale resume .",
        f"after epoch {result.best_epoch}", f"top-1 {result.best_top1:.4f}", "`weights.safetensors` is the file to",
    ):  # fmt: skip
        assert wanted in text
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("command"))


def test_what_it_advises_works_where_the_folder_was_taken(
    fitted: Fit, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = tmp_path / "handed over"
    shutil.copytree(fitted.run.path, moved)
    monkeypatch.chdir(moved)
    cs.open_dataset("digits").test.image(0).save("photo.jpg")
    text = Path("README.md").read_text(encoding="utf-8")
    (shell,), (python,) = blocks(text, "sh"), blocks(text, "python")
    commands = [shlex.split(line.replace("IMAGE...", "photo.jpg"), comments=True) for line in shell.splitlines()]
    commands += [["convscale", "resume", "."]]
    assert [words[1] for words in commands] == ["predict", "eval", "show", "resume"]
    outputs = [run(capsys, *words[1:]) for words in commands]
    assert [code for code, _, _ in outputs] == [0] * 4, outputs
    assert f"top-1 {fitted.evaluation.top1:.4f}" in outputs[1][1]
    names: dict[str, object] = {}
    exec(python, names)
    assert isinstance(names["network"], cs.Model)
    assert cs.predict("weights.safetensors", "photo.jpg") == cs.predict(".", "photo.jpg")


def test_odd_names_break_nothing(tmp_path: Path) -> None:
    photos = digit_photos(tmp_path / "a `b` & $c", 12)
    for name, odd in (("0", "```"), ("1", "a | b\n# c"), ("2", "<b>犬")):
        (photos / name).rename(photos / odd)
    trained, _ = cs.train(TINY, photos, QUICK, tmp_path / "run", quiet=True, pictures=False)
    text = (trained.path / "README.md").read_text(encoding="utf-8")
    facts, shell, _ = blocks(text, r"\w*")
    assert r"<b>犬, ```, a | b\n# c" in facts and "\n# c" not in text
    assert shlex.split(shell.splitlines()[1])[-1] == str(photos)


def test_a_run_of_another_version_that_ends_here_has_one(fitted: Fit, tmp_path: Path) -> None:
    """Without the files that older versions did not write."""
    shutil.copytree(fitted.run.path, tmp_path / "old")
    for name in ("story.json", "plan.json", "progress.json", "preprocessing.toml", "data.json", "best.safetensors"):
        (tmp_path / "old" / name).unlink()
    result = fitted.run.result()
    assert result is not None
    text = run_readme(Run(tmp_path / "old"), result)
    assert "--data DATA" in text and "best.safetensors" not in text and "started" not in text


def test_it_goes_with_the_weights(fitted: Fit, tmp_path: Path) -> None:
    shutil.copytree(fitted.run.path, tmp_path / "run")
    Run(tmp_path / "run").remove_weights()
    assert not list((tmp_path / "run").glob("*.safetensors")) and not (tmp_path / "run" / "README.md").exists()
    assert (tmp_path / "run" / "evaluation.json").exists()
