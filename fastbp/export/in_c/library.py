"""C of the kernels that are more than a formula of numbers: the same arithmetic in the same order, of one row.

Lines of LANES numbers are summed as the kernels sum them: number n goes to lane n % LANES, from the left, and the lanes
through the tree (i, i + LANES / 2). Vectors run along outputs, so every output of a product is one chain of fused
multiply-adds in the order of its inputs, whatever a compiler makes of the loops.
"""

from __future__ import annotations


def in_blocks(outputs: int, lanes: int) -> list[int]:
    """The widths of the blocks of columns in which `product` has weights."""
    found: list[int] = []
    for width in (2 * lanes, lanes, lanes // 2, lanes // 4, 1):
        rest = outputs - sum(found)
        found += [width] * (rest // width if width in (2 * lanes, 1) else int(rest >= width))
    return found


NEEDS: dict[str, tuple[str, ...]] = {}
TEXTS: dict[str, str] = {}


def enter(name: str, text: str, *needs: str) -> None:
    """Enter a function, and those that it calls."""
    TEXTS[name], NEEDS[name] = text.strip("\n") + "\n", needs


enter(
    "one",
    """
/* 1, of which a compiler knows nothing: x times it is a product, which brings a subnormal x to zero. */
static inline real one(void)
{
    static const volatile real number = ONE;
    return number;
}
""",
)
enter(
    "product",
    """
/* `count` outputs: start + x W, the numbers of W input by input, so many of each. */
INLINE void columns(const real *RESTRICT x, const real *RESTRICT w, const real *RESTRICT start, int inputs, int count,
                    real *RESTRICT z)
{
    real sum[BLOCK];
    for (int j = 0; j < count; j++)
        sum[j] = start ? start[j] : ZERO;
    for (int i = 0; i < inputs; i++, w += count)
        for (int j = 0; j < count; j++)
            sum[j] = FMA(x[i], w[j], sum[j]);
    for (int j = 0; j < count; j++)
        z[j] = sum[j];
}

/* z = start + x W, block of columns by block of columns; the last ones are narrower. */
static void product(const real *RESTRICT x, const real *RESTRICT w, const real *RESTRICT start, int inputs,
                    int outputs, real *RESTRICT z)
{
    int o = 0;
    for (; o + BLOCK <= outputs; o += BLOCK)
        columns(x, w + (long)o * inputs, start ? start + o : 0, inputs, BLOCK, z + o);
    if (o + BLOCK / 2 <= outputs) {
        columns(x, w + (long)o * inputs, start ? start + o : 0, inputs, BLOCK / 2, z + o);
        o += BLOCK / 2;
    }
    if (o + BLOCK / 4 <= outputs) {
        columns(x, w + (long)o * inputs, start ? start + o : 0, inputs, BLOCK / 4, z + o);
        o += BLOCK / 4;
    }
    if (o + BLOCK / 8 <= outputs) {
        columns(x, w + (long)o * inputs, start ? start + o : 0, inputs, BLOCK / 8, z + o);
        o += BLOCK / 8;
    }
    for (; o < outputs; o++)
        columns(x, w + (long)o * inputs, start ? start + o : 0, inputs, 1, z + o);
}
""",
)
enter(
    "relu_in_place",
    """
static void relu_in_place(real *z, int width)
{
    for (int n = 0; n < width; n++)
        z[n] = z[n] <= ZERO ? ZERO : z[n];
}
""",
)
enter(
    "mask_in_place",
    """
static void mask_in_place(const real *RESTRICT y, real *RESTRICT z, int width)
{
    for (int n = 0; n < width; n++)
        z[n] = y[n] > ZERO ? z[n] : ZERO;
}
""",
)
enter(
    "total",
    """
static real total(real *lanes)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = lanes[i] + lanes[i + half];
    return lanes[0];
}
""",
)
enter(
    "sum_of",
    """
static real sum_of(const real *x, int width)
{
    real lanes[LANES] = {ZERO};
    for (int n = 0; n < width; n++)
        lanes[n % LANES] = lanes[n % LANES] + x[n];
    return total(lanes);
}
""",
    "total",
)
enter(
    "sum_of_products",
    """
static real sum_of_products(const real *x, const real *y, int width)
{
    real lanes[LANES] = {ZERO};
    for (int n = 0; n < width; n++)
        lanes[n % LANES] = FMA(x[n], y[n], lanes[n % LANES]);
    return total(lanes);
}
""",
    "total",
)
enter(
    "larger",
    """
static inline real larger(real x, real y)
{
    return x != x ? x : x >= y ? x : y;
}
""",
)
enter(
    "largest_of",
    """
static real largest_of(const real *x, int width)
{
    real lanes[LANES];
    for (int i = 0; i < LANES; i++)
        lanes[i] = -(real)INFINITY;
    for (int n = 0; n < width; n++)
        lanes[n % LANES] = larger(lanes[n % LANES], x[n]);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            lanes[i] = larger(lanes[i], lanes[i + half]);
    return lanes[0];
}
""",
    "larger",
)
enter(
    "softmax_forward",
    """
static void softmax_forward(const real *x, int width, real *y)
{
    real lanes[LANES] = {ZERO};
    const real top = largest_of(x, width);
    for (int n = 0; n < width; n++)
        y[n] = exp_of(x[n] - top);
    for (int n = 0; n < width; n++)
        lanes[n % LANES] = lanes[n % LANES] + y[n];
    const real factor = ONE / total(lanes);
    for (int n = 0; n < width; n++)
        y[n] = y[n] * factor;
}
""",
    "largest_of",
    "total",
    "exp_of",
)
enter(
    "softmax_vjp",
    """
static void softmax_vjp(const real *dy, const real *y, int width, real *dx)
{
    const real s = sum_of_products(dy, y, width);
    for (int n = 0; n < width; n++)
        dx[n] = y[n] * (dy[n] - s);
}
""",
    "sum_of_products",
)
enter(
    "log_softmax_forward",
    """
static void log_softmax_forward(const real *x, int width, real *y)
{
    real lanes[LANES] = {ZERO};
    const real top = largest_of(x, width);
    for (int n = 0; n < width; n++)
        lanes[n % LANES] = lanes[n % LANES] + exp_of(x[n] - top);
    const real rest = log_of(total(lanes));
    for (int n = 0; n < width; n++)
        y[n] = x[n] - top - rest;
}
""",
    "largest_of",
    "total",
    "exp_of",
    "log_of",
)
enter(
    "log_softmax_vjp",
    """
static void log_softmax_vjp(const real *dy, const real *y, int width, real *dx)
{
    const real s = sum_of(dy, width);
    for (int n = 0; n < width; n++)
        dx[n] = FMA(-exp_of(y[n]), s, dy[n]);
}
""",
    "sum_of",
    "exp_of",
)
enter(
    "log_softmax_jvp",
    """
static void log_softmax_jvp(const real *tx, const real *y, int width, real *ty)
{
    real lanes[LANES] = {ZERO};
    for (int n = 0; n < width; n++)
        lanes[n % LANES] = FMA(exp_of(y[n]), tx[n], lanes[n % LANES]);
    const real s = total(lanes);
    for (int n = 0; n < width; n++)
        ty[n] = tx[n] - s;
}
""",
    "total",
    "exp_of",
)
enter(
    "affine",
    """
/* gain n + shift, as far as there are such. */
static void affine(const real *n, const real *gain, const real *shifts, int width, real *y)
{
    for (int i = 0; i < width; i++)
        y[i] = gain ? (shifts ? FMA(n[i], gain[i], shifts[i]) : n[i] * gain[i]) : (shifts ? n[i] + shifts[i] : n[i]);
}
""",
)
enter(
    "norm_forward",
    """
/* n = (x - mean) / sigma, of which the mean is 0 without `centre`; returns 1 / sigma. */
static real norm_forward(const real *x, int centre, double eps, real part, int width, real *n)
{
    real lanes[LANES] = {ZERO};
    const real mean = centre ? sum_of(x, width) * part : ZERO;
    for (int i = 0; i < width; i++) {
        const real d = x[i] - mean;
        lanes[i % LANES] = FMA(d, d, lanes[i % LANES]);
    }
    const double variance = (double)total(lanes) / width + eps;
    const real r = (real)(1.0 / sqrt(variance));
    for (int i = 0; i < width; i++)
        n[i] = (x[i] - mean) * r;
    return r;
}
""",
    "sum_of",
    "total",
)
enter(
    "norm_slope",
    """
/* r (u - mean u - n mean(u n)), u = d gain with `before`; else the result times the gain. */
static void norm_slope(const real *d, const real *n, const real *gain, int centre, int before, real part, real r,
                       int width, real *out)
{
    real sums[LANES] = {ZERO}, products[LANES] = {ZERO};
    for (int i = 0; i < width; i++) {
        const real u = before && gain ? d[i] * gain[i] : d[i];
        sums[i % LANES] = sums[i % LANES] + u;
        products[i % LANES] = FMA(u, n[i], products[i % LANES]);
    }
    const real mean = centre ? total(sums) * part : ZERO;
    const real share = total(products) * part;
    for (int i = 0; i < width; i++) {
        const real u = before && gain ? d[i] * gain[i] : d[i];
        const real moved = FMA(-n[i], share, u - mean) * r;
        out[i] = !before && gain ? moved * gain[i] : moved;
    }
}
""",
    "total",
)
enter(
    "normalised",
    """
static void normalised(const real *RESTRICT x, const real *mean, const real *r, int width, real *RESTRICT n)
{
    for (int i = 0; i < width; i++)
        n[i] = (x[i] - mean[i]) * r[i];
}
""",
)
enter(
    "scale",
    """
static void scale(const real *RESTRICT x, const real *gain, const real *shifts, int width, real *RESTRICT y)
{
    if (shifts)
        for (int i = 0; i < width; i++)
            y[i] = FMA(x[i], gain[i], shifts[i]);
    else
        for (int i = 0; i < width; i++)
            y[i] = x[i] * gain[i];
}
""",
)
enter(
    "prelu",
    """
static void prelu(const real *d, const real *x, const real *gain, int shared, int width, real *y)
{
    for (int i = 0; i < width; i++)
        y[i] = x[i] > ZERO ? d[i] : d[i] * gain[shared ? 0 : i];
}
""",
)
enter(
    "parametric",
    """
static void parametric(const real *x, const real *f, const real *gain, int shared, int width, real *y)
{
    for (int i = 0; i < width; i++)
        y[i] = FMA(f[i] - x[i], gain[shared ? 0 : i], x[i]);
}
""",
)
enter(
    "copy",
    """
static void copy(const real *x, int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = x[i];
}
""",
)
enter(
    "clear",
    """
static void clear(int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = ZERO;
}
""",
)
enter(
    "repeat",
    """
static void repeat(real x, int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = x;
}
""",
)
