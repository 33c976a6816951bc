"""What `fit(verbose=True)` shows: the live line of `fastbp train` on terminals and in notebooks, or a log."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from fastbp.errors import ConfigTypeError, brief
from fastbp.train.callbacks import Callback, Monitor
from fastbp.train.history import History
from fastbp.train.progress import Progress


class Cell:
    """A notebook's cell as a text file of one line: what is written takes the place of what was."""

    def __init__(self) -> None:
        self._handle: Any = None

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        from IPython.display import display

        line = text.removeprefix("\r\x1b[2K")
        if line and self._handle is None:
            self._handle = display({"text/plain": line}, raw=True, display_id=True)
        elif line:
            self._handle.update({"text/plain": line}, raw=True)
        return len(text)

    def flush(self) -> None:
        pass


def in_notebook() -> bool:
    """Whether output goes to a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class Shown(Callback):
    """Shows a fit on stderr, or in the cell of a notebook.

    Parameters
    ----------
    verbose : True, 1 or 2
        2 is lines of a log on terminals too.
    epochs, rows : int
        Of the fit.
    """

    def __init__(self, verbose: int, epochs: int, rows: int) -> None:
        self._fit = {"epochs": epochs, "rows": rows}
        live = None if verbose != 2 else False
        cell: Any = Cell() if verbose != 2 and in_notebook() else None
        out: TextIO | None = cell
        self._progress = Progress(out, live=live if out is None else True)

    def begin(self, trainer: Any, history: History) -> None:
        self._monitor = Monitor("verbose", "val_loss" if trainer.validating else "loss", "min")
        self._monitor.begin(trainer, history)
        self._progress.begin(history, trainer, monitor=self._monitor.name, **self._fit)

    def chunk(self, trainer: Any, history: History) -> None:
        self._progress.chunk(history)

    def epoch(self, trainer: Any, history: History) -> None:
        best = self._monitor.improved(history) and trainer.validating  # each epoch is the best on its own rows
        row = {name: history[name][-1] for name in history.names}
        self._progress.epoch(history, {"epoch": len(history.loss), **row}, best)

    def end(self, trainer: Any, history: History) -> None:
        self._progress.leave(history)


def verbosity(value: Any) -> int:
    """The `verbose` of a fit: False, True, or 0 to 2."""
    if not isinstance(value, bool | int) or value not in (0, 1, 2):
        raise ConfigTypeError("verbose", "must be True, False, or 2 for lines of a log", f"`{brief(value)}`")
    return int(value)
