"""The network: a graph, its parameters, and everything but training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.engine import threads as team
from fastbp.engine.blocks import Block
from fastbp.engine.forks import Lock
from fastbp.engine.plan import Plan
from fastbp.engine.recent import Recent
from fastbp.errors import ConfigError
from fastbp.lowering.batch_plan import BatchPlan
from fastbp.lowering.plans import CALL_WORK, RowPlan, team_sizes
from fastbp.lowering.update import Update
from fastbp.lowering.user_rows import counts_for
from fastbp.model.each import OfMembers
from fastbp.model.parameters import Parameters, initialise
from fastbp.spec import arrays
from fastbp.spec.checks import seed_of
from fastbp.spec.coded import Coded
from fastbp.spec.elsewhere import known_words
from fastbp.spec.graph import Graph, graph_of
from fastbp.spec.layers import Layer
from fastbp.spec.losses import Loss, Targets

if TYPE_CHECKING:
    from fastbp.pictures.picture import Picture

Array = NDArray[Any]

PLANS = 8  # that a network keeps, and as many older ones
EVALUATION_ROWS = 512  # rows of a block in `evaluate`


class Network(OfMembers):
    """A multi-layer perceptron: a list of layers, or a graph from inputs to outputs.

    Parameters
    ----------
    layers : list of layers
        Such as ``[fb.Linear(128), fb.ReLU(), fb.Dropout(0.1), fb.Linear(10)]``. Layers are numbered from 0, activations
        too; a layer listed twice has two sets of parameters.
    inputs : int, >= 1
        Features of a row of X; or, with `outputs`, an `fb.Input` or a list of them.
    seed : int
        Seed of the initial parameters and, by default, of dropout and the order of batches.
    dtype : {"float32", "float64"}
    outputs : signal or list of signals, optional
        Outputs of layers called on the inputs, instead of `layers`: see `fb.Input`.

    Examples
    --------
    >>> import fastbp as fb
    >>> net = fb.Network([fb.Linear(16), fb.Tanh(), fb.Linear(1)], inputs=2, seed=0)
    >>> net.predict([[0.0, 0.0], [0.5, -0.5]]).shape
    (2, 1)
    >>> net.parameters
    Parameters({'0.weight': (2, 16), '0.bias': (16,), '2.weight': (16, 1), '2.bias': (1,)})
    """

    trained_with: Loss | None = None  # the loss of the last trainer that was made for it
    tables: Any = None  # what reads raw tables as its inputs, `rows_of` and `part_of`

    @known_words
    def __init__(
        self,
        layers: Sequence[Layer] | None = None,
        inputs: Any = None,
        seed: int = 0,
        dtype: DTypeLike = "float32",
        *,
        outputs: Any = None,
    ) -> None:
        self._set_up(graph_of(layers, inputs, outputs), seed, dtype)
        initialise(self.graph, self._parameters, self.seed)

    @classmethod
    def of_graph(cls, graph: Graph, seed: int = 0, dtype: DTypeLike = "float32") -> Network:
        """A new network of this graph."""
        net = cls._from_graph(graph, seed, dtype)
        initialise(graph, net._parameters, net.seed)
        return net

    def _set_up(self, graph: Graph, seed: int, dtype: DTypeLike) -> None:
        self.graph = graph
        self.seed = seed_of(seed)
        self.dtype = arrays.real_dtype(dtype)
        self._parameters = Parameters(graph.parameters(), self.dtype)
        states = graph.states()
        self._states = Parameters({name: shape for name, (shape, _) in states.items()}, self.dtype, "states")
        for name, (shape, first) in states.items():
            self._states[name] = np.full(shape, first)
        self._codes = graph.codes()
        for column, count in self._codes:
            if self.dtype.itemsize == 4 and count > 2**24:
                where, must = f"Embedding.columns[{column}]", "must have at most 2**24 categories in float32"
                raise ConfigError(where, must, f"`{count}`", hint='dtype="float64" holds larger codes')
        graph.check_dtype(self.dtype)
        self.about: dict[str, Any] = {}  # other data of its file, as JSON
        self._inputs, self._outputs = graph.inputs, graph.outputs
        self._parts = graph.parts if len(graph.parts) > 1 else None
        self._splits = list(np.cumsum(graph.splits)[:-1]) if len(graph.heads) > 1 else None
        self._plans: Recent[Any, Any] = Recent(PLANS)  # row plans by kind, and batch plans by (purpose, loss)
        self._share_lock(self._parameters.lock)
        self._predict_plan: RowPlan | None = None
        self._converts = False  # whether the last rows to predict were read otherwise than they are
        self._own = frozenset(vars(self))  # what is set besides is a subclass's or the user's

    @classmethod
    def _from_graph(cls, graph: Graph, seed: int, dtype: DTypeLike) -> Network:
        """A network with parameters not drawn yet."""
        net = cls.__new__(cls)
        net._set_up(graph, seed, dtype)
        return net

    @property
    def has_codes(self) -> bool:
        """Whether columns of X are category codes."""
        return bool(self._codes)

    def sharing(self, block: Block) -> Network:
        """A network that shares layers and states, with its parameters in this block: an average of ours."""
        other = Network._from_graph(self.graph, self.seed, self.dtype)
        other._parameters.block, other._parameters.averages = block, self._parameters
        other._states, other.trained_with = self._states, self.trained_with
        other._share_lock(self.lock)
        return other

    def _share_lock(self, lock: Lock) -> None:
        """Share the lock of parameters, states and plans."""
        self.lock = self._parameters.lock = self._states.lock = lock
        lock.readers.add(self)

    def _forget(self) -> None:
        """Drop all plans; they are made again on demand."""
        self._plans.clear()
        self._predict_plan = None

    def __reduce__(self) -> Any:
        with self.lock:
            numbers = self.flat, self._states.flat()
        more = {name: value for name, value in vars(self).items() if name not in self._own | {"_own"}}
        waiting = sorted(self._parameters.waiting)
        return _rebuild, (type(self), self.graph, self.seed, self.dtype.name, *numbers, self.about, waiting), more

    def __repr__(self) -> str:
        graph = self.graph
        if any(node.sources != (node.index - 1,) or node.shares for node in graph.nodes):
            outputs = list(graph.splits) if len(graph.heads) > 1 else graph.outputs
            inputs = [width for _, width in graph.parts] if len(graph.parts) > 1 else graph.inputs
            return f"Network(inputs={inputs}, outputs={outputs}, layers={len(graph.nodes)}, dtype={self.dtype.name!r})"
        layers = ", ".join(repr(node.layer) for node in graph.nodes)
        return f"Network([{layers}], inputs={self.inputs}, dtype={self.dtype.name!r})"

    @property
    def inputs(self) -> int:
        """Number of input features."""
        return self.graph.inputs

    @property
    def outputs(self) -> int:
        """Number of output features."""
        return self.graph.outputs

    @property
    def layers(self) -> list[Layer]:
        """The layers, as given; of a graph in the order of calls."""
        return [node.layer for node in self.graph.nodes if not node.name.endswith("]")]

    @property
    def parameters(self) -> Parameters:
        """Parameters by name, as natural (in, out) arrays: reading copies, assignment writes."""
        return self._parameters

    @property
    def states(self) -> Parameters:
        """Running statistics, learned without a gradient: reading copies, assignment writes."""
        return self._states

    @property
    def flat(self) -> Array:
        """Every parameter as one vector, in order, each row by row: a copy; assignment writes it back."""
        return self._parameters.flat()

    @flat.setter
    def flat(self, vector: Any) -> None:
        self._parameters.set_flat(vector)

    def arrays(self) -> dict[str, Array]:
        """All parameters and running statistics by name, consistently."""
        with self.lock:
            return {**self._parameters, **self._states}

    def predict(self, X: Any, out: Array | None = None, threads: int | None = None) -> Array:
        """Outputs of the network for the rows of X, without dropout.

        Parameters
        ----------
        X : array, shape (rows, inputs), or (inputs,) for one row
            For several inputs, a tuple of arrays, a dict of them by name, or all side by side in one array.
        out : array, shape (rows, outputs), optional
            Written and returned instead of a new array.
        threads : int, optional
            By default one per processor of this process; few rows run on one thread.

        Returns
        -------
        array, shape (rows, outputs), or a tuple of one per output if there are several
        """
        plan = self._predict_plan
        if plan is None:
            with self.lock:
                plan = self._predict_plan = self._predict_plan or self._row_plan("predict")
        count = plan.usual if threads is None else team.chosen(threads)
        if count > plan.workers:
            with self.lock:
                plan, usual = self._row_plan("predict", count), plan.usual
                self._predict_plan, plan.usual = plan, usual
        size: tuple[int, ...] = X.shape if type(X) is np.ndarray else ()
        if len(size) == 2 and size[1] == self._inputs and not self._codes:
            shape: tuple[int, ...] = (size[0], self._outputs)
            real, x = self.dtype, X
            known = X.dtype is real or X.dtype == real
            if self._converts or not known:
                x = arrays.as_read(X, real)
                self._converts, known = x is not X, x.dtype == real
            y = np.empty(shape, real) if out is None else out
            if out is not None:  # which may be X, as blocks are read first
                known = known and type(out) is np.ndarray and out.shape == shape and out.dtype == real
                known = known and out.flags.aligned and plan.at_once(shape[0], count)
            if known:
                with self.lock:
                    try:
                        plan(x, y, count)
                        return y if self._splits is None else self._apart(y)
                    except TypeError:  # explained below; to refuse takes long, so the next rows are looked at before
                        self._converts = True
        elif out is None and size == (self._inputs,) and self._splits is None:
            return np.asarray(self.predict(X[None], None, threads)[0])
        X = self._side_by_side(X)
        x = arrays.of_coded("X", X, self.inputs, self.dtype) if isinstance(X, Coded) else self._rows(X)
        shape = (self.outputs,) if np.ndim(X) == 1 else (len(x), self.outputs)
        result = np.empty(shape, self.dtype) if out is None else arrays.output(out, shape, self.dtype)
        shared = out is not None and type(x) is np.ndarray and np.may_share_memory(x, out)
        apart = np.empty_like(result) if shared and not plan.at_once(len(x), count) else result
        with self.lock:
            if isinstance(x, Coded):
                key = "predict", count, counts_for(self.graph, x)
                plan = self._plans[key] = self._plans.find(key) or self._row_plan("predict", count, key[2])
            plan(x, apart.reshape(-1, self.outputs), count)
        if apart is not result:
            result[...] = apart
        return result if self._splits is None else self._apart(result)

    def probabilities(self, X: Any, loss: str | Loss | None = None, threads: int | None = None) -> Array:
        """The probability of each class for the rows of X: see `fastbp.model.probabilities`.

        Parameters
        ----------
        X : array
            As for `predict`.
        loss : str or Loss, optional
            What the outputs mean; by default the loss of the last trainer that was made for this network. It is not
            needed where the network ends with Softmax, LogSoftmax or Sigmoid.
        threads : int, optional

        Returns
        -------
        array, shape (rows, classes)
            Each row adds up to 1, two columns where there is one output; with several labels a row their probabilities.
        """
        from fastbp.model.probabilities import probabilities

        return probabilities(self, X, loss, threads)

    predict_proba = probabilities

    def _apart(self, y: Array) -> Any:
        """Split side-by-side outputs into one array each."""
        assert self._splits
        return tuple(np.split(y, self._splits, axis=-1))

    def _side_by_side(self, X: Any) -> Any:
        """Join several separate inputs into one array."""
        return X if self._parts is None else arrays.side_by_side("X", X, self._parts, self.dtype)

    def _rows(self, X: Any) -> Array:
        """Rows as kernels read them, with category codes checked."""
        x = arrays.rows("X", X, self.inputs, self.dtype)
        self._check_codes(x)
        return x

    def _check_codes(self, x: Any) -> None:
        """Check the columns that are categories."""
        for column, count in self._codes:
            arrays.codes("X", x, column, count)

    def checked(self, X: Any, y: Any, loss: Loss, sample_weight: Any = None) -> tuple[Any, Any, int]:
        """Training rows and targets as kernels read them, and the bits of the largest magnitude in the rows."""
        x, top = arrays.training_rows("X", self._side_by_side(X), self.inputs, self.dtype)
        self._check_codes(x)
        return x, self._targets(y, len(x), loss, sample_weight), top

    def _targets(self, y: Any, rows: int, loss: Loss, sample_weight: Any) -> Targets:
        """Targets as kernels read them."""
        widths: Any = self.outputs if self._splits is None else self.graph.splits
        return loss.targets("y", y, rows, widths, self.dtype, sample_weight)

    def evaluate(self, X: Any, y: Any, loss: str | Loss = "cross_entropy", sample_weight: Any = None) -> float:
        """Loss over the rows of X, without dropout and with the running statistics of batch norm.

        Parameters
        ----------
        X : array, shape (rows, inputs)
        y : array
            Targets for the loss.
        loss : str or Loss
        sample_weight : array, shape (rows,), optional
            Weight of each row.
        """
        return self.evaluate_checked(*self._checked_by(loss, X, y, sample_weight))

    def evaluate_checked(self, loss: Loss, x: Any, t: Any, top: int, threads: int | None = None) -> float:
        """Loss over the results of `checked`, on at most so many threads."""
        with self.lock:
            key = "evaluate", loss, counts_for(self.graph, x)
            plan = self._plans.find(key)
            if plan is None:
                plan = self._plans[key] = self._batch_plan(EVALUATION_ROWS, loss, None, False, key[2])
            plan.bind(x, t, top)
            batches = min(plan.CALL, max(1, CALL_WORK // max(plan.work, 1)))  # so that Ctrl-C is handled between calls
            size = team_sizes(plan.work, plan.workers)[1] if threads is None else threads
            ended: list[float] = []
            while not ended:
                ended = plan.steps(batches, 1, size)
            return ended[0]

    def _batch_plan(self, rows: int, loss: Loss, update: Update | None, training: bool, counts: Any) -> BatchPlan:
        return BatchPlan(
            self.graph,
            self._parameters.block,
            self._states.block,
            team.chosen(None),
            batch=rows,
            loss=loss,
            update=update,
            training=training,
            counts=counts,
        )

    def _row_plan(self, kind: str, workers: int = 0, counts: Any = ()) -> RowPlan:
        made_of = self.graph, self._parameters.block, self._states.block
        return RowPlan(*made_of, workers or team.chosen(None), kind, counts)

    def plan(self, kind: str = "predict", **settings: Any) -> Plan:
        """The plan of "predict", "train" and so on, to be printed by its `show`: see `fastbp.model.reading.plan`."""
        from fastbp.model.reading import plan

        return plan(self, kind, **settings)

    def draw(self, gradients: Mapping[str, Any] | None = None) -> Picture:
        """A picture of the layers with their shapes, parameters and edges.

        Parameters
        ----------
        gradients : dict of str to array, optional
            As returned by `loss_and_gradients`; each layer then shows the norm of its gradients.

        Returns
        -------
        Picture
            Notebooks show it, ``picture.save("net.svg")`` writes it.
        """
        from fastbp.model.draw import draw

        return draw(self.graph, gradients)

    def _repr_html_(self) -> str:
        from fastbp.model.html import html

        return html(self)

    def save(self, path: Any) -> None:
        """Write the network to one safetensors file that `fastbp.load` reads."""
        from fastbp.model.files import save

        save(self, path)


def _rebuild(kind: type[Network], graph: Graph, seed: int, dtype: str, *rest: Any) -> Network:
    net = kind._from_graph(graph, seed, dtype)
    net.flat, net.about = rest[0], dict(rest[2])
    net.states.set_flat(rest[1])
    net.parameters.waiting.update(*rest[3:])
    return net
