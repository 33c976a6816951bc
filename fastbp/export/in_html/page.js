"use strict";

const byId = (id) => document.getElementById(id);
const columns = page.columns;
const values = columns.map((column) => column.value);
const MOST = 12; // outputs and columns that are shown at once
const QUICK = 25; // milliseconds in which everything is drawn at once, else pictures wait for a pause
const PAUSE = 150; // milliseconds
let focused = Math.max(0, columns.findIndex((column) => column.kind === "number"));
let chosen = -1; // the output that is looked at, -1: of classes the most probable
let waiting = false;
let paused = 0; // a timer
let points = 64; // of a curve

// The model

/** A row as the model takes it. */
function rowOf(of) {
  return page.rows === "named" ? Object.fromEntries(columns.map((column, i) => [column.name, given(of[i])])) : of.map(given);
}

function given(value) {
  return value === null && page.rows !== "named" ? NaN : value;
}

/** The numbers or probabilities that are predicted. */
function saidOf(of) {
  const found = model.predict(rowOf(of));
  if (page.rows !== "plain") return page.keys.map((key) => found[key]);
  return Array.isArray(found) ? found.flatMap((one) => Array.from(one)) : Array.from(found);
}

/** For each output its slope in each column, null where it has none. */
function slopesOf(of) {
  if (page.rows === "plain") {
    return model.jacobian(rowOf(of)).map((row) => columns.map((c, i) => (c.kind === "number" ? row[i] : null)));
  }
  const found = model.sensitivities(rowOf(of));
  const names = model.columns.map((column) => column.name);
  return page.keys.map((key) => columns.map((_, i) => found[key][names[i]] ?? null));
}

// Elements

function made(kind, attributes = {}, ...children) {
  const of = kind === "svg" || kind.startsWith("svg:") ? "http://www.w3.org/2000/svg" : null;
  const element = of ? document.createElementNS(of, kind.replace("svg:", "")) : document.createElement(kind);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function shown(number) {
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (number < 0) return `−${shown(size)}`;
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return number.toExponential(2);
  const digits = size >= 1e4 ? Math.ceil(Math.log10(size)) : 4;
  return number.toLocaleString("en-US", { maximumSignificantDigits: digits, useGrouping: size >= 1e4 });
}

function percent(p) {
  return `${(100 * p).toFixed(1)} %`;
}

const saidAs = (number) => (page.task === "numbers" ? shown(number) : percent(number));

// Fields

function field(column, i) {
  const id = `field${i}`;
  const label = made("label", { for: id }, column.name);
  const set = (value) => {
    values[i] = value;
    look(i);
    later();
  };
  const box = made("div", { class: "field", onfocusin: () => look(i), onpointerdown: () => look(i) }, label);
  if (column.kind === "number") {
    const exact = made("input", { id, type: "number", step: "any", required: !column.missing });
    const slider = made("input", {
      type: "range", min: column.low, max: column.high, step: column.step, "aria-label": `${column.name}, slider`,
    });
    exact.placeholder = column.missing ? "missing" : "";
    exact.addEventListener("input", () => {
      if (exact.validity.badInput) return;
      if (exact.value !== "") slider.value = exact.value;
      if (exact.value !== "" || column.missing) set(exact.value === "" ? null : Number(exact.value));
    });
    slider.addEventListener("input", () => {
      exact.value = slider.value;
      set(Number(slider.value));
    });
    column.put = (value) => {
      exact.value = slider.value = value;
    };
    box.append(exact, slider, made("div", { class: "ends", "aria-hidden": "true" },
      made("span", {}, shown(column.low)), made("span", {}, shown(column.high))));
  } else if (column.kind === "category") {
    const list = column.options.map((option, k) => made("option", { value: k }, option.label));
    const select = made("select", { id, onchange: () => set(column.options[select.selectedIndex].value) }, ...list);
    column.put = (value) => {
      select.selectedIndex = column.options.findIndex((option) => option.value === value);
    };
    box.append(select);
  } else {
    const kind = { date: "date", time: "datetime-local", free: "number" }[column.kind];
    const entry = column.kind === "words" ? made("textarea", { id }) : made("input", { id, type: kind, step: "any" });
    entry.addEventListener("input", () => {
      if (entry.value === "" && column.missing === false) return;
      set(entry.value === "" ? null : column.kind === "free" ? Number(entry.value) : entry.value);
    });
    column.put = (value) => {
      entry.value = column.kind === "time" && value && value.length === 10 ? `${value}T12:00` : value ?? "";
    };
    box.append(entry);
  }
  column.put(column.value);
  column.box = box;
  return box;
}

function look(i) {
  if (focused !== i) later();
  focused = i;
  columns.forEach((column, k) => column.box.classList.toggle("seen", k === i));
}

function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}

// What is said

/** Draws the prediction, and its pictures: at once if that is quick, else after a pause. */
function draw() {
  clearTimeout(paused);
  const began = performance.now();
  let said;
  try {
    said = saidOf(values);
  } catch (error) {
    byId("problem").textContent = error.message;
    byId("problem").hidden = false;
    byId("said").replaceChildren();
    byId("curve-section").hidden = byId("slopes-section").hidden = true;
    return;
  }
  const each = Math.max(performance.now() - began, 0.05);
  const best = said.reduce((top, one, k) => (one > said[top] ? k : top), 0);
  const k = chosen >= 0 ? chosen : page.task === "classes" ? best : 0;
  byId("problem").hidden = true;
  drawSaid(said, k, best);
  points = Math.round(Math.min(64, Math.max(16, (8 * QUICK) / each)));
  const pictures = () => {
    const slopes = slopesOf(values)[k];
    drawCurve(said, k, slopes[focused]);
    drawSlopes(slopes, k);
  };
  if (each * (points + 2 * said.length) < QUICK) pictures();
  else paused = setTimeout(pictures, PAUSE);
}

function drawSaid(said, k, best) {
  const several = said.length > 1;
  const parts = [];
  if (page.task === "numbers") {
    if (!several) parts.push(numberOf(said, 0));
    else parts.push(bars(said, k, said.map((_, i) => i).slice(0, 8 * MOST)));
  } else {
    if (page.task === "classes") parts.push(made("p", { class: "best" }, page.names[best]));
    const order = said.map((_, i) => i);
    if (said.length > MOST) order.sort((i, j) => said[j] - said[i]);
    parts.push(bars(said, k, order.slice(0, MOST)));
    if (said.length > MOST) parts.push(made("p", { class: "note" }, `and ${said.length - MOST} more`));
  }
  byId("said").replaceChildren(...parts);
}

function numberOf(said, i) {
  const parts = [made("strong", {}, shown(said[i]))];
  if (page.names[i] !== "y") parts.unshift(made("span", {}, page.names[i]));
  if (page.rows === "named") {
    const found = model.predict(rowOf(values));
    const name = page.keys[i];
    if (`${name} deviation` in found) parts.push(made("span", {}, `± ${shown(found[`${name} deviation`])}`));
    if (`${name} low` in found) {
      parts.push(made("span", {}, `${shown(found[`${name} low`])} to ${shown(found[`${name} high`])}`));
    }
  }
  return made("div", { class: "number" }, ...parts);
}

/** Outputs as bars, which are buttons that choose what is looked at. */
function bars(said, k, order) {
  const top = page.task === "numbers" ? Math.max(...said.map(Math.abs), 1e-300) : 1;
  const both = page.task === "numbers" && said.some((one) => one < 0);
  const rows = order.map((i) => {
    const choose = () => {
      chosen = i;
      draw();
      byId("said").querySelector("[aria-pressed=true]")?.focus();
    };
    const row = { class: "row", type: "button", "aria-pressed": String(i === k), onclick: choose, title: page.names[i] };
    return made("button", row, made("span", { class: "name" }, page.names[i]), bar(said[i] / top, both),
      made("span", { class: "value" }, saidAs(said[i])));
  });
  return made("div", { class: "rows" }, ...rows);
}

function bar(part, both) {
  const length = Math.min(1, Math.abs(part)) * (both ? 50 : 100);
  const fill = made("i", { class: part < 0 ? "down" : "" });
  fill.style.width = `${length}%`;
  if (both) fill.style.left = part < 0 ? `${50 - length}%` : "50%";
  return made("span", { class: both ? "bar both" : "bar", "aria-hidden": "true" }, fill);
}

function drawSlopes(slopes, k) {
  const found = columns.map((column, i) => ({ column, slope: slopes[i] }))
    .filter(({ column, slope }) => slope !== null && column.kind === "number")
    .map((one) => ({ ...one, change: (one.slope * (one.column.high - one.column.low)) / 10 }));
  found.sort((a, b) => Math.abs(b.change) - Math.abs(a.change));
  byId("slopes-section").hidden = !found.length;
  byId("slopes-title").textContent = `What moves ${page.task === "numbers" ? page.names[k] : `“${page.names[k]}”`}`;
  const top = Math.max(...found.map(({ change }) => Math.abs(change)), 1e-300);
  const rows = found.slice(0, MOST).map(({ column, slope, change }) => {
    const unit = page.task === "numbers" ? signed(slope) : `${signed(100 * slope)} pp`;
    return made("div", { class: "row", title: `${column.name}: ${unit} for 1` }, made("span", { class: "name" }, column.name),
      bar(change / top, true), made("span", { class: "value" }, unit));
  });
  byId("slopes").replaceChildren(made("div", { class: "rows" }, ...rows));
}

const signed = (number) => (number > 0 ? "+" : "") + shown(number);

// What it would be elsewhere

function drawCurve(said, k, slope) {
  const column = columns[focused];
  const known = column && (column.kind === "number" || column.kind === "category");
  byId("curve-section").hidden = !known;
  if (!known) return;
  const what = page.task === "numbers" ? page.names[k] : `“${page.names[k]}”`;
  byId("curve-title").textContent = `${what} by ${column.name}`;
  const at = (value) => {
    const moved = values.slice();
    moved[focused] = value;
    try {
      return saidOf(moved)[k];
    } catch {
      return NaN;
    }
  };
  byId("curve").replaceChildren(column.kind === "number" ? curve(column, at, said[k], slope) : options(column, at));
}

function options(column, at) {
  const found = column.options.slice(0, 3 * MOST).map((option) => [option, at(option.value)]);
  const top = page.task === "numbers" ? Math.max(...found.map(([, y]) => Math.abs(y)), 1e-300) : 1;
  const both = found.some(([, y]) => y < 0);
  const rows = found.map(([option, y]) => {
    const here = option.value === values[focused];
    const choose = () => {
      column.put(option.value);
      values[focused] = option.value;
      draw();
      byId("curve").querySelector("[aria-pressed=true]")?.focus();
    };
    return made("button", { class: "row", type: "button", "aria-pressed": String(here), onclick: choose, title: option.label },
      made("span", { class: "name" }, option.label), bar(y / top, both), made("span", { class: "value" }, saidAs(y)));
  });
  return made("div", { class: "rows" }, ...rows);
}

/** Round numbers from below `least` to above `most`, about four steps apart. */
function ticks(least, most) {
  const wanted = (most - least) / 4;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= wanted * 0.999);
  const first = Math.floor(least / step + 1e-9), last = Math.ceil(most / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function curve(column, at, now, slope) {
  const here = values[focused];
  const low = Math.min(column.low, here ?? column.low), high = Math.max(column.high, here ?? column.high);
  const xs = Array.from({ length: points + 1 }, (_, i) => low + ((high - low) * i) / points);
  const ys = xs.map(at);
  const there = [...ys.filter(Number.isFinite), now];
  const [down, up] = page.task === "numbers" ? [Math.min(...there), Math.max(...there)] : [0, 1];
  const marks = page.task === "numbers" ? (down < up ? ticks(down, up) : [down - 1, down, down + 1]) : [0, 0.25, 0.5, 0.75, 1];
  const [least, most] = [marks[0], marks[marks.length - 1]];
  const as = (y) => (page.task === "numbers" ? shown(Math.abs(y) < (most - least) * 1e-9 ? 0 : y) : `${100 * y} %`);
  const [width, height] = [Math.max(260, byId("curve").clientWidth), 230];
  const [left, right, top, bottom] = [14 + 7 * Math.max(...marks.map((y) => as(y).length)), 10, 10, 28];
  const X = (x) => left + ((width - left - right) * (x - low)) / (high - low);
  const Y = (y) => height - bottom - ((height - bottom - top) * (y - least)) / (most - least);
  const about = `${byId("curve-title").textContent}: ${saidAs(ys[0])} at ${shown(low)}, ${saidAs(ys[points])} at ${shown(high)}`;
  const picture = made("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": about });
  for (const y of marks) {
    picture.append(made("svg:line", { class: "grid", x1: left, x2: width - right, y1: Y(y), y2: Y(y) }));
    picture.append(made("svg:text", { x: left - 8, y: Y(y) + 4, "text-anchor": "end" }, as(y)));
  }
  for (const [x, anchor] of [[low, "start"], [(low + high) / 2, "middle"], [high, "end"]]) {
    picture.append(made("svg:text", { x: X(x), y: height - 6, "text-anchor": anchor }, shown(x)));
  }
  const line = xs.map((x, i) => [X(x), Y(ys[i])]).filter(([, y]) => Number.isFinite(y));
  const drawn = line.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  picture.append(made("svg:polyline", { class: "line", points: drawn }));
  if (here === null) return picture;
  if (slope !== null && slope !== 0) {
    // the tangent, as far as it is within the picture
    const reach = Math.min((high - low) / 6, ...[least, most].map((end) => Math.abs((end - now) / slope) || Infinity));
    const ends = { x1: X(here - reach), y1: Y(now - slope * reach), x2: X(here + reach), y2: Y(now + slope * reach) };
    picture.append(made("svg:line", { class: "tangent", ...ends }));
  }
  picture.append(made("svg:circle", { class: "here", cx: X(here), cy: Y(now), r: 6 }));
  return picture;
}

// The page

byId("about").textContent = page.about;
byId("slopes-note").textContent =
  "Exact derivatives at this row: bars are the change for a tenth of a column's range, numbers that for 1 of its units" +
  (page.task === "numbers" ? "." : ", in percentage points.");
byId("fields").append(...columns.map(field));
byId("search").hidden = columns.length <= MOST;
byId("filter").addEventListener("input", () => {
  const wanted = byId("filter").value.trim().toLowerCase();
  for (const column of columns) column.box.hidden = !column.name.toLowerCase().includes(wanted);
});
byId("inputs").addEventListener("submit", (event) => event.preventDefault());
byId("inputs").addEventListener("reset", (event) => {
  event.preventDefault();
  columns.forEach((column, i) => {
    values[i] = column.value;
    column.put(column.value);
  });
  chosen = -1;
  draw();
});
window.addEventListener("resize", later);
if (columns.length) look(focused);
draw();
