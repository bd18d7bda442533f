"""TensorBoard: the rows of a run's log as scalars, for those who look at their runs there."""

from pathlib import Path
from types import TracebackType

from fewstep.journal import Row

FOLDER = "tensorboard"
"""Where the event files lie in a run folder."""


class TensorBoard:
    """Takes rows, as `see=` hands them over, and writes their numbers to `folder`/tensorboard; `elapsed` in seconds.

    Tags are `train/loss`, `train/accuracy` (or `train/mse`), ..., `validation/score` and `validation/ci95`; steps are
    updates, counted from 1. Every row is in the file before the next update. A run that goes on in the same folder
    leaves no step twice: what was written beyond its first row is purged. Use as a context manager, or call `close`.

    Raises `ValueError` at once where the extra is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            if error.name != "tensorboard":
                raise
            raise ValueError(
                'to write to TensorBoard needs the package tensorboard: pip install "fewstep[tensorboard]"'
            ) from error
        self._kind, self._folder = SummaryWriter, Path(folder) / FOLDER
        self._writer: SummaryWriter | None = None

    def __call__(self, row: Row) -> None:
        """Write one row; numbers that are not finite came as None, and are left out."""
        kind, update = row["kind"], row["update"]
        if self._writer is None:
            first = update if kind == "train" else update + 1  # of a run that goes on with a validation it still owes
            self._writer = self._kind(str(self._folder), purge_step=first)
        for name, value in row.items():
            if name not in ("kind", "update") and value is not None:
                self._writer.add_scalar(f"{kind}/{name}", value, update)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def has_board(folder: Path) -> bool:
    """Whether a run of this folder writes to TensorBoard."""
    return (folder / FOLDER).is_dir()
