"""What each member of a network predicts, before their mean is taken."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError
from fastbp.model.derivatives import Derivatives
from fastbp.spec.elsewhere import NETWORK_WORDS, KnownAttributes

Array = NDArray[Any]


class OfMembers(KnownAttributes, Derivatives):
    """A network that may have members."""

    _theirs = NETWORK_WORDS

    def members(self, X: Any) -> Array:
        """Outputs of each member for the rows of X, of a network with an `fb.Members`.

        Parameters
        ----------
        X : array, shape (rows, inputs) or (inputs,)

        Returns
        -------
        array, shape (members, rows, outputs) or (members, outputs)

        Examples
        --------
        >>> import numpy as np, fastbp as fb
        >>> layers = [fb.Members(4), fb.MemberScale(), fb.Linear(8), fb.ReLU(), fb.MemberLinear(2)]
        >>> net = fb.Network(layers, inputs=3, dtype="float64")
        >>> X = np.eye(3)
        >>> bool(np.allclose(net.members(X).mean(axis=0), net.predict(X)))
        True
        """
        if self.graph.members is None:
            raise ConfigError("`members` needs a network with `fb.Members` among its layers")
        count = self.graph.members.count
        found = self._whole(self._ready("members"), X, (count * self.graph.outputs,), None)
        return np.ascontiguousarray(np.moveaxis(found.reshape(*found.shape[:-1], count, -1), -2, 0))
