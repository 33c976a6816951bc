"""C of the kernels that are more than a formula of numbers: the same arithmetic in the same order, of one row.

Lines of LANES numbers are summed as the kernels sum them: number n goes to lane n % LANES, from the left, and the lanes
through the tree (i, i + LANES / 2). Vectors run along outputs, so every output of a product is one chain of fused
multiply-adds in the order of its inputs, whatever a compiler makes of the loops.
"""

from __future__ import annotations

# What a file begins with, behind its includes; `real`, FMA and SQRT are of the network's dtype.
PRELUDE = """
#if defined(__FAST_MATH__)
#error "must be compiled without -ffast-math, which computes other numbers"
#endif
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "must be compiled for a processor that rounds float and double as such, such as x86-64 or with -msse2"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
#if defined(__GNUC__)
#define RESTRICT __restrict
#define APART __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#else
#define RESTRICT
#define APART
#define INLINE static inline
#endif
"""

# Subnormals count as zero in predictions, so they do here, where a processor can be told.
FLUSH = """
#if !defined({upper}_KEEP_SUBNORMALS) && defined(__GNUC__) && defined(__SSE__)
#define FLUSH const unsigned before = __builtin_ia32_stmxcsr(); __builtin_ia32_ldmxcsr(before | 0x8040u);
#define RESTORE __builtin_ia32_ldmxcsr(before);
#elif !defined({upper}_KEEP_SUBNORMALS) && defined(__GNUC__) && defined(__aarch64__)
#define READ "mrs %0, fpcr"
#define WRITE "msr fpcr, %0"
typedef uint64_t control_word;
#elif !defined({upper}_KEEP_SUBNORMALS) && defined(__GNUC__) && defined(__arm__) && defined(__ARM_FP)
#define READ "vmrs %0, fpscr"
#define WRITE "vmsr fpscr, %0"
typedef uint32_t control_word;
#endif
#if defined(READ)
static inline control_word control(void)
{{
    control_word found;
    __asm__ __volatile__(READ : "=r"(found));
    return found;
}}
#define FLUSH const control_word before = control(); \\
    __asm__ __volatile__(WRITE : : "r"(before | (1u << 24)) : "memory");
#define RESTORE __asm__ __volatile__(WRITE : : "r"(before) : "memory");
#elif !defined(FLUSH)
#define FLUSH
#define RESTORE
#endif
"""

BITS = """
static inline {integer} bits_of({real} x)
{{
    union {{ {real} number; {integer} bits; }} both;
    both.number = x;
    return both.bits;
}}

static inline {real} real_of({integer} x)
{{
    union {{ {real} number; {integer} bits; }} both;
    both.bits = x;
    return both.number;
}}
"""

NEEDS: dict[str, tuple[str, ...]] = {}
TEXTS: dict[str, str] = {}


def _add(name: str, text: str, *needs: str) -> None:
    TEXTS[name], NEEDS[name] = text.strip("\n") + "\n", needs


_add(
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
_add(
    "product",
    """
/* `count` outputs from the first of z on: start + x W, W one row of `outputs` numbers for each input. */
INLINE void columns(const real *RESTRICT x, const real *RESTRICT w, const real *RESTRICT start, int inputs,
                    int outputs, int count, real *RESTRICT z)
{
    real sum[BLOCK];
    for (int j = 0; j < count; j++)
        sum[j] = start ? start[j] : ZERO;
    for (int i = 0; i < inputs; i++) {
        const real *const row = w + (long)i * outputs;
        for (int j = 0; j < count; j++)
            sum[j] = FMA(x[i], row[j], sum[j]);
    }
    for (int j = 0; j < count; j++)
        z[j] = sum[j];
}

static void product(const real *RESTRICT x, const real *RESTRICT w, const real *RESTRICT start, int inputs,
                    int outputs, real *RESTRICT z)
{
    int o = 0;
    for (; o + BLOCK <= outputs; o += BLOCK)
        columns(x, w + o, start ? start + o : 0, inputs, outputs, BLOCK, z + o);
    if (o + BLOCK / 2 <= outputs) {
        columns(x, w + o, start ? start + o : 0, inputs, outputs, BLOCK / 2, z + o);
        o += BLOCK / 2;
    }
    if (o + BLOCK / 4 <= outputs) {
        columns(x, w + o, start ? start + o : 0, inputs, outputs, BLOCK / 4, z + o);
        o += BLOCK / 4;
    }
    if (o + BLOCK / 8 <= outputs) {
        columns(x, w + o, start ? start + o : 0, inputs, outputs, BLOCK / 8, z + o);
        o += BLOCK / 8;
    }
    for (; o < outputs; o++)
        columns(x, w + o, start ? start + o : 0, inputs, outputs, 1, z + o);
}
""",
)
_add(
    "relu_in_place",
    """
static void relu_in_place(real *z, int width)
{
    for (int n = 0; n < width; n++)
        z[n] = z[n] <= ZERO ? ZERO : z[n];
}
""",
)
_add(
    "mask_in_place",
    """
static void mask_in_place(const real *RESTRICT y, real *RESTRICT z, int width)
{
    for (int n = 0; n < width; n++)
        z[n] = y[n] > ZERO ? z[n] : ZERO;
}
""",
)
_add(
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
_add(
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
_add(
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
_add(
    "larger",
    """
static inline real larger(real x, real y)
{
    return x != x ? x : x >= y ? x : y;
}
""",
)
_add(
    "largest_of",
    """
static real largest_of(const real *x, int width)
{
    real lanes[LANES];
    for (int i = 0; i < LANES; i++)
        lanes[i] = -INFINITY;
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
_add(
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
_add(
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
_add(
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
_add(
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
_add(
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
_add(
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
_add(
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
_add(
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
_add(
    "normalised",
    """
static void normalised(const real *RESTRICT x, const real *mean, const real *r, int width, real *RESTRICT n)
{
    for (int i = 0; i < width; i++)
        n[i] = (x[i] - mean[i]) * r[i];
}
""",
)
_add(
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
_add(
    "prelu",
    """
static void prelu(const real *d, const real *x, const real *gain, int shared, int width, real *y)
{
    for (int i = 0; i < width; i++)
        y[i] = x[i] > ZERO ? d[i] : d[i] * gain[shared ? 0 : i];
}
""",
)
_add(
    "parametric",
    """
static void parametric(const real *x, const real *f, const real *gain, int shared, int width, real *y)
{
    for (int i = 0; i < width; i++)
        y[i] = FMA(f[i] - x[i], gain[shared ? 0 : i], x[i]);
}
""",
)
_add(
    "copy",
    """
static void copy(const real *x, int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = x[i];
}
""",
)
_add(
    "clear",
    """
static void clear(int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = ZERO;
}
""",
)
_add(
    "repeat",
    """
static void repeat(real x, int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = x;
}
""",
)
_add(
    "embedded",
    """
/* The row of a table that a code says; NaN for a code that is none. */
static void embedded(real code, const real *table, int rows, int width, real *y)
{
    const int known = code >= ZERO && code < (real)rows;
    const real *const row = table + (known ? (long)code : 0) * width;
    for (int i = 0; i < width; i++)
        y[i] = known ? row[i] : NAN;
}
""",
)
_add(
    "risen",
    """
/* How far x has come through each bin: from where it is, its width, from where and up to where it rises. */
static void risen(real x, const real *bins, int count, real *y)
{
    for (int i = 0; i < count; i++) {
        const real first = bins[i], width = bins[count + i], low = bins[2 * count + i], high = bins[3 * count + i];
        y[i] = x < low ? ZERO : x >= high ? ONE : (x - first) / width;
    }
}
""",
)
_add(
    "rising",
    """
/* t times the slope of each bin at x. */
static inline real rising(real t, real x, real width, real low, real high)
{
    return x < low ? ZERO : x >= high ? ZERO : x != x ? x : t / width;
}
""",
)
_add(
    "bins_vjp",
    """
/* The sum of what comes back through the bins of one line; `lane` is that of the first. */
static real bins_vjp(const real *d, real x, const real *bins, int count, int lane)
{
    real lanes[LANES] = {ZERO};
    for (int i = 0; i < count; i++)
        lanes[lane + i] = rising(d[i], x, bins[count + i], bins[2 * count + i], bins[3 * count + i]);
    return total(lanes);
}
""",
    "rising",
    "total",
)
_add(
    "bins_jvp",
    """
static void bins_jvp(real t, real x, const real *bins, int count, real *y)
{
    for (int i = 0; i < count; i++)
        y[i] = rising(t, x, bins[count + i], bins[2 * count + i], bins[3 * count + i]);
}
""",
    "rising",
)
_add(
    "said_together",
    """
/* The mean of what has been said so far, with these numbers of a weight; `total` is the sum of all weights. */
static void said_together(const double *said, int count, double weight, double total, double *mean)
{
    for (int i = 0; i < count; i++)
        mean[i] = mean[i] + (said[i] - mean[i]) * weight / total;
}
""",
)
