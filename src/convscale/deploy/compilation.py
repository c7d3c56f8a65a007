"""compile: a run, a file or a model to a network in the engine that suits this machine best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convscale import machine
from convscale.deploy.compiled import CompiledNetwork
from convscale.deploy.engines.exported import FILE_ENGINES, has_engine, open_file
from convscale.deploy.engines.failures import cannot_run
from convscale.deploy.engines.kinds import engine_kind, open_engine, require_threads
from convscale.deploy.engines.protocol import Dtype, Engine
from convscale.errors import ConfigError, RunError
from convscale.headers import header_from
from convscale.networks import ConvNet

if TYPE_CHECKING:
    from convscale.deploy.judging_images import GivenLabels
    from convscale.evaluation.inputs import GivenImage
    from convscale.nn import Model

AUTO = "auto"


@dataclass(frozen=True)
class _Asked:
    """What `compile` was asked for, beside the network."""

    threads: int
    dtype: Dtype | None
    batch: int
    images: Any
    labels: GivenLabels | None
    files: tuple[Path, ...]
    again: bool
    quiet: bool


def compile(
    source: Model | ConvNet | str | Path,
    engine: str = AUTO,
    *,
    threads: int | None = None,
    dtype: Dtype | None = None,
    batch: int = 1,
    images: GivenImage | Sequence[GivenImage] | None = None,
    labels: GivenLabels | None = None,
    files: Sequence[str | Path] = (),
    again: bool = False,
    quiet: bool = False,
) -> CompiledNetwork:
    """A network in an engine, callable on images, which gives their predictions, and on preprocessed pixels
    (n, channels, h, w), which gives logits.

    source: a run folder, a weights file, a model, an exported FILE.onnx or FILE.xml, which its own runtime runs without
    PyTorch; or a network by its catalog name, a ConvNet or a TOML file, with weights made from seed 0. engine: one of
    ENGINES, or "auto": those that are installed, compared and timed side by side in batches of `batch` on `threads`
    threads (default: all cores), of which the fastest is taken, the simplest of a tie. The choice is kept in the cache;
    again: choose anew.

    dtype: the numbers that it computes in. By default float32; with images of the user's and trained weights "auto"
    also tries bfloat16, and of `files`, exported files of the same network, int8: it takes them only where their most
    probable class agrees with the plain module's on 98 % of at least 50 images, and no accuracy is lost for certain,
    where `labels`, a class or its number for each image, are given.

    Raises UnknownNameError and MissingExtraError for engines, RunError for runs and files, DataError for images and
    labels, and ConfigError for what is not allowed or cannot be run.
    """
    asked = _checked(engine, threads, dtype, batch, images, labels, tuple(Path(file) for file in files), again, quiet)
    if isinstance(source, str | Path) and has_engine(source):
        return _of_file(Path(source), engine, asked)
    model, trained = _opened(source)
    choice, opened = (None, _warm(model, engine, asked)) if engine != AUTO else _chosen(model, trained, asked)
    return CompiledNetwork(
        opened, network=model.network.name, batch=asked.batch, channels=model.network.input_channels,
        preprocessing=model.preprocessing, classes=model.classes, choice=choice,
    )  # fmt: skip


def _checked(
    engine: str,
    threads: int | None,
    dtype: Dtype | None,
    batch: int,
    images: Any,
    labels: GivenLabels | None,
    files: tuple[Path, ...],
    again: bool,
    quiet: bool,
) -> _Asked:
    """Raise for what can be known to be wrong before anything is opened."""
    if engine != AUTO:
        engine_kind(engine, also=(AUTO,))
        if images is not None or files:
            raise ConfigError(f"images and files are not for engine {engine!r}", hint="they help engine='auto' choose")
    threads = machine.usable_cores() if threads is None else threads
    require_threads(threads)
    if type(batch) is not int or batch < 1:
        raise ConfigError(f"batch {batch!r} is not allowed", hint="a whole number of images from 1 up")
    if labels is not None and images is None:
        raise ConfigError("labels without images", hint="one label for each of `images`")
    return _Asked(threads, dtype, batch, images, labels, files, again, quiet)


def _opened(source: Model | ConvNet | str | Path) -> tuple[Model, bool]:
    """The model, and whether its weights are trained, as those of runs and files are: they name their classes."""
    from convscale.catalog import CATALOG
    from convscale.nn import Model, build, load
    from convscale.openers import network

    if isinstance(source, Model):
        return source, bool(source.classes)
    if not isinstance(source, ConvNet | str | Path):
        kind = type(source).__name__
        raise ConfigError(f"{kind} is no network to compile", hint="a run, a weights or exported file, a model, a name")
    path = Path(source) if isinstance(source, str | Path) and str(source) not in CATALOG else None
    if path is not None and (path.is_dir() or path.suffix == ".safetensors"):
        return load(path), True
    return build(network(source), seed=0).eval(), False


def _warm(model: Model, engine: str, asked: _Asked) -> Engine:
    """The engine that was named, after one batch: what is compiled at the first is ready, or fails here."""
    from convscale.deploy.judging_images import noise_for

    opened = open_engine(engine, model, threads=asked.threads, dtype=asked.dtype or "float32")
    try:
        opened(noise_for(model, asked.batch))
    except Exception as error:  # runtimes raise their own kinds
        raise cannot_run(engine, model.network.name, error) from error
    return opened


def _chosen(model: Model, trained: bool, asked: _Asked) -> tuple[Any, Engine]:
    """The choice that is kept, or a new one, and its engine."""
    from convscale.deploy.choosing import candidates_for, choose_engine
    from convscale.deploy.engines.eager import image_side
    from convscale.deploy.judging_images import judging_images, reference_for
    from convscale.deploy.kept_choices import choice_key, keep_choice, read_choice
    from convscale.progress import print_note

    if asked.images is not None and not trained and not asked.quiet:
        print_note(f"{model.network.name}: its weights are not trained, so that only float32 can be judged")
    own = judging_images(model, asked.images, asked.labels) if asked.images is not None and trained else None
    candidates = candidates_for(model, asked.threads, _dtypes(asked, own is not None, trained), asked.files)
    if asked.dtype is not None:
        candidates = tuple(one for one in candidates if one.dtype == asked.dtype)
    if not candidates:
        hint = "files=..., from convscale export --int8" if asked.dtype == "int8" else "leave dtype out"
        raise ConfigError(f"no engine here computes {model.network.name} in {asked.dtype}", hint=hint)
    named = {"candidates": [(one.engine, one.dtype) for one in candidates], "threads": asked.threads}
    contents = [file.read_bytes() for one in candidates if one.file for file in _parts(Path(one.file))]
    if own is not None:
        contents += [own.pixels.tobytes(), b"" if own.labels is None else own.labels.tobytes()]
    key = choice_key(model, named | {"batch": asked.batch, "side": image_side(model)}, contents)
    kept = None if asked.again else read_choice(key)
    if kept is not None:
        wanted = (kept.engine, kept.dtype, kept.file)
        found = [one for one in candidates if (one.engine, one.dtype, one.file) == wanted]
        if found:
            return kept, found[0].open()
    reference = reference_for(model, own, asked.threads, asked.batch)
    choice, engine = choose_engine(
        candidates, reference, network=model.network.name, threads=asked.threads, batch=asked.batch, key=key,
        quiet=asked.quiet,
    )  # fmt: skip
    if not choice.reason:
        keep_choice(choice)
    return choice, engine


def _dtypes(asked: _Asked, judged: bool, trained: bool) -> tuple[Dtype, ...]:
    """The numbers to try a model in. Raises ConfigError where others are asked for than can be judged."""
    if asked.dtype in (None, "float32") or judged:
        return ("float32", "bfloat16") if judged else ("float32",)
    needed = "images=..., of your own" if trained else "trained weights, and images=... of your own"
    raise ConfigError(
        f"whether {asked.dtype} computes the same cannot be judged without {needed}", hint="or name the engine"
    )


def _parts(file: Path) -> tuple[Path, ...]:
    return (file, file.with_suffix(".bin")) if file.suffix == ".xml" else (file,)


def _of_file(path: Path, engine: str, asked: _Asked) -> CompiledNetwork:
    """An exported file in the engine of its format."""
    own = FILE_ENGINES[path.suffix]
    if engine not in (AUTO, own):
        raise ConfigError(f"{path}: engine {engine!r} does not run it", hint=f"engine {own!r} does, and so does 'auto'")
    opened = open_file(path, threads=asked.threads, dtype=asked.dtype)
    try:
        header = header_from(opened.metadata, path)
    except RunError:  # a file that another tool wrote
        return CompiledNetwork(opened, network=str(path), batch=asked.batch, takes_pixels=opened.takes_pixels)
    return CompiledNetwork(
        opened, network=header.network.name, batch=asked.batch, channels=header.network.input_channels,
        preprocessing=header.preprocessing, classes=header.classes, takes_pixels=opened.takes_pixels,
    )  # fmt: skip
