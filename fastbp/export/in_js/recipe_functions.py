"""Functions of JavaScript by which exported recipes read and prepare a row; each stands in a file where it is used.

Functions call each other by name.
"""

from __future__ import annotations

import re

from fastbp.numerics.normal import FAR, MIDDLE, TAIL


def _polynomials(parts: tuple[list[float], list[float]]) -> str:
    return ", ".join(f"[{', '.join(map(repr, part))}]" for part in parts)


RECIPE_FUNCTIONS = {
    "arrayOf": """/** The numbers of a row, NaN where they are missing. */
function arrayOf(row, count) {
  if (row.length !== count) throw new RangeError(`a row must have ${count} numbers, got ${row.length}`);
  return Float64Array.from(row, (one) => one ?? NaN);
}""",
    "cellOf": """/** What a row has in a column; missing is null. */
function cellOf(row, name) {
  if (!Object.prototype.hasOwnProperty.call(row, name)) {
    throw new RangeError(`a row must have a column ${JSON.stringify(name)}`);
  }
  return row[name] ?? null;
}""",
    "numberOf": """/** A number of a row, NaN where it is missing. */
function numberOf(row, name, missing) {
  const value = cellOf(row, name);
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  const text = value === null ? "" : stripped(String(value));
  if (missing.has(text)) return NaN;
  if (/^(True|true|TRUE|False|false|FALSE)$/.test(text)) return text[0].toLowerCase() === "t" ? 1 : 0;
  if (!NUMBER.test(text)) {
    throw new RangeError(`${JSON.stringify(name)} must be a number, got ${JSON.stringify(value)}`);
  }
  return Number(text);
}""",
    "textOf": """/** A text of a row, empty where it is missing; numbers are written as Python does. */
function textOf(row, name) {
  const value = cellOf(row, name);
  if (value === null || Number.isNaN(value)) return "";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "number") return String(value);
  return Number.isInteger(value) ? BigInt(value).toString() : shortest(value);
}""",
    "momentOf": """/**
 * A date of a row as whole days since 1970 and microseconds of the day, null where it is missing. It is a `Date`, or
 * a text such as 2024-03-01 or 2024-03-01T10:15:30, without a zone or in UTC.
 */
function momentOf(row, name) {
  const value = cellOf(row, name);
  if (value === null || value === "") return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : moment(value.getTime() * 1000, 1);
  const found = MOMENT.exec(stripped(String(value)));
  const date = found && new Date(0);
  if (found) date.setUTCFullYear(Number(found[1]), Number(found[2]) - 1, Number(found[3]));
  const [hour, minute, second] = found ? [4, 5, 6].map((i) => Number(found[i] ?? 0)) : [0, 0, 0];
  if (!found || date.getUTCDate() !== Number(found[3]) || hour > 23 || minute > 59 || second > 59) {
    throw new RangeError(`${JSON.stringify(name)} must be a date such as 2024-03-01, got ${JSON.stringify(value)}`);
  }
  const rest = Number((found[7] ?? "").padEnd(6, "0").slice(0, 6));
  return { days: date.getTime() / 864e5, rest: ((hour * 60 + minute) * 60 + second) * 1e6 + rest };
}""",
    "finite": """/** Refuses infinite numbers, and missing ones unless there may be gaps. */
function finite(value, name, gaps) {
  if (value === Infinity || value === -Infinity || (!gaps && (value === null || Number.isNaN(value)))) {
    throw new RangeError(`${JSON.stringify(name)} must be ${gaps ? "finite or missing" : "a finite number"}`);
  }
}""",
    "softened": """/** c / √(1 + (c/3)²), and its slope times s. */
function softened(v, s) {
  const c = Math.min(Math.max(v, -1e100), 1e100);
  const under = Math.sqrt(1 + (c / 3) * (c / 3));
  return [c / under, s / (under * under * under)];
}""",
    "onLine": """/** Where v is on a line through points, which is level beyond both ends, and its slope times s. */
function onLine([places, levels], v, s) {
  const last = places.length - 1;
  if (Number.isNaN(v)) return [NaN, 0];
  if (v < places[0] || v >= places[last]) return [levels[v < places[0] ? 0 : last], 0];
  let low = 0;
  for (let high = last; high - low > 1; ) {
    const middle = (low + high) >> 1;
    if (places[middle] <= v) low = middle;
    else high = middle;
  }
  const width = places[low + 1] - places[low], height = levels[low + 1] - levels[low];
  const slope = height / width; // which may be larger than any number
  return [levels[low] + height * ((v - places[low]) / width), Number.isFinite(slope) ? slope * s : 0];
}""",
    "ranked": """/** The number below which a normal distribution has as much as training rows had below v. */
function ranked([left, right], edge, v, s) {
  const [up, first] = onLine(left, v, 0.5);
  const [down, second] = onLine(right, -v, 0.5);
  const p = 0.5 * (up + (1 - down));
  if (p < edge || p > 1 - edge) return [normal(p < edge ? edge : 1 - edge), 0];
  const found = normal(p);
  return [found, (first + second) * Math.sqrt(2 * Math.PI) * Math.exp((found * found) / 2) * s];
}""",
    "normal": f"""/** The inverse of the normal distribution's cumulative function, by Wichura's algorithm AS 241. */
function normal(p) {{
  const over = ([above, below], x) => horner(above, x) / horner(below, x);
  const horner = (a, x) => a.reduceRight((sum, one) => sum * x + one, 0);
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) return q * over([{_polynomials(MIDDLE)}], 0.180625 - q * q);
  const r = Math.sqrt(-Math.log(Math.min(p, 1 - p)));
  const tail =
    r <= 5
      ? over([{_polynomials(TAIL)}], r - 1.6)
      : over([{_polynomials(FAR)}], r - 5);
  return q < 0 ? -tail : tail;
}}""",
    "moment": """/** A number of steps since 1970, of so many microseconds, or of steps of 0 a date such as 20240301. */
function moment(v, step) {
  if (Number.isNaN(v)) return null;
  if (step === 0) {
    const date = new Date(0);
    date.setUTCFullYear(Math.trunc(v / 1e4), (Math.trunc(v / 100) % 100) - 1, Math.trunc(v) % 100);
    if (date.getUTCDate() !== Math.trunc(v) % 100) throw new RangeError(`a date must be as 20240301 is, got ${v}`);
    return { days: date.getTime() / 864e5, rest: 0 };
  }
  const down = Math.floor(v * step), over = v * step - down;
  const whole = over > 0.5 || (over === 0.5 && down % 2 !== 0) ? down + 1 : down;
  if (!(whole >= -719163 * 864e8 && whole <= 2932898 * 864e8)) {
    throw new RangeError("a date must be between the years 1 and 9999");
  }
  const rest = ((whole % 864e8) + 864e8) % 864e8;
  return { days: Math.round((whole - rest) / 864e8), rest };
}""",
    "partOf": """/** One number of a date, NaN where it is missing. */
function partOf(m, name, newest) {
  if (m === null) return NaN;
  if (name === "weekday") return (((m.days + 3) % 7) + 7) % 7;
  if (name === "hour") return m.rest / 36e8;
  if (name === "age") return newest.days - m.days + (newest.rest - m.rest) / 864e8;
  const date = new Date(m.days * 864e5);
  if (name === "year") return date.getUTCFullYear();
  return name === "month" ? date.getUTCMonth() + 1 : m.days - newYear(date, 0) + 1;
}""",
    "shareOf": """/** How much of the year, the week or the day is over, NaN where a date is missing. */
function shareOf(m, name) {
  if (m === null) return NaN;
  if (name === "weekday") return ((((m.days + 3) % 7) + 7) % 7) / 7;
  if (name === "hour") return m.rest / 36e8 / 24;
  const date = new Date(m.days * 864e5);
  if (name === "month") return date.getUTCMonth() / 12;
  return (m.days - newYear(date, 0)) / (newYear(date, 1) - newYear(date, 0));
}""",
    "newYear": """/** The first day of a date's year, or of so many years later, in days since 1970. */
function newYear(date, later) {
  return new Date(0).setUTCFullYear(date.getUTCFullYear() + later, 0, 1) / 864e5;
}""",
    "keyOf": """/** The text that stands for another, null if it is missing. */
function keyOf(text, missing, byValue, words) {
  text = stripped(text);
  if (missing.has(text)) return null;
  if (byValue && NUMBER.test(text)) {
    const found = Number(text);
    if (/^[-+]?\\d{1,300}(\\.0*)?$/.test(text)) text = BigInt(text.replace(/\\..*/, "")).toString();
    else text = Number.isInteger(found) && Math.abs(found) < 2 ** 53 ? String(found) : shortest(found);
  }
  return words.get(text) ?? text;
}""",
    "shortest": """/** A number as Python writes it, but for whole ones. */
function shortest(v) {
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "nan" : v > 0 ? "inf" : "-inf";
  const [digits, power] = v.toExponential().split("e");
  const e = Number(power);
  if (e < -4 || e >= 16) return `${digits}e${e < 0 ? "-" : "+"}${String(Math.abs(e)).padStart(2, "0")}`;
  return Number.isInteger(v) ? `${v}.0` : String(v);
}""",
    "words": """/** How often words occur in a text, in as many columns as there are weights. */
function words(text, missing, weights, norm) {
  const found = new Float64Array(weights.length);
  if (missing.has(stripped(text))) return found;
  for (const word of text.toLowerCase().match(/[\\p{L}\\p{N}]+(?:'[\\p{L}\\p{N}]+)*/gu) ?? []) {
    let crc = -1;
    for (const byte of new TextEncoder().encode(word)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
    found[(~crc >>> 0) % weights.length]++;
  }
  for (let i = 0; i < found.length; i++) if (found[i]) found[i] = weights[i] * (1 + Math.log(found[i]));
  const length = Math.sqrt(found.reduce((sum, one) => sum + one * one, 0));
  return length ? found.map((one) => (norm * one) / length) : found;
}""",
    "stripped": """/** A text without the spaces around. */
function stripped(text) {
  return text.replace(/^[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+/, "")
    .replace(/[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+$/, "");
}""",
    "NUMBER": "const NUMBER = /^[-+]?(?:\\d+\\.?\\d*|\\.\\d+)(?:[eE][-+]?\\d+)?$/;",
    "MOMENT": (
        "const MOMENT =\n"
        "  /^(\\d{4})-(\\d\\d)-(\\d\\d)(?:[T ](\\d\\d):(\\d\\d)(?::(\\d\\d)(?:\\.(\\d{1,9}))?)?)?(?: ?Z)?$/;"
    ),
}


def used(text: str) -> list[str]:
    """What a text names of these, and what that names."""
    found: set[str] = set()
    left = [text]
    while left:
        now = left.pop()
        for name in RECIPE_FUNCTIONS:
            if name not in found and re.search(rf"(?<![\w.]){name}(?=[(.])", now):
                found.add(name)
                left.append(RECIPE_FUNCTIONS[name])
    return [RECIPE_FUNCTIONS[name] for name in RECIPE_FUNCTIONS if name in found]
