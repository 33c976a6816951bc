"""What the members of a pack predict, each and together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError
from fastbp.spec import arrays
from fastbp.train.averages import moments
from fastbp.train.members import Member
from fastbp.train.pack_calls import Turns

if TYPE_CHECKING:
    from fastbp.train.ensemble import Ensemble


class Predicting:
    """A pack, as far as it predicts."""

    _members: list[Member]
    _turns: Turns
    _lock: Any

    def _check_codes(self, x: Any) -> None:
        """Check what columns are categories for any member."""
        for column, count in {code for member in self._members for code in member.net.graph.codes()}:
            arrays.codes("X", x, column, count)

    def predict_members(self, X: Any) -> Any:
        """Outputs of each member for the rows of X, without dropout; with an `ema`, of the averages.

        Returns
        -------
        array, shape (members, rows, outputs), or a tuple of one per output of the networks if there are several
            `predict_members(X)[i]` has the bits of ``members[i].predict(X)``.
        """
        with self._lock:
            outputs = self._outputs(X)
        net = self._members[0].net
        return outputs if len(net.graph.heads) == 1 else net._apart(outputs)

    def _outputs(self, X: Any) -> NDArray[Any]:
        """Outputs of all members, those of several outputs side by side."""
        net = self._members[0].net
        X = net._side_by_side(X)
        x = net._rows(X)
        self._check_codes(x)
        outputs = np.empty((len(self._members), len(x), net.outputs), net.dtype)
        self._turns.run([member.predict(x, outputs[i]) for i, member in enumerate(self._members)])
        return outputs[:, 0] if np.ndim(X) == 1 else outputs

    def predict(self, X: Any) -> Any:
        """The mean of what the members predict for the rows of X.

        Of probabilities, where the loss is "cross_entropy" (one of each class) or "binary_cross_entropy" (one of each
        output); of numbers as targets are otherwise, such as the exponential of the output for "poisson".

        Returns
        -------
        array, shape (rows, classes or outputs), or a tuple of one per output of the networks if there are several
        """
        return self._moments(X)[0]

    def spread(self, X: Any) -> Any:
        """The standard deviation over the members of what `predict` is the mean of; of the same shape."""
        return self._moments(X)[1]

    def _moments(self, X: Any) -> tuple[Any, Any]:
        """Mean and standard deviation over the members."""
        first = self._members[0]
        with self._lock:
            outputs = self._outputs(X)
        parts = [outputs] if len(first.net.graph.heads) == 1 else first.net._apart(outputs)
        means: list[Any] = []
        deviations: list[Any] = []
        for (loss, _), own in zip(first.trainer._loss.parts, parts, strict=True):
            pair = moments(loss, map(np.atleast_2d, own), outputs.dtype)
            for found, one in zip((means, deviations), pair, strict=True):
                found.append(one[0] if outputs.ndim == 2 else one)
        return (tuple(means), tuple(deviations)) if len(means) > 1 else (means[0], deviations[0])

    def ensemble(
        self,
        X: Any = None,
        y: Any = None,
        metric: str | None = None,
        size: int = 32,
        replacement: bool = True,
        stop_early: bool = True,
        sample_weight: Any = None,
    ) -> Ensemble:
        """The members as they are now, copied: all with the same weight, or chosen by rows that none was trained on.

        The arguments are those of `Ensemble.greedy`; its `chosen` are numbers of members.
        """
        from fastbp.train.ensemble import Ensemble

        if X is not None:
            return Ensemble.greedy([self], X, y, metric, size, replacement, stop_early, sample_weight)
        given = {
            "y": y is not None,
            "metric": metric is not None,
            "size": size != 32,
            "replacement": replacement is not True,
            "stop_early": stop_early is not True,
            "sample_weight": sample_weight is not None,
        }
        for name in (name for name, is_given in given.items() if is_given):
            raise ConfigError("X", f"must be given with `{name}`, as rows decide which members are chosen")
        return Ensemble([self])
