"""What several members say together, in C: `fastbp.train.averages` of one row, in float64 and in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.errors import ConfigError
from fastbp.export.in_c.exact import number
from fastbp.export.in_c.source import Source
from fastbp.export.model import Member, Model
from fastbp.numerics.exact import log
from fastbp.spec.losses import Loss
from fastbp.train.averages import LEAST, Average, probable
from fastbp.train.ensemble_models import Scale

Array = NDArray[Any]


def said_widths(model: Model) -> list[int]:
    """How many numbers are averaged, for each head."""
    assert model.loss is not None
    heads = zip(model.loss.parts, model.net.graph.splits, strict=True)
    return [2 if _two(loss, width) else width for (loss, _), width in heads]


def predicted_widths(model: Model) -> list[int]:
    """How many predictions there are, for each head."""
    assert model.loss is not None
    parts = zip(model.loss.parts, said_widths(model), strict=True)
    return [width // loss.outputs_per_target for (loss, _), width in parts]


def _two(loss: Loss, width: int) -> bool:
    """Whether one logit says the probabilities of two classes."""
    return probable(loss) and "labels" not in loss.tasks and width == 1


def averages(model: Model, x: Array) -> list[Average]:
    """What the members say together of rows, by Python."""
    assert model.loss is not None
    found = [Average(loss) for loss, _ in model.loss.parts]
    for member in model.members:
        z: Any = member.net.predict(np.ascontiguousarray(x[:, model.spans[member.way]]))
        for average, part in zip(found, z if isinstance(z, tuple) else (z,), strict=True):
            of = part if member.scale is None else member.scale.to_first(part)
            average.add(of, member.given)
    for average in found:
        average.temper(model.temperature)
    return found


def side_by_side(found: Any) -> NDArray[Any]:
    """Outputs of a network as one array."""
    return np.concatenate(found, axis=1) if isinstance(found, tuple) else np.asarray(found)


def predictions(model: Model, x: NDArray[Any]) -> NDArray[Any]:
    """What a model predicts for rows of its networks."""
    if not model.joined:
        return side_by_side(model.net.predict(x))
    return np.concatenate([one.predictions.astype(model.dtype) for one in averages(model, x)], axis=1)


class Together:
    """Writes the function that asks all members.

    Parameters
    ----------
    asked : list of str
        The functions of the members, ``void m0(const real *x, real *z)``.
    """

    def __init__(self, source: Source, model: Model, asked: list[str]) -> None:
        self.source, self.model, self.asked = source, model, asked
        assert model.loss is not None
        self.losses = [loss for loss, _ in model.loss.parts]
        self.splits = list(model.net.graph.splits)
        self.said, self.predicted = said_widths(model), predicted_widths(model)
        self.bytes = model.net.outputs * (8 + model.dtype.itemsize) + 16 * sum(self.said)

    def write(self) -> str:
        """``void together(const real *x, double *mean)``; returns the name."""
        self.source.need("said_together")
        net, total = self.model.net, 0.0
        lines = [
            f"real z[{net.outputs}];",
            f"double own[{net.outputs}], said[{sum(self.said)}];",
            f"for (int i = 0; i < {sum(self.said)}; i++)",
            "    mean[i] = 0.0;",
        ]
        for member, name in zip(self.model.members, self.asked, strict=True):
            total += member.given
            lines += [f"{name}(x, z);", *self._own(member), *self._said("own", self.splits)]
            lines.append(f"said_together(said, {sum(self.said)}, {number(member.given)}, {number(total)}, mean);")
        if self.model.temperature != 1.0:
            lines += self._tempered()
        text = "".join(f"    {line}\n" for line in lines)
        self.source.function(f"static void together(const real *x, double *mean)\n{{\n{text}}}\n")
        return "together"

    def write_prediction(self) -> str:
        """``void predicted(const real *x, real *y)``."""
        lines = [f"double mean[{sum(self.said)}];", f"{self.write()}(x, mean);"]
        at = to = 0
        for wide, width in zip(self.said, self.predicted, strict=True):
            lines += [f"for (int i = 0; i < {width}; i++)", f"    y[{to} + i] = (real)mean[{at} + i];"]
            at, to = at + wide, to + width
        text = "".join(f"    {line}\n" for line in lines)
        return f"static void predicted(const real *x, real *y)\n{{\n{text}}}\n"

    def _own(self, member: Member) -> list[str]:
        """A member's outputs as float64, on the scale of the first member."""
        if member.scale is None:
            return [f"for (int i = 0; i < {self.model.net.outputs}; i++)", "    own[i] = (double)z[i];"]
        return self._scaled(member.scale)

    def _scaled(self, scale: Scale) -> list[str]:
        self.source.need("raw_product")
        width, outputs = len(scale.center), self.model.net.outputs
        names = {
            "spread": scale.spread,
            "shift": scale.center - scale.first_center,
            "first": scale.first_spread,
        }
        if outputs > width:
            names["more"] = 2.0 * log(scale.spread / scale.first_spread)
        made = {name: self.source.constant(name, np.asarray(value)) for name, value in names.items()}
        lines = [
            f"for (int i = 0; i < {width}; i++)",
            f"    own[i] = (raw_product((double)z[i], {made['spread']}[i]) + {made['shift']}[i]) / {made['first']}[i];",
        ]
        if outputs > width:
            lines += [
                f"for (int i = {width}; i < {outputs}; i++)",
                f"    own[i] = (double)z[i] + {made['more']}[i - {width}];",
            ]
        return lines

    def _said(self, of: str, splits: list[int]) -> list[str]:
        """What outputs stand for, head by head."""
        lines: list[str] = []
        at = to = 0
        for loss, width, wide in zip(self.losses, splits, self.said, strict=True):
            lines += self._head(loss, f"{of} + {at}" if at else of, width, f"said + {to}" if to else "said", wide)
            at, to = at + width, to + wide
        return lines

    def _head(self, loss: Loss, z: str, width: int, said: str, wide: int) -> list[str]:
        each = [f"for (int i = 0; i < {width}; i++)"]
        if probable(loss) and "labels" in loss.tasks:
            self.source.need("exact_sigmoid")
            return [*each, f"    ({said})[i] = exact_sigmoid(({z})[i]);"]
        if probable(loss):
            self.source.need("exact_softmax")
            if width == wide:
                return [f"exact_softmax({z}, {width}, {said});"]
            return ["{", f"    const double two[2] = {{0.0, *({z})}};", f"    exact_softmax(two, 2, {said});", "}"]
        if loss.kind == "poisson":
            self.source.need("exact_exp")
            return [*each, f"    ({said})[i] = exact_exp(({z})[i]);"]
        if loss.kind == "gaussian_nll":
            self.source.need("exact_exp")
            half = width // 2
            return [
                f"for (int i = 0; i < {half}; i++) {{",
                f"    const double m = ({z})[i], d = exact_exp(0.5 * ({z})[{half} + i]);",
                f"    ({said})[i] = m;",
                f"    ({said})[{half} + i] = m * m + d * d;",
                "}",
            ]
        if loss.predicted.__func__ is not Loss.predicted.__func__:  # type: ignore[attr-defined]
            raise ConfigError("loss", "must be one whose predictions can be exported", f"`{loss.named}`")
        return [*each, f"    ({said})[i] = ({z})[i];"]

    def _tempered(self) -> list[str]:
        """Probabilities whose logits are those of the mean, divided by the temperature."""
        self.source.need("exact_log")
        count, least = sum(self.said), number(LEAST)
        lines = [f"double logits[{count}];"]
        at = 0
        for loss, width in zip(self.losses, self.said, strict=True):
            log_of = f"exact_log(%s > {least} || %s != %s ? %s : {least})"
            p = f"mean[{at} + i]" if at else "mean[i]"
            z = log_of.replace("%s", p)
            if "labels" in loss.tasks:
                z = f"{z} - {log_of.replace('%s', f'1.0 - {p}')}"
            lines += [
                f"for (int i = 0; i < {width}; i++)",
                f"    logits[{at} + i] = ({z}) / {number(self.model.temperature)};",
            ]
            at += width
        lines += self._said("logits", self.said)
        return [*lines, f"for (int i = 0; i < {count}; i++)", "    mean[i] = said[i];"]
