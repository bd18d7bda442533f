// A line chart in SVG: curves with bands and error bars, told apart by colour, dash and label, read by pointer or arrows.
import { make } from "./shell.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = Math.min(720, Math.max(300, document.documentElement.clientWidth - 40)), HEIGHT = 280; // so that words keep their size
const LEFT = 56, RIGHT = 14, TOP = 12, BOTTOM = 38;

/** A figure with a chart of `lines`: {label, kind: 0 … 5, points: [[x, y]], band: [[x, low, high]], errors: [[x, y, ci]]}.
 *  `format` writes a value of y; `log` draws y logarithmically; `title` names the chart for those who hear it. */
export function chart({ title, lines, format, log = false, unit = "updates" }) {
  const drawn = lines.filter((line) => line.points.length);
  const frame = frameOf(drawn, log);
  const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", tabindex: 0, role: "img" });
  svg.setAttribute("aria-label", `${title}. ${drawn.map((line) => `${line.label}: last ${format(line.points.at(-1)[1])}`).join("; ")}. Arrow keys read it.`);
  drawAxes(svg, frame, format, unit);
  for (const line of drawn) drawLine(svg, frame, line);
  const readout = make("p", { class: "readout faint" }, "\u00a0");
  readable(svg, frame, drawn, format, unit, readout);
  return make("figure", { class: "plot" }, make("figcaption", {}, title), legend(drawn), svg, readout, table(drawn, format, unit));
}

function frameOf(lines, log) {
  const xs = lines.flatMap((line) => line.points.map(([x]) => x));
  const ys = lines.flatMap((line) => [...line.points.map(([, y]) => y), ...(line.errors ?? []).flatMap(([, y, ci]) => [y - ci, y + ci])]);
  const usable = log ? ys.filter((y) => y > 0) : ys;
  let [low, high] = [Math.min(...usable), Math.max(...usable)];
  const most = Math.max(1, ...xs);
  if (!usable.length) [low, high] = log ? [0.1, 1] : [0, 1];
  if (log) [low, high] = [low / 1.15, high * 1.15];
  else {
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    [low, high] = [low >= 0 ? Math.max(0, low - room) : low - room, high + room];
  }
  const scale = log ? Math.log : (value) => value;
  const [from, to] = [scale(low), scale(high)];
  return {
    most, low, high, log,
    x: (value) => LEFT + (value / most) * (WIDTH - LEFT - RIGHT),
    y: (value) => HEIGHT - BOTTOM - ((scale(Math.min(Math.max(value, low), high)) - from) / (to - from)) * (HEIGHT - TOP - BOTTOM),
  };
}

function drawAxes(svg, frame, format, unit) {
  for (const value of frame.log ? decades(frame.low, frame.high) : ticks(frame.low, frame.high, 5)) {
    svg.append(shape("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: frame.y(value), y2: frame.y(value) }));
    svg.append(word(format(value, true), LEFT - 8, frame.y(value) + 4, "end"));
  }
  for (const value of ticks(0, frame.most, WIDTH / 110).filter(Number.isInteger)) {
    svg.append(word(spaced(value), frame.x(value), HEIGHT - BOTTOM + 18, value > 0.95 * frame.most ? "end" : "middle"));
  }
  svg.append(word(unit, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "middle"));
}

function drawLine(svg, frame, line) {
  const at = ([x, y]) => `${frame.x(x).toFixed(1)} ${frame.y(y).toFixed(1)}`;
  if (line.band?.length) {
    const outline = [...line.band.map(([x, , high]) => [x, high]), ...line.band.map(([x, low]) => [x, low]).reverse()];
    svg.append(shape("path", { class: `band kind${line.kind}`, d: `M${outline.map(at).join("L")}Z` }));
  }
  for (const [x, y, ci] of line.errors ?? []) {
    svg.append(shape("line", { class: `error kind${line.kind}`, x1: frame.x(x), x2: frame.x(x), y1: frame.y(y - ci), y2: frame.y(y + ci) }));
    svg.append(shape("circle", { class: `dot kind${line.kind}`, cx: frame.x(x), cy: frame.y(y), r: 2.6 }));
  }
  svg.append(shape("path", { class: `line kind${line.kind}`, d: `M${line.points.map(at).join("L")}` }));
}

function readable(svg, frame, lines, format, unit, readout) {
  const xs = [...new Set(lines.flatMap((line) => line.points.map(([x]) => x)))].sort((a, b) => a - b);
  const cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  svg.append(cursor);
  let index = xs.length - 1;
  const show = (aloud) => {
    const x = xs[index];
    cursor.setAttribute("x1", frame.x(x));
    cursor.setAttribute("x2", frame.x(x));
    cursor.setAttribute("visibility", "visible");
    const values = lines.map((line) => [line.label, nearest(line.points, x)]).filter(([, y]) => y !== undefined);
    readout.textContent = `${unit.replace(/s$/, "")} ${spaced(x)}: ${values.map(([label, y]) => `${label} ${format(y)}`).join(" · ")}`;
    if (aloud) readout.setAttribute("aria-live", "polite");
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * frame.most;
    index = xs.reduce((best, value, i) => (Math.abs(value - x) < Math.abs(xs[best] - x) ? i : best), 0);
    if (xs.length) show(false);
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -xs.length, End: xs.length }[event.key];
    if (step === undefined || !xs.length) return;
    event.preventDefault();
    index = Math.min(Math.max(index + step, 0), xs.length - 1);
    show(true);
  });
}

function nearest(points, x) {
  return points.reduce((best, point) => (best === undefined || Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best), undefined)?.[1];
}

function legend(lines) {
  return make("ul", { class: "legend" }, ...lines.map((line) => {
    const key = shape("svg", { viewBox: "0 0 30 10", class: "key", "aria-hidden": "true" });
    key.append(shape("path", { class: `line kind${line.kind}`, d: "M1 5H29" }));
    return make("li", {}, key, line.label);
  }));
}

function table(lines, format, unit) {
  const rows = (line) => line.points.slice(-400).map(([x, y]) => make("tr", {}, make("td", {}, spaced(x)), make("td", {}, format(y))));
  const tables = lines.map((line) => make("table", {}, make("caption", {}, line.label),
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, unit), make("th", { scope: "col" }, "value"))), make("tbody", {}, ...rows(line))));
  const box = make("div", { class: "numbers" });
  const details = make("details", {}, make("summary", {}, "As a table"), box);
  details.addEventListener("toggle", () => details.open ? box.replaceChildren(...tables) : box.replaceChildren());
  return details;
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
  return found;
}

const spaced = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u2009");

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
