"""C of kernels that make several columns of one, and of what members say together; see `library.py`."""

from __future__ import annotations

NEEDS: dict[str, tuple[str, ...]] = {}
TEXTS: dict[str, str] = {}


def enter(name: str, text: str, *needs: str) -> None:
    """Enter a function, and those that it calls."""
    TEXTS[name], NEEDS[name] = text.strip("\n") + "\n", needs


enter(
    "embedded",
    """
/* The row of a table that a code says; NaN for a code that is none. */
static void embedded(real code, const real *table, int rows, int width, real *y)
{
    const int known = code >= ZERO && code < (real)rows;
    const real *const row = table + (known ? (long)code : 0) * width;
    for (int i = 0; i < width; i++)
        y[i] = known ? row[i] : (real)NAN;
}
""",
)
enter(
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
enter(
    "rising",
    """
/* t times the slope of each bin at x. */
static inline real rising(real t, real x, real width, real low, real high)
{
    return x < low ? ZERO : x >= high ? ZERO : x != x ? x : t / width;
}
""",
)
enter(
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
enter(
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
enter(
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
