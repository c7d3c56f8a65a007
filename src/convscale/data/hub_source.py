"""Reaching data through Hugging Face `datasets`: what a spec names, loading it quietly, and what goes wrong then.

    hf:NAME            a data set on the hub, as hf:uoft-cs/cifar10; downloaded into the cache that HF_HOME names
    hf:NAME:CONFIG     one of its configurations
    hf:PATH            a folder that `save_to_disk` wrote, or one of parquet files, images or WebDataset .tar shards

`hf-stream:` in place of `hf:` reads the same one image after another, with no copy on the disk.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from convscale.errors import DataError, MissingExtraError

PREFIX = "hf:"
STREAM_PREFIX = "hf-stream:"
PROBE_SECONDS = 5.0  # how long the hub may take to answer before it counts as unreachable

_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


class HubSource(NamedTuple):
    """What a spec names. `place` is an absolute path where `local`, else a name on the hub."""

    spec: str  # as to be recorded: independent of the working folder
    place: str
    config: str | None
    local: bool


class StreamTable(NamedTuple):
    """A split as `datasets` reads it. labels: a column alone, without reading the images where it can be; images: how
    many, where the metadata says so."""

    rows: Any
    labels: Callable[[str], Any]
    images: int | None


def is_hub(data: str | Path) -> bool:
    """Whether `data` is a spec for `read_hub` or for `convscale.data.stream.open_streams`."""
    return str(data).startswith((PREFIX, STREAM_PREFIX))


def parse_spec(spec: str) -> HubSource:
    """Tell a local copy from a name on the hub. Raises DataError for what is neither."""
    prefix = STREAM_PREFIX if spec.startswith(STREAM_PREFIX) else PREFIX
    rest = spec.removeprefix(prefix)
    base, _, config = rest.rpartition(":")
    for place, chosen in ((rest, None), (base, config)):
        if place and Path(place).expanduser().exists():
            path = str(Path(place).expanduser().resolve())
            return HubSource(f"{prefix}{path}" + (f":{chosen}" if chosen else ""), path, chosen or None, local=True)
    name, _, config = rest.partition(":")
    if not _HUB_NAME.fullmatch(name):
        raise DataError(f"{spec}: no such file or folder", hint="hf:NAME, hf:NAME:CONFIG or hf:PATH")
    return HubSource(spec, name, config or None, local=False)


def import_datasets() -> Any:
    """The `datasets` package. Raises MissingExtraError; a folder of that name in the working folder is not it."""
    try:
        package: Any = importlib.import_module("datasets")
    except ImportError:
        package = None
    if not hasattr(package, "load_dataset"):
        raise MissingExtraError("datasets", "hub", "data from the Hugging Face hub ('hf:...')")
    return package


def is_saved(source: HubSource) -> bool:
    """Whether `save_to_disk` wrote the folder."""
    folder = Path(source.place)
    return source.local and ((folder / "state.json").exists() or (folder / "dataset_dict.json").exists())


def saved_tables(source: HubSource) -> dict[str, Any]:
    """The memory-mapped tables of such a folder by split, "all" for a single one."""
    loaded = import_datasets().load_from_disk(source.place)
    return dict(loaded) if isinstance(loaded, dict) else {"all": loaded}


def load(source: HubSource, loader: Callable[..., Any], **options: Any) -> Any:
    """`loader`, one of `datasets`' load functions, on the source; a single file is read from its folder."""
    place = Path(source.place)
    if source.local and place.is_file():
        return loader(str(place.parent), source.config, data_files=place.name, **options)
    return loader(source.place, source.config, **options)


@contextmanager
def loading(source: HubSource, progress: bool = False) -> Iterator[None]:
    """Load without noise, offline when the hub does not answer, and with DataError for whatever goes wrong."""
    package = import_datasets()
    config: Any = package.config
    constants: Any = importlib.import_module("huggingface_hub.constants")
    level, modes = package.logging.get_verbosity(), (config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    hidden = [] if progress else _hide_bars(package)
    try:
        package.logging.set_verbosity(package.logging.CRITICAL)
        if not source.local and not modes[0] and not _hub_answers():
            config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True  # the cache is still looked up
        yield
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # readers of damaged files raise anything
        raise _explain(source, error, offline=config.HF_HUB_OFFLINE) from None
    finally:
        config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = modes
        package.logging.set_verbosity(level)
        for show in hidden:
            show()


def _hide_bars(package: Any) -> list[Callable[[], None]]:
    """Hide progress bars where no variable of the environment decides it; what shows them again."""
    hub: Any = importlib.import_module("huggingface_hub")
    shown = []
    if package.is_progress_bar_enabled() and package.config.HF_DATASETS_DISABLE_PROGRESS_BARS is None:
        package.disable_progress_bars()
        shown.append(package.enable_progress_bars)
    if not hub.utils.are_progress_bars_disabled() and hub.constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        hub.utils.disable_progress_bars()
        shown.append(hub.utils.enable_progress_bars)
    return shown


def _hub_answers() -> bool:
    """Whether the hub answers, asked once: `datasets` itself retries for half a minute. In a thread,
    for looking up a host name knows no time limit."""
    answers: list[bool] = []

    def ask() -> None:
        hub = importlib.import_module("huggingface_hub")
        try:
            answer = hub.utils.get_session().head(hub.constants.ENDPOINT, timeout=PROBE_SECONDS)
            answers.append(answer.status_code < 500)  # a gateway answers for a hub that it cannot reach
        except Exception:  # the client's own errors, whichever client it is
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS + 1)
    return any(answers)


def _explain(source: HubSource, error: Exception, offline: bool) -> DataError:
    """What went wrong, in a line: the innermost cause, as `datasets` wraps what a file's reader said."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    unreached = isinstance(error, ConnectionError) or "LocalEntryNotFoundError" in {*kinds, *str(error).split(": ")}
    if not source.local and (unreached or offline):
        wanted = source.place + (f":{source.config}" if source.config else "")
        message = f"{source.spec}: the Hugging Face hub cannot be reached, and the cache has no {wanted!r}"
        return DataError(message, hint="a local copy works as hf:PATH; or fill the cache (HF_HOME) while online")
    if "DatasetNotFoundError" in kinds and not source.local:
        message = f"{source.spec}: no data set {source.place!r} on the Hugging Face hub, or it is private"
        return DataError(message, hint="check the name; a private or gated one needs a login with the hub's tools")
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    text = " ".join(str(cause).split()) or type(cause).__name__
    if "Config name is missing" in text or "BuilderConfig" in text:
        return DataError(f"{source.spec}: {text:.400}", hint="name a configuration: hf:NAME:CONFIG")
    return DataError(f"{source.spec}: cannot be read: {text:.400}", hint="a folder of parquet, images or .tar shards")


def saved_streams(source: HubSource) -> dict[str, StreamTable]:
    """The splits of a folder that `save_to_disk` wrote. Raises DataError for an empty one."""
    found = {}
    for name, table in saved_tables(source).items():
        if not len(table):
            raise DataError(f"{source.spec}: the {name} split holds no image", hint="every split needs images")
        found[name] = StreamTable(table, partial(_column, table), len(table))
    return found


def _column(table: Any, column: str) -> Any:
    return table.select_columns([column])


def streams(source: HubSource) -> dict[str, StreamTable]:
    """The splits of any other source. Raises DataError for a folder of images."""
    package = import_datasets()
    builder = load(source, package.load_dataset_builder)
    if builder.name == "imagefolder":
        raise DataError(
            f"{source.spec}: a folder of images cannot be streamed",
            hint="hf:PATH reads it in place; or pack it into shards",
        )
    tables = builder.as_streaming_dataset()

    def labels(split: str, label: str) -> Any:
        if not hasattr(builder.config, "columns"):  # of parquet files a column can be read alone
            return _column(tables[split], label)
        return load(source, package.load_dataset_builder, columns=[label]).as_streaming_dataset()[split]

    images = {name: info.num_examples for name, info in (builder.info.splits or {}).items()}
    return {name: StreamTable(table, partial(labels, name), images.get(name) or None) for name, table in tables.items()}
