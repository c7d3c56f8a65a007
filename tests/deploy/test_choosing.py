"""`auto`: what computes something else is refused, of a tie the simpler is taken, busy rows do not count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import convscale as cs
from convscale import machine
from convscale.deploy import compilation, kept_choices
from convscale.deploy.acceptance import Reference, judged
from convscale.deploy.engines import ENGINES
from convscale.deploy.ties import fastest
from convscale.errors import ConfigError, DataError, UnknownNameError
from convscale.headers import WeightsHeader
from convscale.nn import save_weights
from convscale.preprocessing import default_preprocessing
from convscale.records import EngineChoice, read_record, write_record
from tests.deploy.planted_engines import kind, only, timing, told

CLASSES = tuple(f"class {number}" for number in range(10))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "has_fast_bf16", lambda: True)
    monkeypatch.setitem(ENGINES, "eager", replace(ENGINES["eager"], dtypes=("float32",)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As of a training."""
    network = replace(cs.network("tiny-mbconv"), num_classes=len(CLASSES))
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    header = WeightsHeader(network, default_preprocessing(network.resolution, 3), CLASSES)
    save_weights(path, cs.build(network, seed=0), header)
    return path


def pictures(n: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(n)]


def choice(source: object, **options: object) -> EngineChoice:
    found = cs.compile(source, quiet=True, threads=1, **options).choice  # type: ignore[arg-type]
    assert found is not None
    return found


def refusal(made: EngineChoice, name: str) -> str:
    return next(trial.refused for trial in made.trials if trial.title == name)


def test_the_fastest_that_computes_the_same_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(logits: np.ndarray) -> np.ndarray:
        raise RuntimeError("no kernel for this operator")

    only(
        monkeypatch, kind("right"), kind("wrong", lambda logits: logits * 1.01), kind("broken", broken),
        kind("nan", lambda logits: logits * np.nan), kind("short", lambda logits: logits[:, 1:]),
    )  # fmt: skip
    timed = told(monkeypatch, {"eager float32": timing(10), "right float32": timing(5)})
    network = cs.compile("tiny-mbconv", quiet=True, threads=1, batch=2)
    made = network.choice
    assert made is not None and (network.engine, made.engine, made.batch, made.ties) == ("right", "right", 2, ())
    assert timed == [{"eager float32", "right float32"}], "what is refused is not timed"
    assert "differ by 0.01 of the largest" in refusal(made, "wrong")
    assert "no kernel for this operator" in refusal(made, "broken")
    assert "not finite" in refusal(made, "nan") and "not finite" in refusal(made, "short")
    assert "right" in repr(made) and "chosen" in repr(made)


def test_of_a_tie_the_simpler_is_chosen_and_the_others_named(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, kind("simple"), kind("elaborate"), kind("slow"))
    times = {"eager float32": timing(10), "simple float32": timing(5.04), "elaborate float32": timing(5)}
    told(monkeypatch, times | {"slow float32": timing(5.5)})
    made = choice("tiny-mbconv")
    assert (made.engine, made.ties) == ("simple", ("elaborate",))
    assert "as fast" in repr(made)


def test_ties_are_differences_within_the_noise() -> None:
    steady, noisy = {"a": timing(5.1), "b": timing(5)}, {"a": timing(5.1, 0.3), "b": timing(5, 0.3)}
    assert fastest(steady) == ["b"] and fastest(noisy) == ["a", "b"]
    assert fastest({"a": timing(5.4, 0.9), "b": timing(5, 0.9)}) == ["b"], "too far apart, whatever the noise"
    assert fastest({"a": timing(1, busy=True), "b": timing(5)}) == ["b"]
    assert not fastest({"a": timing(1, busy=True)}) and not fastest({})


def test_rows_measured_busy_enter_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, kind("fast"), kind("slower"))
    times = {"eager float32": timing(10), "fast float32": timing(2, busy=True), "slower float32": timing(5)}
    told(monkeypatch, times)
    made = choice("tiny-mbconv")
    assert made.engine == "slower" and [trial.busy for trial in made.trials] == [False, True, False]
    timed = told(monkeypatch, {name: timing(1, busy=True) for name in times})
    for _ in range(2):
        made = choice("tiny-mbconv", again=True)
        assert made.engine == "eager" and "busy all the time" in made.reason and "busy" in repr(made)
    assert choice("tiny-mbconv").engine == "slower", "a choice that says nothing is not kept"
    assert len(timed) == 2


@pytest.mark.long
def test_a_choice_is_kept_with_all_that_it_depends_on(
    monkeypatch: pytest.MonkeyPatch, weights: Path, tmp_path: Path
) -> None:
    only(monkeypatch, kind("fast"))
    timed = told(monkeypatch, {"eager float32": timing(10), "fast float32": timing(5)})
    first = choice(weights)
    assert choice(weights) == first and len(timed) == 1
    cs.compile(weights, quiet=True, threads=1, batch=2)
    cs.compile(weights, quiet=True, threads=2)
    cs.compile(cs.build("tiny-mbconv", seed=1), quiet=True, threads=1)
    assert len(timed) == 4
    here = kept_choices.environment_here()
    monkeypatch.setattr(kept_choices, "environment_here", lambda: replace(here, versions={"torch": "another"}))
    choice(weights)
    assert len(timed) == 5
    monkeypatch.undo()
    (path,) = (path for path in (tmp_path / "cache").rglob("*.json") if first.key in path.name)
    assert read_record(path) == first
    write_record(tmp_path / "again.json", first)
    assert read_record(tmp_path / "again.json") == first


def test_a_kept_choice_that_is_damaged_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only(monkeypatch)
    timed = told(monkeypatch, {"eager float32": timing(10)})
    made = choice("tiny-mbconv")
    (path,) = (tmp_path / "cache").rglob("*.json")
    path.write_text("{")
    assert choice("tiny-mbconv").engine == made.engine and len(timed) == 2
    monkeypatch.setattr(kept_choices, "write_record", _full_disk)
    assert choice("tiny-mbconv", again=True).engine == "eager"


def _full_disk(*_: object, **__: object) -> None:
    raise OSError("No space left on device")


@pytest.mark.long
def test_other_numbers_are_judged_on_the_users_images(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    def worse(logits: np.ndarray) -> np.ndarray:
        return np.roll(logits, 1, axis=1)

    both = ("float32", "bfloat16")
    only(monkeypatch, kind("good", dtypes=both), kind("bad", worse, dtypes=("bfloat16",)))
    times = {"eager float32": timing(10), "good float32": timing(8), "good bfloat16": timing(4)}
    told(monkeypatch, times)
    assert choice(weights).dtype == "float32", "without images"
    assert choice("tiny-mbconv", images=pictures(60)).dtype == "float32", "without trained weights"
    made = choice(weights, images=pictures(60))
    assert (made.engine, made.dtype, made.images, made.labelled) == ("good", "bfloat16", 60, False)
    assert "agrees on 0.0% of the images" in refusal(made, "bad bfloat16")
    few = choice(weights, images=pictures(20))
    assert few.dtype == "float32" and "20 images are too few" in refusal(few, "good bfloat16")
    asked = choice(weights, images=pictures(60), dtype="bfloat16")
    assert {trial.dtype for trial in asked.trials} == {"bfloat16"} and asked.engine == "good"


@pytest.mark.parametrize(("swapped", "allowed"), [(0, True), (6, False)])
def test_accuracy_that_is_lost_for_certain_is_refused(swapped: int, allowed: bool) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(600, 10)).astype(np.float32)
    labels = logits.argmax(1).astype(np.int64)

    class Lossy:
        name, dtype, threads = "lossy", "bfloat16", 1

        def __call__(self, images: np.ndarray) -> np.ndarray:
            found = logits[images[:, 0, 0, 0].astype(int)].copy()
            found[images[:, 0, 0, 0] < swapped] *= -1
            return found

    pixels = np.arange(600, dtype=np.float32).reshape(600, 1, 1, 1)
    verdict = judged(Lossy(), Reference(pixels, np.copy, logits, own=True, labels=labels), batch=7)  # type: ignore[arg-type]
    assert (verdict.refused == "") is allowed and (verdict.lost, verdict.won) == (swapped, 0)
    if not allowed:
        assert "6 of 600 images lost, 0 won" in verdict.refused


def test_what_auto_refuses(monkeypatch: pytest.MonkeyPatch, weights: Path, tmp_path: Path) -> None:
    only(monkeypatch)
    with pytest.raises(ConfigError, match=r"cannot be judged without trained weights, and images=\.\.\. of your own"):
        cs.compile("tiny-mbconv", dtype="bfloat16")
    with pytest.raises(ConfigError, match="no engine here computes .* in int8.*export --int8"):
        cs.compile(weights, images=pictures(50), dtype="int8")
    with pytest.raises(ConfigError, match="labels without images"):
        cs.compile(weights, labels=[1])
    with pytest.raises(DataError, match="2 labels for 3 images"):
        cs.compile(weights, images=pictures(3), labels=[1, 2])
    with pytest.raises(UnknownNameError, match="unknown class 'clas 1'"):
        cs.compile(weights, images=pictures(1), labels=["clas 1"])
    with pytest.raises(DataError, match="label 10 is not one of 10 classes"):
        cs.compile(weights, images=pictures(1), labels=[10])
    with pytest.raises(ConfigError, match="images and files are not for engine 'eager'"):
        cs.compile(weights, "eager", images=pictures(1))
    with pytest.raises(UnknownNameError, match="did you mean 'auto'"):
        cs.compile(weights, "atuo")
    with pytest.raises(ConfigError, match="batch 0 is not allowed"):
        cs.compile(weights, batch=0)
    with pytest.raises(ConfigError, match="int is no network to compile"):
        cs.compile(3)  # type: ignore[arg-type]
    monkeypatch.setitem(ENGINES, "eager", kind("eager", lambda logits: logits * np.nan))
    with pytest.raises(ConfigError, match="no engine runs tiny-mbconv"):
        cs.compile("tiny-mbconv", quiet=True)


def test_untrained_weights_are_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    only(monkeypatch)
    told(monkeypatch, {"eager float32": timing(10)})
    assert compilation.AUTO == "auto"
    cs.compile("tiny-mbconv", images=pictures(1), threads=1)
    assert "not trained" in capsys.readouterr().err
