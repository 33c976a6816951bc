"""A callback that writes what TensorBoard shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastbp.errors import DependencyError
from fastbp.spec.checks import path_of
from fastbp.train.callbacks import Callback
from fastbp.train.writers import row_of
from fastbp.writing import naming

if TYPE_CHECKING:
    from fastbp.train.history import History
    from fastbp.train.trainer import Trainer


class TensorBoard(Callback):
    """Losses, metrics and learning rate of every epoch, as scalars by step (``pip install "fastbp[tensorboard]"``).

    Training and validation share a chart: "loss/training" and "loss/validation"; "accuracy/validation"; "lr".

    Parameters
    ----------
    log_dir : str or Path
        Folder for the event files of this fit, which is made; ``tensorboard --logdir`` of it or one above shows them.
    """

    on_first = True

    def __init__(self, log_dir: str | Path) -> None:
        self.log_dir = path_of("TensorBoard.log_dir", log_dir)
        self._writer: Any = None

    def begin(self, trainer: Trainer, history: History) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError:
            raise DependencyError(
                "`TensorBoard` needs tensorboardX, which is not installed", hint='pip install "fastbp[tensorboard]"'
            ) from None

    def epoch(self, trainer: Trainer, history: History) -> None:
        with naming(self.log_dir):
            if self._writer is None:  # not earlier, as another callback may refuse the fit
                from tensorboardX import SummaryWriter

                self._writer = SummaryWriter(str(self.log_dir))
            row = row_of(trainer, history)
            step = row["step"]
            for name, value in row.items():
                if name not in ("epoch", "step", "seconds"):
                    self._writer.add_scalar(_tag(name), value, step)
            self._writer.flush()

    def end(self, trainer: Trainer, history: History) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            with naming(self.log_dir):
                writer.close()


def _tag(name: str) -> str:
    if name == "lr":
        return name
    return f"{name.removeprefix('val_')}/{'validation' if name.startswith('val_') else 'training'}"
