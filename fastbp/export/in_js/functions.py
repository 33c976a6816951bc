"""Functions of JavaScript that exported models call, each of which stands in a file where it is used."""

from __future__ import annotations

FUNCTIONS = {
    "relu": "function relu(x) {\n  return x <= 0 ? 0 : x;\n}",
    "sigmoid": "function sigmoid(x) {\n  return 1 / (1 + Math.exp(-x));\n}",
    "softplus": "function softplus(x) {\n  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));\n}",
    "erf": """/** 2/√π ∫₀ˣ exp(-t²) dt: by its series, and far from 0 by a continued fraction of the rest. */
function erf(x) {
  const a = Math.abs(x);
  if (!(a < 6)) return a >= 6 ? Math.sign(x) : x;
  const bell = Math.exp(-a * a) / Math.sqrt(Math.PI);
  let found = 0;
  if (a < 2.5) {
    for (let n = 0, term = 2 * bell * a; term > 1e-18 * found; n++, term *= (2 * a * a) / (2 * n + 1)) found += term;
  } else {
    let rest = a;
    for (let n = 60; n > 0; n--) rest = a + n / 2 / rest;
    found = 1 - bell / rest;
  }
  return Math.sign(x) * found;
}""",
    "product": """/** z = x y, of matrices row by row; x has `inner` columns, y has `columns`. */
function product(z, x, y, rows, inner, columns) {
  z.fill(0);
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < inner; i++) {
      const a = x[r * inner + i];
      for (let c = 0; c < columns; c++) z[r * columns + c] += a * y[i * columns + c];
    }
  }
}""",
    "productTransposed": """/** z = x yᵀ, of matrices row by row; both have `inner` columns, z has `columns`. */
function productTransposed(z, x, y, rows, inner, columns) {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let i = 0; i < inner; i++) sum += x[r * inner + i] * y[c * inner + i];
      z[r * columns + c] = sum;
    }
  }
}""",
}
