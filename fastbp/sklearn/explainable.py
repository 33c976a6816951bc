"""What an estimator's rows are for `fb.importance` and `fb.dependence`, which know nothing of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fastbp.data.frame import Frame
    from fastbp.data.recipe import Recipe

Array = NDArray[Any]


class Explainable:
    """Reads rows as the estimator does, and says so."""

    recipe_: Recipe
    _rows: Any
    _ready: Any
    _kept: Any

    def _rows_to_explain(self, X: Any) -> Frame:
        """Rows of X as they are before the preprocessing."""
        from fastbp.sklearn.tables import frame_in

        return frame_in(self, X, False, self._kept)

    def _targets_to_explain(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Array, Array | None, Array | None]:
        """Rows of X and their targets as the network takes them, weights, and numbers in the units of y."""
        rows = self._rows(X, y, sample_weight, reset=False)
        ready, targets = self._ready(rows, "")
        numbers = np.asarray(rows.y) if self.recipe_.outputs.task == "numbers" else None
        return ready, targets, rows.weight, numbers
