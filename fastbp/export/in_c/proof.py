"""Rows and what comes out of them, stored in the file and compared bit by bit by a program of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export.in_c.differences import DIFFERS
from fastbp.export.in_c.source import array_of
from fastbp.export.in_c.together import predictions
from fastbp.export.model import Model
from fastbp.numerics.normal import normals
from fastbp.numerics.philox import uniform

if TYPE_CHECKING:
    from fastbp.export.in_c.file import Entry
    from fastbp.export.in_c.tables_outcome import SaidRows

ROWS = 8
STREAM = 9000  # of the numbers that rows are made of
SPREADS = 1.0, 1.0, 1.0, 0.1, 3.0, 10.0, 0.0, 1.0  # of the rows' numbers


def rows_of(model: Model, count: int = ROWS) -> NDArray[Any]:
    """Rows for a network: normal numbers of several sizes, and codes."""
    width = model.spans[-1].stop
    x = normals(count * width, 0, STREAM).reshape(count, width) * np.resize(SPREADS, (count, 1))
    for column, kinds in model.codes.items():
        x[:, column] = np.floor(uniform(count, column, STREAM + 1) * kinds)
    return np.asarray(x.astype(model.dtype))


class Proof:
    """What the functions of a network make of some rows, by the network itself."""

    def __init__(self, model: Model, entries: list[Entry], tables: SaidRows | None = None) -> None:
        net = model.net
        self.entries, self.tables = entries, tables
        self.arrays = {"x": rows_of(model)}
        x = self.arrays["x"]
        self.arrays["y"] = predictions(model, x)
        if any(entry.derivative for entry in entries):
            u = normals(len(x) * net.outputs, 0, STREAM + 2).reshape(len(x), -1).astype(model.dtype)
            v = normals(len(x) * net.inputs, 0, STREAM + 3).reshape(len(x), -1).astype(model.dtype)
            heads = tuple(np.split(u, np.cumsum(net.graph.splits)[:-1], axis=1)) if len(net.graph.heads) > 1 else u
            self.arrays |= {"u": u, "v": v, "dx": net.vjp(x, heads), "ty": net.jvp(x, v)}
            self.arrays["jacobian"] = net.jacobian(x).reshape(len(x), -1)

    def text(self, name: str, number: str) -> str:
        """The program."""
        upper = name.upper()
        plain = {key for entry in self.entries if not entry.derivative for key, _ in entry.takes}
        parts = [f"#ifdef {upper}_SELF_TEST\n#include <stdio.h>\n#include <string.h>\n"]
        parts += [array_of(f"stored_{key}", key, value) for key, value in self.arrays.items() if key in plain]
        rest = [array_of(f"stored_{key}", key, value) for key, value in self.arrays.items() if key not in plain]
        if rest:
            parts.append("\n".join([f"#ifndef {upper}_NO_DERIVATIVES", *rest, "#endif\n"]))
        most = max(size for entry in self.entries for _, size in entry.takes)
        if self.tables is not None:
            parts.append(self.tables.stored(ROWS))
        parts.append(DIFFERS.format(name=name, number=number, function="differs"))
        lines = [f"static {number} found[{most}];", "int failed = 0;"]
        if self.tables is not None:
            lines.append(f"{name}_said told;")
        lines += [f"for (int r = 0; r < {ROWS}; r++) {{"]
        lines += [f"    {line}" for one in self.entries if not one.derivative for line in self._compared(name, one)]
        lines += [f"    {line}" for line in ([] if self.tables is None else self.tables.compared())]
        derived = [f"    {line}" for one in self.entries if one.derivative for line in self._compared(name, one)]
        if derived:
            lines += [f"#ifndef {upper}_NO_DERIVATIVES", *derived, "#endif"]
        said = f"{name}: all numbers of {ROWS} rows have the same bits"
        lines += ["}", "if (!failed)", f'    printf("{said}\\n");', "return failed ? 1 : 0;"]
        body = "".join(f"{'' if line.startswith('#') else '    '}{line}\n" for line in lines)
        parts.append(f"int main(void)\n{{\n{body}}}\n#endif\n")
        return "\n".join(parts)

    @staticmethod
    def _compared(name: str, entry: Entry) -> list[str]:
        *given, (out, size) = entry.takes
        rows = ", ".join(f"stored_{key} + r * {width}" for key, width in given)
        return [
            f"{name}_{entry.name}({rows}, found);",
            f'failed += differs("{entry.name}", r, stored_{out} + r * {size}, found, {size});',
        ]
