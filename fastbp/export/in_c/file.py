"""One C file and its header: what they have, in which order, and what they say of themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fastbp.errors import ConfigError
from fastbp.export.in_c import casadi, prelude
from fastbp.export.in_c.proof import Proof
from fastbp.export.in_c.rows import Rows
from fastbp.export.in_c.source import Source, real_names
from fastbp.export.in_c.tables import remark
from fastbp.export.in_c.tables_outcome import SaidRows
from fastbp.export.in_c.terms import INTEGERS, REALS
from fastbp.export.in_c.together import Together, predicted_widths
from fastbp.export.model import Model
from fastbp.export.raw import tables_of

DERIVATIVES = {
    "vjp": "dx = u' J, the cotangent of x by that of y",
    "jvp": "ty = J v, the tangent of y by that of x",
    "jacobian": "J, row by row: outputs times inputs",
}

VERSION = sys.modules["fastbp"].__version__
DEFINED = re.compile(r"^(?:static|INLINE) .*?\b(\w+)(?=[(\[])", re.MULTILINE)
PUBLIC = ("row", "said", "names", "prepare", "predict_row")  # where rows are raw


@dataclass
class Entry:
    """A function that others call.

    Attributes
    ----------
    name : str
        Without what all names begin with.
    takes : list of (str, int)
        Names and sizes of its arrays, the last of which it writes.
    calls : str
        The function that does it.
    said : str
        What it does.
    """

    name: str
    takes: list[tuple[str, int]]
    calls: str
    said: str
    derivative: bool = False
    flush: bool = True

    def signature(self, prefix: str, number: str) -> str:
        """Its declaration."""
        *given, (out, _) = self.takes
        arrays = [f"const {number} *{name}" for name, _ in given] + [f"{number} *{out}"]
        return f"void {prefix}_{self.name}({', '.join(arrays)})"


class CFile:
    """A model in C.

    Parameters
    ----------
    model : Model
    name : str
        What names begin with.
    """

    def __init__(self, model: Model, name: str, derivatives: bool, casadi: bool, numbers: Collection[str] = ()) -> None:
        self.model, self.name, self.casadi = model, name, casadi
        self.real = model.dtype.name
        self.number = REALS[self.real]
        self.text = Source(self.real)
        self.inputs, self.outputs = model.spans[-1].stop, model.net.outputs
        self.entries: list[Entry] = []
        self.work: dict[str, int] = {}
        self.tables = SaidRows(self.text, model, tables_of(model, numbers), name) if model.recipes else None
        if model.joined:
            if derivatives:
                must = "must be False for several members, of whose predictions together C has no derivatives"
                raise ConfigError("casadi" if casadi else "jacobian", must, "`True`")
            self._members()
        else:
            self._network(derivatives)
        self.proof = Proof(model, self.entries, self.tables)
        self._check_names()

    def _check_names(self) -> None:
        """Refuse a name by which something would be what the file has already."""
        own = "\n".join([*(part.text() for part in self.text.parts), self.proof.text(self.name, self.number)])
        public = {f"{self.name}_{entry.name}" for entry in self.entries}
        public |= {f"{self.name}_{what}" for what in PUBLIC} if self.tables is not None else set()
        public |= {f"{before}{self.name}" for before in casadi.NAMES} if self.casadi else set()
        taken = public & set(DEFINED.findall(own))
        if taken:
            raise ConfigError("name", f"must not make names that the file has, as `{min(taken)}`", f"`{self.name}`")

    def _members(self) -> None:
        """Functions of each member, and one that asks them all."""
        asked: list[str] = []
        most = 0
        for i, member in enumerate(self.model.members):
            with member.net.lock:
                rows = Rows(self.text, member.net, f"m{i}_")
                own = rows.predict()
            most = max(most, rows.work[own])
            asked.append(f"m{i}")
            first = self.model.spans[member.way].start
            body = f"    FLUSH\n    {own}({f'x + {first}' if first else 'x'}, z);\n    RESTORE\n"
            self.text.function(f"static void m{i}(const real *x, real *z)\n{{\n{body}}}\n")
        together = Together(self.text, self.model, asked)
        self.outputs = sum(together.predicted)
        lines = together.write_prediction()
        self.text.function(lines)
        said = "y, the mean of what the members predict for x: probabilities or numbers"
        self.entries.append(Entry("predict", [("x", self.inputs), ("y", self.outputs)], "predicted", said, flush=False))
        self.work["predict"] = most + together.bytes // self.model.dtype.itemsize

    def _network(self, derivatives: bool) -> None:
        net = self.model.net
        with net.lock:
            rows = Rows(self.text, net)
            x, y = ("x", self.inputs), ("y", self.outputs)
            said = "y, what the network says of x"
            self.entries.append(Entry("predict", [x, y], rows.predict(), said))
            if derivatives:
                self.text.begin()
                u, v, dx, ty = ("u", y[1]), ("v", x[1]), ("dx", x[1]), ("ty", y[1])
                for kind, takes in {"vjp": [x, u, dx], "jvp": [x, v, ty]}.items():
                    self.entries.append(Entry(kind, takes, rows.product(kind), DERIVATIVES[kind], True))
                whole = ("jacobian", x[1] * y[1])
                self.entries.append(Entry("jacobian", [x, whole], rows.jacobian(), DERIVATIVES["jacobian"], True))
        self.work = {entry.name: rows.work[entry.calls] for entry in self.entries}

    # The file.

    def source(self, header: str) -> str:
        """The C file; `header` is the name of the other."""
        upper = self.name.upper()
        body = [part.text() for part in self.text.parts]
        parts = [
            f"/* Written by fastbp {VERSION}; see {header}. */",
            f'#include "{header}"\n\n#include <math.h>\n#include <stdint.h>\n#include <string.h>\n{prelude.PRELUDE}',
            f"#ifdef {upper}_STATIC\n#define WORK static\n#else\n#define WORK\n#endif\n\n{real_names(self.real)}",
            prelude.FLUSH.format(upper=upper).lstrip(),
        ]
        if any("bits_of(" in one for one in body):
            parts.append(prelude.BITS.format(real=self.number, integer=INTEGERS[self.real]).lstrip())
        for i, one in enumerate(body):
            own = [self._entry(entry) for entry in self.entries if entry.derivative == bool(i)]
            block = "\n".join([one, *own])
            parts.append(block if i == 0 else f"#ifndef {upper}_NO_DERIVATIVES\n{block}\n#endif\n")
        if self.casadi:
            parts.append(casadi.functions(self.name, self.inputs, self.outputs))
        if self.tables is not None:
            parts.append(self.tables.defined())
        parts.append(self.proof.text(self.name, self.number))
        return "\n".join(parts)

    def _entry(self, entry: Entry) -> str:
        given = ", ".join(name for name, _ in entry.takes)
        signature = entry.signature(self.name, self.number)
        call = f"{entry.calls}({given});"
        body = f"    FLUSH\n    {call}\n    RESTORE\n" if entry.flush else f"    {call}\n"
        return f"{signature}\n{{\n{body}}}\n"

    def header(self) -> str:
        """The header."""
        upper = self.name.upper()
        size = self.model.dtype.itemsize
        derived = [entry for entry in self.entries if entry.derivative]
        declared = [
            f"/* {entry.said}. */\n{entry.signature(self.name, self.number)};"
            for entry in self.entries
            if not entry.derivative
        ]
        if derived:
            more = "\n".join(f"/* {one.said}. */\n{one.signature(self.name, self.number)};" for one in derived)
            declared.append(f"#ifndef {upper}_NO_DERIVATIVES\n{more}\n#endif")
        if self.tables is not None:
            declared.append(self.tables.declared())
        arrays = ", ".join(f"{entry.name} {self.work[entry.name] * size}" for entry in self.entries)
        rest = f", and {self.text.parts[1].bytes} of derivatives" if derived else ""
        if self.tables is not None:
            arrays += f", predict_row {(self.inputs + self.outputs) * size} more"
        without = f"   -D{upper}_NO_DERIVATIVES       only predictions\n" if derived else ""
        sizes = [f"#define {upper}_INPUTS {self.inputs}", f"#define {upper}_OUTPUTS {self.outputs}"]
        included = "" if self.tables is None else "\n#include <stdint.h>\n"
        return f"""/* Written by fastbp {VERSION}.

{self._columns()}
   Constants (ROM): {self.text.parts[0].bytes} bytes{rest}.
   Arrays on the stack (RAM), bytes: {arrays}; besides what a compiler
   keeps there. Arrays of arguments must not overlap.

   Compile with -ffp-contract=off and link with -lm: numbers are those of `predict`, to the bit.

   -D{upper}_SELF_TEST            a program that compares stored rows, bit by bit
   -D{upper}_STATIC               arrays are static instead: one call at a time
   -D{upper}_KEEP_SUBNORMALS      subnormal numbers are not zero, where the processor knows them
{without}*/
#ifndef {upper}_H
#define {upper}_H
{included}
{chr(10).join(sizes)}

#ifdef __cplusplus
extern "C" {{
#endif

{chr(10).join(declared)}

#ifdef __cplusplus
}}
#endif

#endif
"""

    def _columns(self) -> str:
        """What stands in x and y."""
        ways = [(f"way {i + 1}", span.stop - span.start) for i, span in enumerate(self.model.spans)]
        names = [name for name, _ in self.model.outputs]
        widths = predicted_widths(self.model) if self.model.joined else self.model.net.graph.splits
        inputs, outputs = self.model.inputs if len(ways) == 1 else ways, list(zip(names, widths, strict=True))
        lines = [f"   x: {_spans(inputs)} of type {self.number}", f"   y: {_spans(outputs)} of type {self.number}"]
        for column, count in self.model.codes.items():
            lines.append(f"   x[{column}] is a code from 0 to {count - 1}; y is NaN for any other")
        return "\n".join(lines) + "\n"


def _spans(named: Sequence[tuple[str, int]]) -> str:
    """How many numbers there are, or of several arrays side by side where each stands."""
    at, spans = 0, []
    for label, width in named:
        spans.append(f"{remark(label)} {at}..{at + width - 1}" if len(named) > 1 else str(width))
        at += width
    return ", ".join(spans)
