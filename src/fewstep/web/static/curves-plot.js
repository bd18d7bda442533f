// The plot: axes, curves and points as SVG, in CSS pixels, so that text stays as large as the page's own.

const SVG = "http://www.w3.org/2000/svg";
export const RANGE = { x: [-5, 5], y: [-6, 6] };
const MARGIN = { left: 30, right: 78, top: 12, bottom: 26 };
const LABEL_GAP = 17;
const FAR = 100; // of a curve that runs away, no more than this is drawn

/** An SVG element: `draw("line", { class: "rule" })`. */
export function draw(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** `−1.25` with a true minus sign. */
export function numeral(value, digits = 2) {
  return value.toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace(/^-/, "");
}

export class Plot {
  constructor(parent, labels) {
    this.labels = labels;
    this.svg = draw("svg", {
      tabindex: 0, role: "application", "aria-label": "Plot of the points and curves", "aria-describedby": "keys",
    });
    const clip = draw("clipPath", { id: "inside" }, (this.clip = draw("rect")));
    this.axes = draw("g", { "aria-hidden": "true" });
    this.truth = draw("path", { class: "truth" });
    this.curves = draw("g");
    this.names = draw("g");
    this.hint = draw("text", { class: "hint" });
    this.cross = draw("path", { class: "cross" });
    this.points = draw("g");
    const drawn = draw("g", { "clip-path": "url(#inside)" }, this.truth, this.curves);
    const seen = draw("g", { "aria-hidden": "true" }, drawn, this.names, this.hint, this.cross);
    this.svg.append(draw("defs", {}, clip), this.axes, seen, this.points);
    parent.append(this.svg);
    this.resize(parent.clientWidth);
  }

  /** Where `x` and `y` lie, in pixels. */
  at(x, y) {
    const { left, top } = MARGIN;
    return [
      left + ((x - RANGE.x[0]) / (RANGE.x[1] - RANGE.x[0])) * this.width,
      top + ((RANGE.y[1] - y) / (RANGE.y[1] - RANGE.y[0])) * this.height,
    ];
  }

  /** The x and y under the pointer of an event. */
  under(event) {
    const box = this.svg.getBoundingClientRect();
    const x = RANGE.x[0] + ((event.clientX - box.left - MARGIN.left) / this.width) * (RANGE.x[1] - RANGE.x[0]);
    const y = RANGE.y[1] - ((event.clientY - box.top - MARGIN.top) / this.height) * (RANGE.y[1] - RANGE.y[0]);
    return { x, y };
  }

  resize(width) {
    const height = Math.round(Math.min(430, Math.max(300, width * 0.46)));
    this.width = Math.max(1, width - MARGIN.left - MARGIN.right); // there is none before the first layout
    this.height = height - MARGIN.top - MARGIN.bottom;
    this.svg.setAttribute("height", height);
    const box = { x: MARGIN.left, y: MARGIN.top, width: this.width, height: this.height };
    for (const [key, value] of Object.entries(box)) this.clip.setAttribute(key, value);
    this.#drawAxes();
  }

  #drawAxes() {
    const [left, bottom] = this.at(RANGE.x[0], RANGE.y[0]);
    const [right, top] = this.at(RANGE.x[1], RANGE.y[1]);
    const made = [];
    for (let x = -4; x <= 4; x += 2) {
      const [at] = this.at(x, 0);
      made.push(draw("line", { class: x ? "rule" : "rule zero", x1: at, x2: at, y1: top, y2: bottom }));
      made.push(draw("text", { x: at, y: bottom + 18, "text-anchor": "middle" }, numeral(x, 0)));
    }
    for (let y = -6; y <= 6; y += 2) {
      const [, at] = this.at(0, y);
      made.push(draw("line", { class: y ? "rule" : "rule zero", x1: left, x2: right, y1: at, y2: at }));
      made.push(draw("text", { x: left - 8, y: at + 4, "text-anchor": "end" }, numeral(y, 0)));
    }
    this.axes.replaceChildren(...made);
  }

  /** `shown`: a list of { learner, values } over `x`; `truth`: values, or null. */
  drawCurves(x, shown, truth) {
    this.truth.setAttribute("d", truth ? this.#path(x, truth) : "");
    this.curves.replaceChildren(
      ...shown.map(({ learner, values }) => draw("path", { class: `curve ${learner}`, d: this.#path(x, values) })),
    );
    const ends = shown.map(({ learner, values }) => ({ learner, y: this.at(5, values.at(-1))[1] }));
    this.names.replaceChildren(...this.#spread(ends).map(({ learner, y }) =>
      draw("text", { class: `label ${learner}`, x: this.at(5, 0)[0] + 8, y: y + 4 }, this.labels[learner])));
  }

  /** The labels at the ends of the curves, none over another. */
  #spread(ends) {
    const [, top] = this.at(0, RANGE.y[1]);
    const [, bottom] = this.at(0, RANGE.y[0]);
    const placed = ends.map((end) => ({ ...end, y: Math.min(bottom, Math.max(top, end.y)) })).sort((a, b) => a.y - b.y);
    for (let i = 1; i < placed.length; i++) placed[i].y = Math.max(placed[i].y, placed[i - 1].y + LABEL_GAP);
    for (let i = placed.length - 1, floor = bottom; i >= 0; i--, floor -= LABEL_GAP) {
      placed[i].y = Math.min(placed[i].y, floor);
    }
    return placed;
  }

  #path(x, values) {
    return values.map((value, i) => {
      const [across, down] = this.at(x[i], Math.max(-FAR, Math.min(FAR, value)));
      return `${i ? "L" : "M"}${across.toFixed(1)} ${down.toFixed(1)}`;
    }).join("");
  }

  drawHint(text) {
    const [across, down] = this.at(0, 3);
    this.hint.setAttribute("x", across);
    this.hint.setAttribute("y", down - 6);
    this.hint.textContent = text;
  }

  drawCross({ x, y }) {
    const [across, down] = this.at(x, y);
    this.cross.setAttribute("d", `M${across - 12} ${down}h24M${across} ${down - 12}v24`);
  }

  /** Elements of points that stay are kept, with their focus. */
  drawPoints(points) {
    const before = new Map([...this.points.children].map((element) => [element.dataset.id, element]));
    points.forEach(({ id, x, y }, i) => {
      const element = before.get(String(id)) ?? this.#newPoint(id);
      before.delete(String(id));
      const [across, down] = this.at(x, y);
      element.setAttribute("transform", `translate(${across.toFixed(1)} ${down.toFixed(1)})`);
      element.setAttribute("aria-label", `Point ${i + 1}: x ${numeral(x)}, y ${numeral(y)}`);
    });
    for (const gone of before.values()) gone.remove();
  }

  #newPoint(id) {
    const element = draw("g", { class: "point", "data-id": id, tabindex: 0, role: "button" },
      ...Object.entries({ reach: 18, ring: 12, dot: 6.5 }).map(([name, r]) => draw("circle", { class: name, r })));
    this.points.append(element);
    return element;
  }
}
