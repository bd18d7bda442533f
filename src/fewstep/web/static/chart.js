// A line chart in SVG: curves with bands and error bars, told apart by colour, dash and label, read by pointer, arrow
// keys or as a table; drawn anew as its curves grow, whoever reads it goes on where they were.
import { make } from "./shell.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 260, LEFT = 54, RIGHT = 14, TOP = 12, BOTTOM = 38;
const MOST_ROWS = 400; // of its table, the last ones

export class Chart {
  /** `format(value, isShort)` writes a value of y; `log` draws y logarithmically. */
  constructor({ title, format, log = false, unit = "updates" }) {
    Object.assign(this, { title, format, log, unit, lines: [], reads: null });
    this.svg = shape("svg", { class: "chart", height: HEIGHT, tabindex: 0, role: "application", "aria-roledescription": "chart" });
    this.legend = make("ul", { class: "legend" });
    this.readout = make("p", { class: "readout faint" }, "\u00a0");
    this.numbers = make("div", { class: "numbers", tabindex: 0, role: "group", "aria-label": `${title}, as a table` });
    this.details = make("details", {}, make("summary", {}, "As a table"), this.numbers);
    this.element = make("figure", { class: "plot" }, make("figcaption", {}, title), this.legend, this.svg, this.readout, this.details);
    this.details.addEventListener("toggle", () => this.tabulate());
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.read(null));
    this.svg.addEventListener("keydown", (event) => this.step(event));
    this.svg.addEventListener("blur", () => this.read(null));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  /** Shows `lines`: {label, kind: 0 … 5, points: [[x, y]], band: [[x, low, high]], errors: [[x, y, half]]}. */
  update(lines) {
    this.lines = lines.filter((line) => line.points.length);
    this.xs = [...new Set(this.lines.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
    this.legend.replaceChildren(...this.lines.map(keyOf));
    const last = this.lines.map((line) => `${line.label}: last ${this.format(line.points.at(-1)[1])}`);
    this.svg.setAttribute("aria-label", `${this.title}. ${last.join("; ")}. Arrow keys read it.`);
    this.tabulate();
    this.draw();
  }

  draw() {
    const width = Math.max(this.element.clientWidth, 240);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`); // in CSS pixels, so that words keep their size
    this.frame = frameOf(this.lines, this.log, width);
    this.cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.svg.replaceChildren(...axes(this.frame, this.format, this.unit), ...this.lines.flatMap((line) => drawn(this.frame, line)), this.cursor);
    if (this.reads !== null) this.read(this.reads);
  }

  /** Puts the cursor at an x and writes the values there; null takes it away. */
  read(x, aloud = false) {
    this.reads = x;
    this.cursor.setAttribute("visibility", x === null ? "hidden" : "visible");
    if (aloud) this.readout.setAttribute("aria-live", "polite");
    else this.readout.removeAttribute("aria-live");
    if (x === null) {
      this.readout.textContent = "\u00a0";
      return;
    }
    this.cursor.setAttribute("x1", this.frame.x(x));
    this.cursor.setAttribute("x2", this.frame.x(x));
    const values = this.lines.map((line) => `${line.label} ${this.format(nearest(line.points, x)[1])}`);
    this.readout.textContent = `${this.unit.replace(/s$/, "")} ${spaced(x)}: ${values.join(" · ")}`;
  }

  point(event) {
    if (!this.xs?.length) return;
    const box = this.svg.getBoundingClientRect();
    const x = ((event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT)) * this.frame.most;
    this.read(this.xs.reduce((best, value) => (Math.abs(value - x) < Math.abs(best - x) ? value : best)));
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (by === undefined || !this.xs?.length) return;
    event.preventDefault();
    const last = this.xs.length - 1, now = this.reads === null ? last : this.xs.indexOf(nearest(this.xs.map((x) => [x]), this.reads)[0]);
    this.read(this.xs[Math.min(Math.max(now + by, 0), last)], true);
  }

  tabulate() {
    if (!this.details.open) {
      this.numbers.replaceChildren();
      return;
    }
    const { scrollTop } = this.numbers;
    this.numbers.replaceChildren(...this.lines.map((line) => tableOf(line, this.format, this.unit)));
    this.numbers.scrollTop = scrollTop;
  }
}

function frameOf(lines, log, width) {
  const xs = lines.flatMap((line) => line.points.map(([x]) => x));
  const ys = lines.flatMap((line) => [...line.points.map(([, y]) => y), ...(line.errors ?? []).flatMap(([, y, half]) => [y - half, y + half])]);
  const usable = log ? ys.filter((y) => y > 0) : ys;
  let [low, high] = usable.length ? [Math.min(...usable), Math.max(...usable)] : [0.1, 1];
  if (log) [low, high] = [low / 1.15, high * 1.15];
  else {
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    [low, high] = [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }
  const scale = log ? Math.log : (value) => value;
  const [from, to] = [scale(low), scale(high)], most = Math.max(1, ...xs);
  return {
    most, low, high, log, width,
    x: (value) => LEFT + (value / most) * (width - LEFT - RIGHT),
    y: (value) => HEIGHT - BOTTOM - ((scale(Math.min(Math.max(value, low), high)) - from) / (to - from)) * (HEIGHT - TOP - BOTTOM),
  };
}

function axes(frame, format, unit) {
  const right = frame.width - RIGHT;
  const across = (frame.log ? decades(frame.low, frame.high) : ticks(frame.low, frame.high, 5)).flatMap((value) => [
    shape("line", { class: "grid", x1: LEFT, x2: right, y1: frame.y(value), y2: frame.y(value) }),
    word(format(value, true), LEFT - 8, frame.y(value) + 4, "end"),
  ]);
  const along = ticks(0, frame.most, frame.width / 110).filter(Number.isInteger).map((value) =>
    word(spaced(value), frame.x(value), HEIGHT - BOTTOM + 18, value > 0.95 * frame.most ? "end" : "middle"));
  return [...across, ...along, word(unit, (LEFT + right) / 2, HEIGHT - 4, "middle")];
}

function drawn(frame, line) {
  const at = ([x, y]) => `${frame.x(x).toFixed(1)} ${frame.y(y).toFixed(1)}`, shapes = [];
  if (line.band?.length) {
    const outline = [...line.band.map(([x, , high]) => [x, high]), ...line.band.map(([x, low]) => [x, low]).reverse()];
    shapes.push(shape("path", { class: `band kind${line.kind}`, d: `M${outline.map(at).join("L")}Z` }));
  }
  for (const [x, y, half] of line.errors ?? []) {
    shapes.push(shape("line", { class: `error kind${line.kind}`, x1: frame.x(x), x2: frame.x(x), y1: frame.y(y - half), y2: frame.y(y + half) }));
    shapes.push(shape("circle", { class: `dot kind${line.kind}`, cx: frame.x(x), cy: frame.y(y), r: 2.6 }));
  }
  if (line.points.length === 1) shapes.push(shape("circle", { class: `dot kind${line.kind}`, cx: frame.x(line.points[0][0]), cy: frame.y(line.points[0][1]), r: 2.6 }));
  return [...shapes, shape("path", { class: `line kind${line.kind}`, d: `M${line.points.map(at).join("L")}` })];
}

function keyOf(line) {
  const key = shape("svg", { viewBox: "0 0 30 10", class: "key", "aria-hidden": "true" });
  key.append(shape("path", { class: `line kind${line.kind}`, d: "M1 5H29" }));
  return make("li", {}, key, line.label);
}

function tableOf(line, format, unit) {
  const half = new Map((line.errors ?? []).map(([x, , value]) => [x, ` ± ${format(value)}`]));
  const rows = line.points.slice(-MOST_ROWS).map(([x, y]) => make("tr", {}, make("td", {}, spaced(x)), make("td", {}, format(y) + (half.get(x) ?? ""))));
  const heads = [unit, "value"].map((text) => make("th", { scope: "col" }, text));
  return make("table", {}, make("caption", {}, line.label), make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}

function nearest(points, x) {
  return points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) if (factor * 10 ** power >= low && factor * 10 ** power <= high) found.push(Number((factor * 10 ** power).toPrecision(6)));
  }
  return found.length > 1 ? found : ticks(low, high, 4); // of a short way up, too
}

/** 16 000 with a thin space. */
export const spaced = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u2009");

function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function word(text, x, y, anchor) {
  const element = shape("text", { x, y, "text-anchor": anchor });
  element.textContent = text;
  return element;
}
