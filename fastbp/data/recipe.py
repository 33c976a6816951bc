"""From raw tables to a network's inputs and from its outputs to predictions; stored in the network's file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.data.frame import Frame
from fastbp.data.inputs import Inputs
from fastbp.data.outputs import Outputs
from fastbp.data.raw import Raw
from fastbp.data.stored import Stored
from fastbp.data.unseen import Unseen, told
from fastbp.errors import CheckpointError, ConfigError
from fastbp.numerics.likely import sigmoid, softmax, with_numbers
from fastbp.spec.catalogue import facts_of, loss_of
from fastbp.spec.coded import Coded

Array = NDArray[Any]


@dataclass
class Recipe:
    """What was fitted to the training rows, and the loss, which defines what outputs mean."""

    inputs: Inputs
    outputs: Outputs
    loss: str
    weight: str | None = None
    raw: Raw = field(default_factory=Raw)

    def matrix(
        self, frame: Frame, dtype: Any, part: str = "", strict: bool = False, unseen: list[Unseen] | None = None
    ) -> Array | Coded:
        """Rows of a raw table as the network's inputs.

        Parameters
        ----------
        frame : Frame
        dtype
        part : str
            The part of the table that these rows are, for messages.
        strict : bool
            Whether values that training did not see are refused, rather than said.
        unseen : list, optional
            Gets what training did not see, which then is not said.
        """
        found_here: list[Unseen] = []
        found = self.inputs.matrix(frame, dtype, found_here)
        if unseen is None or strict:
            self.tell(found_here, frame.origin, part, strict)
        else:
            unseen += found_here
        return found

    def tell(self, unseen: list[Unseen], origin: str, part: str = "", strict: bool = False) -> None:
        """Say what training did not see, or refuse it."""
        told(unseen, origin + (f", {part} rows" if part else ""), self.raw.unseen, strict)

    def predictions(self, raw: Array, probabilities: bool = False, said: Array | None = None) -> dict[str, Array]:
        """Columns of predictions from a network's outputs.

        Parameters
        ----------
        raw : array, shape (rows, outputs)
        probabilities : bool
        said : array, optional
            The probabilities or numbers that they stand for, where these are known more exactly.
        """
        outputs = self.outputs
        if outputs.task in ("classes", "labels"):
            with_numbers(raw)
        if outputs.task == "classes":
            name = outputs.columns[0]
            if raw.shape[1] == 1:  # one logit for two classes
                raw = np.concatenate([np.zeros_like(raw), raw], axis=1)
            found = {name: np.array(outputs.names, object)[raw.argmax(axis=1)]}
            if probabilities:
                p = softmax(raw).astype(raw.dtype) if said is None else said
                found |= {f"{name} = {label}": p[:, i] for i, label in enumerate(outputs.names)}
            return found
        if outputs.task == "labels":
            found = {name: (raw[:, i] > 0).astype(np.int64) for i, name in enumerate(outputs.names)}
            if probabilities:
                p = sigmoid(raw).astype(raw.dtype) if said is None else said
                found |= {f"{name} probability": p[:, i] for i, name in enumerate(outputs.names)}
            return found
        loss = facts_of(self.loss)
        middle, deviations = loss.predicted(raw) if said is None else said, loss.deviations(raw)
        numbers = outputs.unscaled(middle)
        found = {name: numbers[:, i] for i, name in enumerate(outputs.names)}
        if deviations is None:
            return found
        spread = deviations.astype(numbers.dtype) * outputs.spread.astype(numbers.dtype)
        low, high = (outputs.unscaled(middle + sign * deviations) for sign in (-1, 1))
        for i, (name, transform) in enumerate(zip(outputs.names, outputs.transforms, strict=True)):
            if transform.name == "none":
                found[f"{name} deviation"] = spread[:, i]
            else:  # what is even about the middle is not in the units of the table
                found |= {f"{name} low": low[:, i], f"{name} high": high[:, i]}
        return found

    def to_data(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs.to_data(),
            "outputs": self.outputs.to_data(),
            "loss": self.loss,
            "weight": self.weight,
            "raw": self.raw.to_data(),
        }

    @classmethod
    def from_data(cls, data: Any) -> Recipe:
        """From the result of `to_data`, as stored in a file; older ones have no `raw`.

        Raises
        ------
        CheckpointError
            If the file does not hold a recipe.
        """
        found = Stored(data, "recipe").keys(*(f.name for f in fields(cls)), absent={"raw": None})
        inputs, outputs = Inputs.from_data(found["inputs"]), Outputs.from_data(found["outputs"])
        loss = found["loss"].text()
        try:
            kind = loss_of(loss)
        except ConfigError as error:
            raise CheckpointError(error.where, error.must, error.got) from None
        if outputs.task not in kind.tasks:
            raise found["loss"].fail(f"be one for {outputs.task}")
        weight = None if found["weight"].value is None else found["weight"].text()
        raw = Raw() if found["raw"].value is None else Raw.from_data(found["raw"])
        return cls(inputs, outputs, loss, weight, raw)

    def check(self, inputs: int, outputs: int, tables: Mapping[int, tuple[int, int]]) -> None:
        """Refuse a recipe that does not fit a network's inputs, outputs and embeddings."""
        if self.inputs.width != inputs:
            raise CheckpointError("inputs", f"must become the network's {inputs} columns", f"{self.inputs.width}")
        for column, (categories, _) in self.inputs.embeddings().items():
            rows = tables.get(column, (categories, 0))[0]
            if rows < categories:
                raise CheckpointError("inputs", f"must have codes below {rows} in column {column}", f"{categories - 1}")
        width = self.outputs.width * facts_of(self.loss).outputs_per_target
        if outputs != width and not (outputs == 1 and self.outputs.task == "classes" and width == 2):
            raise CheckpointError("outputs", f"must be the network's {outputs}", f"{width}")
