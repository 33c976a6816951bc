"""The functions of one network: what they compute of one row, as steps of its plans."""

from __future__ import annotations

import re

from fastbp.export.in_c.calls import Calls
from fastbp.export.in_c.program import Program, Step, program_of
from fastbp.export.in_c.source import Source
from fastbp.model.network import Network


class Rows:
    """Writes the functions of a network into a source.

    Parameters
    ----------
    prefix : str
        Before the names of functions, such as that of a member.

    Attributes
    ----------
    work : dict of str to int
        Numbers that each function has for itself while it runs.
    """

    def __init__(self, source: Source, net: Network, prefix: str = "") -> None:
        self.source, self.net, self.prefix = source, net, prefix
        self.work: dict[str, int] = {}

    def predict(self) -> str:
        """``void predict_row(const real *x, real *out)``; returns the name."""
        program, calls = self._begin("predict")
        return self._function("predict_row", "const real *x, real *out", program, self._steps(calls, program))

    def product(self, kind: str) -> str:
        """``void vjp_row(const real *x, const real *given, real *out)``, or that of jvp."""
        program, calls = self._begin(kind)
        taken = "const real *x, const real *given, real *out"
        return self._function(f"{kind}_row", taken, program, self._steps(calls, program))

    def jacobian(self) -> str:
        """``void jacobian_row(const real *x, real *jacobian)``, by rows or by columns as `Network.jacobian` does."""
        inputs, outputs = self.net.inputs, self.net.outputs
        forward = inputs < outputs
        program, calls = self._begin("jvp" if forward else "vjp")
        size = inputs if forward else outputs
        lines = [*self._lines(calls, program.before), f"for (int n = 0; n < {size}; n++) {{"]
        if not forward:
            lines.append(f"    real *const out = jacobian + n * {inputs};")
        moving = self._lines(calls, program.within)
        lines += [f"    for (int i = 0; i < {size}; i++)", "        given[i] = i == n ? ONE : ZERO;"]
        lines += [f"    {line}" for line in moving]
        if not _has("\n".join(moving), "given"):
            lines.append("    (void)given;")
        if forward:
            lines += [f"    for (int m = 0; m < {outputs}; m++)", f"        jacobian[m * {inputs} + n] = out[m];"]
        more = {"given": size, **({"out": outputs} if forward else {})}
        text = [*self._arrays(calls, program, more), *lines, "}"]
        return self._function("jacobian_row", "const real *x, real *jacobian", program, text, sum(more.values()))

    def _begin(self, kind: str) -> tuple[Program, Calls]:
        program = program_of(self.net, kind)
        return program, Calls(self.source, program)

    @staticmethod
    def _lines(calls: Calls, steps: list[Step]) -> list[str]:
        return [line for step in steps for line in calls.of(step)]

    def _steps(self, calls: Calls, program: Program) -> list[str]:
        lines = self._lines(calls, [*program.before, *program.within])
        return [*self._arrays(calls, program, {}), *lines]

    @staticmethod
    def _arrays(calls: Calls, program: Program, more: dict[str, int]) -> list[str]:
        sizes = {**program.sizes, **more}
        return [
            *(f"WORK real {name}[{size}];" for name, size in sizes.items()),
            *(f"real {name};" for name in calls.sums.values()),
        ]

    def _function(self, name: str, taken: str, program: Program, lines: list[str], more: int = 0) -> str:
        name = self.prefix + name
        self.work[name] = sum(program.sizes.values()) + more
        body = "\n".join(lines)
        for one in ("x", "given"):
            if f"*{one}" in taken.replace(" *", "*") and not _has(body, one):
                lines = [*lines, f"(void){one};"]
        text = "".join(f"    {line}\n" for line in lines)
        self.source.function(f"static APART void {name}({taken})\n{{\n{text}}}\n")
        return name


def _has(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text) is not None
