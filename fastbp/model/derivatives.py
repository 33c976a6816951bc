"""Products with the Jacobian of a network, and derivatives made from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.blocks import Block
from fastbp.engine.recent import Recent
from fastbp.errors import ConfigError, DataError, ShapeError, not_one_of
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import RowPlan, team_sizes
from fastbp.lowering.update import KEEP, Update
from fastbp.lowering.user_rows import counts_for
from fastbp.model.parameters import Parameters, checked
from fastbp.spec import arrays
from fastbp.spec.checks import flag, signed, whole
from fastbp.spec.graph import Graph
from fastbp.spec.joint_loss import loss_for_outputs
from fastbp.spec.losses import Loss

Array = NDArray[Any]
MODES = ("auto", "forward", "reverse")


class Derivatives:
    """Derivatives of a network in its inputs and parameters.

    J has several inputs or outputs side by side, in order.
    """

    graph: Graph
    dtype: np.dtype[Any]
    lock: Any
    inputs: Any
    outputs: Any
    _parameters: Parameters
    _states: Parameters
    _plans: Recent[Any, Any]
    _rows: Callable[[Any], Array]
    _side_by_side: Callable[[Any], Any]
    _row_plan: Callable[[str], RowPlan]
    _batch_plan: Callable[..., BatchPlan]
    seed: int
    trained_with: Loss | None
    checked: Callable[..., Any]

    def loss_and_gradients(
        self,
        X: Any,
        y: Any,
        loss: str | Loss = "cross_entropy",
        sample_weight: Any = None,
        training: bool = False,
    ) -> tuple[float, dict[str, Array]]:
        """Loss over the rows of X, and its gradient in every parameter.

        Parameters
        ----------
        X : array, shape (rows, inputs)
        y : array
            Targets for the loss.
        loss : str or Loss
        sample_weight : array, shape (rows,), optional
            Weight of each row.
        training : bool
            Whether batch norm uses the statistics of X, and dropout the masks of step 0; running statistics do not
            change.

        Returns
        -------
        loss : float
        gradients : dict
            Name to array, shaped like `parameters`.
        """
        of, x, t, top = self._checked_by(loss, X, y, sample_weight)
        counts = counts_for(self.graph, x)
        key = "gradients", of, flag("training", training), counts
        with self.lock:
            plan: Any = self._plans.find(key)
            if plan is None or plan.batch < len(x):
                update = Update(KEEP, gradients=Block(self._parameters.block.slots, self.dtype))
                plan = self._plans[key] = self._batch_plan(len(x), of, update, training, counts)
            plan.head.data.seed = signed(self.seed)
            plan.number[0] = 0
            plan.refresh(self._parameters.version)
            plan.bind(x, t, top)
            plan.steps(1, 1, team_sizes(plan.work, plan.workers)[1])
            block = plan.update.gradients
            return plan.loss, {name: block.read(name) for name in block.slots}

    def vjp(self, X: Any, u: Any, out: Array | None = None) -> Array:
        """uᵀ J for every row: the cotangent of X, where J is the Jacobian of the row's outputs in its inputs.

        Parameters
        ----------
        X : array, shape (rows, inputs) or (inputs,)
        u : array, shape (rows, outputs) or (outputs,)
            Cotangents of the outputs; of several a tuple, or side by side.
        out : array, shape of X, optional
            Written and returned instead of a new array.

        Returns
        -------
        array, shape of X; of several inputs side by side
        """
        return self._product("vjp", X, "u", u, self.outputs, self.inputs, out)

    def jvp(self, X: Any, v: Any, out: Array | None = None) -> Array:
        """J v for every row: the tangent of the outputs, where J is the Jacobian of the row's outputs in its inputs.

        Parameters
        ----------
        X : array, shape (rows, inputs) or (inputs,)
        v : array, shape (rows, inputs) or (inputs,)
            Tangents of the inputs.
        out : array, shape (rows, outputs) or (outputs,), optional
            Written and returned instead of a new array.

        Returns
        -------
        array, shape (rows, outputs) or (outputs,)
        """
        return self._product("jvp", X, "v", v, self.inputs, self.outputs, out)

    def jacobian(self, X: Any, mode: str = "auto", out: Array | None = None) -> Array:
        """The Jacobian of the outputs in the inputs, at every row of X.

        Parameters
        ----------
        X : array, shape (rows, inputs) or (inputs,)
        mode : {"auto", "forward", "reverse"}
            Columns by jvp, rows by vjp, or whichever are fewer.
        out : array, shape (rows, outputs, inputs) or (outputs, inputs), optional
            Written and returned instead of a new array.

        Returns
        -------
        array, shape (rows, outputs, inputs) or (outputs, inputs)

        Examples
        --------
        >>> import numpy as np, fastbp as fb
        >>> net = fb.mlp([3, 8, 2], activation="tanh", seed=0, dtype="float64")
        >>> J = net.jacobian(np.zeros(3))
        >>> J.shape, bool(np.allclose(J[0], net.vjp(np.zeros(3), [1.0, 0.0])))
        ((2, 3), True)
        """
        if not isinstance(mode, str) or mode not in MODES:
            raise not_one_of("mode", mode, MODES)
        forward = mode == "forward" or (mode == "auto" and self.inputs < self.outputs)
        plan = self._ready("columns" if forward else "rows")
        return self._whole(plan, X, (self.outputs, self.inputs), out)

    def input_gradient(self, X: Any, output: int | None = None, out: Array | None = None) -> Array:
        """The gradient of one output in the inputs, at every row of X.

        Parameters
        ----------
        X : array, shape (rows, inputs) or (inputs,)
        output : int
            Index of the output, where several stand side by side; optional if there is only one.
        out : array, shape of X, optional
            Written and returned instead of a new array.

        Returns
        -------
        array, shape of X; of several inputs side by side
        """
        if output is None and self.outputs > 1:
            raise ConfigError("output", f"must be given for a network with {self.outputs} outputs", "`None`")
        column = whole("output", 0 if output is None else output, 0)
        if column >= self.outputs:
            raise ConfigError("output", f"must be below {self.outputs}, the number of outputs", f"`{column}`")
        with self.lock:
            plan = self._ready("gradient")
            plan.choose(column)
            return self._whole(plan, X, (self.inputs,), out)

    def parameter_vjp(self, X: Any, u: Any) -> dict[str, Array]:
        """Σ uᵀ J over the rows, where J is the Jacobian of a row's outputs in the parameters.

        Parameters
        ----------
        X : array, shape (rows, inputs)
        u : array, shape (rows, outputs)
            Cotangents of the outputs; with the gradient of a loss, the result is the loss's gradient.

        Returns
        -------
        dict
            Name to array, shaped like `parameters`.
        """
        from fastbp.spec.losses import Dot

        x = self._rows(self._side_by_side(X))
        w, _ = arrays.training_rows("u", self._joined("u", u), self.outputs, self.dtype)
        if len(x) != len(w):
            raise ShapeError("u", f"must have as many rows as `X`, `{len(x)}`", f"`{len(w)}`")
        count = len(self.graph.heads)
        apart: Any = tuple(np.split(w, np.cumsum(self.graph.splits)[:-1], axis=1)) if count > 1 else w
        loss: Any = [Dot(reduction="sum")] * count if count > 1 else Dot(reduction="sum")
        found: dict[str, Array] = self.loss_and_gradients(x, apart, loss=loss)[1]
        return found

    def hessian_vector(
        self, X: Any, y: Any, v: Any, loss: str | Loss = "cross_entropy", sample_weight: Any = None
    ) -> Any:
        """H v, where H is the Hessian of the loss over the rows of X in all parameters; H itself is never formed.

        Dropout is off, and batch norm uses its running statistics.

        Parameters
        ----------
        X : array, shape (rows, inputs)
        y : array
            Targets for the loss.
        v : array, shape of `flat`, or dict of str to array, shaped like `parameters`
        loss : str or Loss
        sample_weight : array, shape (rows,), optional
            Weight of each row.

        Returns
        -------
        array or dict, as v

        Examples
        --------
        >>> import numpy as np, fastbp as fb
        >>> net = fb.mlp([2, 3, 1], activation="tanh", dtype="float64")
        >>> X, y = np.ones((4, 2)), np.zeros((4, 1))
        >>> u, v = np.random.default_rng(0).normal(size=(2, net.flat.size))
        >>> left, right = u @ net.hessian_vector(X, y, v, loss="mse"), v @ net.hessian_vector(X, y, u, loss="mse")
        >>> bool(np.isclose(left, right))  # H is symmetric
        True
        """
        from fastbp.model.traced import HessianProgram

        of, x, targets, _ = self._checked_by(loss, X, y, sample_weight)
        names = list(self._parameters)
        shapes = self.graph.parameters()
        if isinstance(v, Mapping):
            if set(v) != set(names):
                raise ShapeError("v", f"must have the names of the parameters, `{'`, `'.join(names)}`")
            given = {name: checked(f"v[{name!r}]", v[name], shapes[name], self.dtype) for name in names}
        else:
            flat = checked("v", v, (self._parameters.count,), self.dtype)
            cuts = np.cumsum([int(np.prod(shapes[name])) for name in names])[:-1]
            given = {n: part.reshape(shapes[n]) for n, part in zip(names, np.split(flat, cuts), strict=True)}
        with self.lock:
            key = "hessian", of, len(x)
            program = self._plans.find(key)
            if program is None:
                states = {name: self._states[name].shape for name in self._states}
                program = HessianProgram(self.graph, shapes, states, of, len(x), self.dtype)
                self._plans[key] = program
            states_now = [self._states[name] for name in self._states]
            found = program([self._parameters[n] for n in names], states_now, x, targets, [given[n] for n in names])
        if isinstance(v, Mapping):
            return dict(zip(names, found, strict=True))
        return np.concatenate([part.reshape(-1) for part in found])

    def _checked_by(self, loss: str | Loss, X: Any, y: Any, sample_weight: Any) -> tuple[Loss, Any, Any, int]:
        """A loss, and what `checked` makes of rows and targets; an error of targets says if training had another."""
        of, other = loss_for_outputs(loss, self.graph.splits), self.trained_with
        try:
            return of, *self.checked(X, y, of, sample_weight)
        except DataError as error:
            if error.where != "y" or of.kind != "cross_entropy" or other is None or other.kind == of.kind:
                raise
            hint = f"`loss` is cross_entropy here, and this network was trained with `loss={other!r}`"
            raise error.at(hint=hint) from None

    def _joined(self, name: str, value: Any) -> Any:
        """Tangents of all inputs, or cotangents of all outputs, side by side."""
        graph = self.graph
        if name == "v":
            return value if len(graph.parts) == 1 else arrays.side_by_side(name, value, graph.parts, self.dtype)
        if len(graph.heads) == 1:
            return value
        return arrays.side_by_side(name, value, [(None, width) for width in graph.splits], self.dtype, "output")

    def _ready(self, kind: str) -> RowPlan:
        """The plan of this kind, up to date."""
        plan: RowPlan | None = self._plans.get(kind)
        if plan is None:
            with self.lock:
                plan = self._plans.find(kind)
                if plan is None:
                    plan = self._plans[kind] = self._row_plan(kind)
        return plan

    def _whole(self, plan: RowPlan, X: Any, shape: tuple[int, ...], out: Array | None) -> Array:
        """Run a plan that reads rows only; each row has a result of this shape."""
        one = type(X) is np.ndarray and X.ndim == 1 and X.dtype == self.dtype and X.shape[0] == self.inputs
        if not one or not X.flags.aligned or not X.flags.c_contiguous:
            X = self._side_by_side(X)
            x = self._rows(X)
            one = np.ndim(X) == 1
        else:
            x = X[None]
        shape = shape if one else (len(x), *shape)
        result = np.empty(shape, self.dtype) if out is None else arrays.output(out, shape, self.dtype)
        apart = result if out is None or not np.may_share_memory(x, out) else np.empty_like(result)
        with self.lock:
            plan.refresh(self._parameters.version)
            plan(x, apart.reshape(-1, shape[-1]), plan.workers)
        if apart is not result:
            result[...] = apart
        return result

    def _product(
        self, kind: str, X: Any, name: str, other: Any, other_width: int, width: int, out: Array | None
    ) -> Array:
        X = self._side_by_side(X)
        x = self._rows(X)
        w = arrays.rows(name, self._joined(name, other), other_width, self.dtype)
        if len(x) != len(w):
            raise ShapeError(name, f"must have as many rows as `X`, `{len(x)}`", f"`{len(w)}`")
        one = np.ndim(X) == 1
        shape = (width,) if one else (len(x), width)
        result = np.empty(shape, self.dtype) if out is None else arrays.output(out, shape, self.dtype)
        shared = out is not None and (np.may_share_memory(x, out) or np.may_share_memory(w, out))
        apart = np.empty_like(result) if shared else result
        plan = self._ready(kind)
        with self.lock:
            plan.refresh(self._parameters.version)
            plan(x, apart.reshape(-1, width), plan.workers, w)
        if apart is not result:
            result[...] = apart
        return result
