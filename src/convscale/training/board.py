"""TensorBoard, for those who watch trainings there: the numbers of metrics.jsonl as event files."""

from __future__ import annotations

from typing import Protocol

from convscale.errors import MissingExtraError
from convscale.records import EpochRecord
from convscale.runs import Run, Settings


class Board(Protocol):
    """What is shown of each epoch."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None: ...

    def flush(self) -> None: ...


def open_board(run: Run, settings: Settings, step: int) -> Board | None:
    """A writer of RUN/tensorboard that drops what was said of steps after `step`; None where none is asked for.

    Raises MissingExtraError.
    """
    if not settings.tensorboard:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard", "--tensorboard") from None
    board: Board = SummaryWriter(str(run.path / "tensorboard"), purge_step=step + 1)
    return board


def show_epoch(board: Board | None, record: EpochRecord) -> None:
    """Put an epoch's numbers on the board."""
    if board is not None:
        for tag in ("train_loss", "top1", "learning_rate", "gradient_norm", "images_per_second"):
            if (value := getattr(record, tag)) is not None:
                board.add_scalar(tag, value, record.steps)
        board.flush()
