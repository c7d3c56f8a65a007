"""write_report: runs, studies and searches as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convscale.errors import ConfigError, RunError
from convscale.files import write_atomic
from convscale.report.pages.document import document
from convscale.report.pages.runs import run_chapter
from convscale.report.parts import Chapter
from convscale.runs import open_unfinished_run


def write_report(sources: str | Path | Sequence[str | Path], output: str | Path) -> Path:
    """Write what run folders say as one HTML file that stands alone, whole or not at all, and return its path. Nothing
    is computed: what has no record is left out, with the command that makes it.

    Raises RunError for a folder that is none of these, ConfigError where a record is damaged or the file cannot be
    written.
    """
    paths = [Path(one) for one in ([sources] if isinstance(sources, str | Path) else sources)]
    if not paths:
        raise ConfigError("a report needs something to report on", hint="name a run folder")
    chapters = [_chapter(path) for path in paths]
    title = chapters[0].title if len(chapters) == 1 else f"Report of {len(chapters)}"
    text = document(chapters, title).encode()
    file = Path(output)
    try:
        write_atomic(file, lambda target: target.write(text))
    except OSError as error:
        raise ConfigError(
            f"{file}: the report cannot be written: {error.strerror}", hint="name a file in a folder that you may write"
        ) from None
    return file


def _chapter(path: Path) -> Chapter:
    if not path.exists():
        raise RunError(f"{path}: no such folder")
    if (path / "environment.json").exists():
        return run_chapter(open_unfinished_run(path))
    raise RunError(f"{path}: not a run folder", hint="a folder that convscale train or fit made")
