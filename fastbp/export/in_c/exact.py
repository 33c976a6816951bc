"""C of `fastbp.numerics`: functions of float64 by nothing but + - * / and `ldexp`, each rounded by itself."""

from __future__ import annotations

from collections.abc import Sequence

from fastbp.export.in_c.terms import literal
from fastbp.numerics import exact, normal

NEEDS: dict[str, tuple[str, ...]] = {}
TEXTS: dict[str, str] = {}


def number(value: float) -> str:
    """A float64 in C."""
    return literal(value, "float64")


def _series(coefficients: Sequence[float], x: str = "z") -> list[str]:
    """Statements for c₀ + c₁ x + c₂ x² + ... in `s`."""
    *lower, last = coefficients
    return [f"double s = {number(last)};", *(f"s = s * {x} + {number(c)};" for c in reversed(lower))]


def _add(name: str, signature: str, lines: Sequence[str], *needs: str) -> None:
    body = "".join(f"    {line}\n" for line in lines)
    TEXTS[name], NEEDS[name] = f"static {signature}\n{{\n{body}}}\n", needs


BEYOND = number(exact.BEYOND)
_add(
    "exact_exp",
    "double exact_exp(double x)",
    [
        f"const double limited = x > {BEYOND} ? {BEYOND} : x < -{BEYOND} ? -{BEYOND} : x;",
        f"const double near = rint(limited * {number(exact.LOG2_E)});",
        "const double n = near == near ? near : 0.0;",
        f"const double y = (limited - n * {number(exact.LN2_HIGH)}) - n * {number(exact.LN2_LOW)};",
        *_series(exact.EXP, "y"),
        "return ldexp(1.0 + (y + y * y * s), (int)n);",
    ],
)
_add(
    "exact_log",
    "double exact_log(double x)",
    [
        "int whole;",
        "const double part = frexp(x, &whole);",
        f"const int small = part < {number(exact.SQRT_HALF)};",
        "const double k = small ? whole - 1.0 : whole, f = (small ? 2.0 * part : part) - 1.0;",
        "const double t = f / (2.0 + f), z = t * t, half = 0.5 * f * f;",
        *_series(exact.ATANH),
        "const double terms = half - t * (half + z * s);",
        f"return k * {number(exact.LN2_HIGH)} - ((terms - k * {number(exact.LN2_LOW)}) - f);",
    ],
)
_add(
    "exact_sigmoid",
    "double exact_sigmoid(double z)",
    ["const double small = exact_exp(-fabs(z));", "return (z < 0.0 ? small : 1.0) / (1.0 + small);"],
    "exact_exp",
)
_add(
    "exact_softmax",
    "void exact_softmax(const double *z, int count, double *p)",
    [
        "double top = z[0], sum = 0.0;",
        "for (int i = 1; i < count; i++)",
        "    top = z[i] > top || z[i] != z[i] ? z[i] : top;",
        "for (int i = 0; i < count; i++) {",
        "    p[i] = exact_exp(z[i] - top);",
        "    sum = i ? sum + p[i] : p[i];",
        "}",
        "for (int i = 0; i < count; i++)",
        "    p[i] = p[i] / sum;",
    ],
    "exact_exp",
)
_add(
    "exact_turns",
    "double exact_turns(double x, int sine)",
    [
        "const double rest = x - rint(x), quarter = rint(4.0 * rest);",
        f"const double t = (rest - 0.25 * quarter) * {number(exact.TWO_PI)}, z = t * t;",
        *_series(exact.SIN),
        "const double si = t + t * z * s;",
        *[line.replace("double s =", "s =") for line in _series(exact.COS)],
        "const double co = 1.0 - (0.5 * z - z * z * s);",
        "const int odd = fabs(quarter) == 1.0;",
        "if (sine)",
        "    return (odd ? quarter * co : quarter == 0.0 ? si : -si) + 0.0;",
        "return (odd ? (quarter < 0.0 ? 1.0 : -1.0) * si : quarter == 0.0 ? co : -co) + 0.0;",
    ],
)


def _rational(parts: tuple[list[float], list[float]]) -> list[str]:
    """Statements that return one sum over another, in `over` and `under`."""
    lines = ["double over = 0.0, under = 0.0;"]
    for above, below in zip(reversed(parts[0]), reversed(parts[1]), strict=True):
        lines += [f"over = over * x + {number(above)};", f"under = under * x + {number(below)};"]
    return [*lines, "return over / under;"]


for _name, _parts in {"middle": normal.MIDDLE, "tail": normal.TAIL, "far": normal.FAR}.items():
    _add(f"quantile_{_name}", f"double quantile_{_name}(double x)", _rational(_parts))
_add(
    "exact_quantile",
    "double exact_quantile(double p)",
    [
        "const double q = p - 0.5;",
        "if (fabs(q) <= 0.425)",
        "    return q * quantile_middle(0.180625 - q * q);",
        "const double other = 1.0 - p, r = sqrt(-exact_log(p < other ? p : other));",
        "const double tail = r <= 5.0 ? quantile_tail(r - 1.6) : quantile_far(r - 5.0);",
        "return q < 0.0 ? -tail : tail;",
    ],
    "exact_log",
    "quantile_middle",
    "quantile_tail",
    "quantile_far",
)
