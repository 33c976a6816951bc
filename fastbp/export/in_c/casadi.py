"""The functions by which CasADi's `external` calls a network, and acados with it.

A function f is named with those that say its sizes and sparsity, which is dense. Its derivatives are functions of their
own that CasADi finds by name; they take what f takes and gives, and then a tangent or cotangent:

    jac_f      the Jacobian, column by column
    fwd1_f     J v, one tangent
    adj1_f     uᵀ J, one cotangent

Numbers are doubles there, so a network of floats rounds what it is given.
"""

from __future__ import annotations

NAMES = ("", "jac_", "fwd1_", "adj1_")  # before that of the network

PRELUDE = """
#ifdef __cplusplus
extern "C" {
#endif

#ifndef casadi_real
#define casadi_real double
#endif
#ifndef casadi_int
#define casadi_int long long int
#endif
"""

ABOUT = """
casadi_int {f}_n_in(void) {{ return {n_in}; }}
casadi_int {f}_n_out(void) {{ return 1; }}
const char *{f}_name_in(casadi_int i)
{{
    static const char *const names[{n_in}] = {{{names}}};
    return i >= 0 && i < {n_in} ? names[i] : 0;
}}
const char *{f}_name_out(casadi_int i) {{ return i == 0 ? "{out}" : 0; }}
const casadi_int *{f}_sparsity_in(casadi_int i)
{{
    static const casadi_int shapes[{n_in}][4] = {{{shapes}}};
    return i >= 0 && i < {n_in} ? shapes[i] : 0;
}}
const casadi_int *{f}_sparsity_out(casadi_int i)
{{
    static const casadi_int shape[4] = {{{rows}, {columns}, 1, 0}};
    return i == 0 ? shape : 0;
}}
int {f}_work(casadi_int *arg, casadi_int *res, casadi_int *iw, casadi_int *w)
{{
    if (arg)
        *arg = {n_in};
    if (res)
        *res = 1;
    if (iw)
        *iw = 0;
    if (w)
        *w = 0;
    return 0;
}}
int {f}_alloc_mem(void) {{ return 0; }}
int {f}_init_mem(int mem) {{ (void)mem; return 0; }}
void {f}_free_mem(int mem) {{ (void)mem; }}
int {f}_checkout(void) {{ return 0; }}
void {f}_release(int mem) {{ (void)mem; }}
void {f}_incref(void) {{}}
void {f}_decref(void) {{}}
"""


def functions(name: str, inputs: int, outputs: int) -> str:
    """All of them, for a network whose functions begin with this name."""
    x, y, given = ("x", inputs, False), ("y", outputs, False), ("out_y", outputs, True)
    parts = [
        PRELUDE.lstrip(),
        _function(name, f"{name}_predict", [x], ("y", outputs, 1)),
        _function(f"jac_{name}", f"{name}_jacobian", [x, given], ("jac_y_x", outputs, inputs)),
        _function(f"fwd1_{name}", f"{name}_jvp", [x, given, ("fwd_x", inputs, False)], ("fwd_y", outputs, 1)),
        _function(f"adj1_{name}", f"{name}_vjp", [x, given, ("adj_y", y[1], False)], ("adj_x", inputs, 1)),
        "#ifdef __cplusplus\n}\n#endif\n",
    ]
    return "\n".join(parts)


def _function(f: str, calls: str, takes: list[tuple[str, int, bool]], gives: tuple[str, int, int]) -> str:
    """One function; what it takes is a name, a size, and whether it is not looked at."""
    out, rows, columns = gives
    lines, found = [], []
    for i, (name, size, unread) in enumerate(takes):
        if unread:
            continue
        lines += [f"real {name}[{size}];", f"for (int i = 0; i < {size}; i++)"]
        lines.append(f"    {name}[i] = arg[{i}] ? (real)arg[{i}][i] : ZERO;")
        found.append(name)
    lines += [f"real {out}[{rows * columns}];", f"{calls}({', '.join([*found, out])});"]
    if columns == 1:
        lines += [f"for (int i = 0; res[0] && i < {rows}; i++)", f"    res[0][i] = {out}[i];"]
    else:
        lines += [
            f"for (int i = 0; res[0] && i < {rows}; i++)",
            f"    for (int j = 0; j < {columns}; j++)",
            f"        res[0][i + j * {rows}] = {out}[i * {columns} + j];",
        ]
    lines += ["(void)iw;", "(void)w;", "(void)mem;", "return 0;"]
    body = "".join(f"    {line}\n" for line in lines)
    shapes = ", ".join(f"{{{size}, 1, {0 if unread else 1}, 0}}" for _, size, unread in takes)
    names = ", ".join(f'"{name}"' for name, _, _ in takes)
    about = ABOUT.format(f=f, n_in=len(takes), names=names, shapes=shapes, out=out, rows=rows, columns=columns)
    signature = f"int {f}(const casadi_real **arg, casadi_real **res, casadi_int *iw, casadi_real *w, int mem)"
    return f"{signature}\n{{\n{body}}}\n{about}"
