"""What a fit leaves behind: networks, their parameters, and the file of both with the preprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from fastbp.sklearn.callbacks import PREDICTING

if TYPE_CHECKING:
    from fastbp.data.recipe import Recipe
    from fastbp.model.network import Network
    from fastbp.train.ensemble import Ensemble

Array = NDArray[Any]


class Fitted:
    """Networks that are trained, and the preprocessing of their rows."""

    network_: Network  # where there is one
    ensemble_: Ensemble  # where there are several
    recipe_: Recipe
    temperature_: float  # where there is one
    _loss_of: Any

    def _check_fitted(self) -> None:
        check_is_fitted(self, PREDICTING, all_or_any=any)

    def save(self, path: Any) -> None:
        """Write the network, or all of them, with the preprocessing, for `fb.load` and ``fastbp predict``."""
        self._check_fitted()
        if hasattr(self, "ensemble_"):
            self.ensemble_.save(path)
            return
        net = self.network_
        net.about = {"recipe": self.recipe_.to_data()}
        if hasattr(self, "temperature_"):
            found = self._warm()
            found.save(path)
            return
        net.save(path)

    def _warm(self) -> Network | Ensemble:
        """The network with its temperature, as an ensemble of one where it has members, whose mean comes first."""
        from fastbp.train.ensemble import Ensemble
        from fastbp.train.temperature import with_temperature

        if self.network_.graph.members is not None:
            return Ensemble([self.network_], loss=self._loss_of()).tempered(self.temperature_)
        return with_temperature(self.network_, self.temperature_)

    @property
    def networks_(self) -> list[Network]:
        """All networks; with folds those of the first fold first."""
        self._check_fitted()
        return list(self.ensemble_.members) if hasattr(self, "ensemble_") else [self.network_]

    @property
    def coefs_(self) -> list[Array]:
        """The weights of the linear layers, each (inputs, outputs)."""
        return self._of_linear("weight")

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of the linear layers."""
        return self._of_linear("bias")

    def _of_linear(self, part: str) -> list[Array]:
        from fastbp.spec.layers import Linear

        (net, *others) = self.networks_
        if others:
            raise AttributeError(
                f"there are {len(others) + 1} networks, so `networks_[i].parameters` has their parameters"
            )
        names = [f"{node.name}.{part}" for node in net.graph.nodes if isinstance(node.layer, Linear)]
        return [net.parameters[name] for name in names if name in net.parameters]

    @property
    def n_layers_(self) -> int:
        """The number of layers, with those of inputs and outputs."""
        from fastbp.spec.layers import Linear

        return 1 + sum(isinstance(node.layer, Linear) for node in self.networks_[0].graph.nodes)
