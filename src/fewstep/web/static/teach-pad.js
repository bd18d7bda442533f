// A pad to draw on, with its buttons. A drawing is { strokes } in units of the pad's side, or { picture }: a canvas.

import { make } from "./shell.js";
import { encoded, inked, pictured } from "./teach-ink.js";

const SVG = "http://www.w3.org/2000/svg";

export const blank = () => ({ strokes: [], picture: null });
export const isBlank = ({ strokes, picture }) => !strokes.length && !picture;
export const canvasOf = ({ strokes, picture }) => picture ?? inked(strokes);
export const imageOf = (drawing) => encoded(canvasOf(drawing));

/** A drawing as it was drawn, an SVG. */
export function show(svg, { strokes, picture }) {
  svg.replaceChildren(...(picture ? [shape("image", { href: picture.toDataURL(), width: 1, height: 1 })] : []));
  for (const stroke of strokes) svg.append(shape("path", { d: path(stroke) }));
}

export function sheet(attributes = {}) {
  return shape("svg", { viewBox: "0 0 1 1", ...attributes });
}

export class Pad {
  /** `changed(isOver)` is called while a stroke is drawn, and when it is over; `failed(error)` for a bad image. */
  constructor({ label, changed, failed, took = (drawing) => this.put(drawing), extra = [] }) {
    Object.assign(this, { changed, failed, took, drawing: blank() });
    this.svg = sheet({ class: "pad", role: "img", "aria-label": label });
    this.undoButton = button("Undo", `Undo the last stroke of ${label}`, () => this.undo());
    this.clearButton = button("Clear", `Clear ${label}`, () => this.put(blank()));
    this.file = make("input", { type: "file", accept: "image/*", multiple: "", hidden: "" });
    this.file.addEventListener("change", () => this.takeFiles([...this.file.files]).then(() => (this.file.value = "")));
    const image = button("Image…", `An image file for ${label}`, () => this.file.click());
    this.root = make(
      "div", { class: "padded" }, this.svg, this.file,
      make("div", { class: "row" }, this.undoButton, this.clearButton, image, ...extra),
    );
    this.root.pad = this;
    this.listen();
    this.draw();
  }

  put(drawing) {
    this.drawing = drawing;
    this.draw();
    this.changed(true);
  }

  undo() {
    const strokes = this.drawing.strokes.slice(0, -1);
    this.put({ ...this.drawing, strokes, picture: null });
  }

  async takeFiles(files) {
    for (const file of files) {
      try {
        this.took({ strokes: [], picture: await pictured(file) });
      } catch (error) {
        this.failed(error);
      }
    }
  }

  draw() {
    show(this.svg, this.drawing);
    this.undoButton.disabled = this.clearButton.disabled = isBlank(this.drawing);
  }

  listen() {
    const { svg } = this;
    let stroke = null;
    svg.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || stroke) return;
      event.preventDefault();
      svg.setPointerCapture(event.pointerId);
      stroke = { pointer: event.pointerId, points: [this.place(event)] };
      this.drawing.picture = null;
      this.drawing.strokes = [...this.drawing.strokes, stroke.points];
      this.draw();
    });
    svg.addEventListener("pointermove", (event) => {
      if (stroke?.pointer !== event.pointerId) return;
      const events = event.getCoalescedEvents?.() ?? [];
      stroke.points.push(...(events.length ? events : [event]).map((one) => this.place(one)));
      svg.lastElementChild.setAttribute("d", path(stroke.points));
      this.changed(false);
    });
    const end = (event) => {
      if (stroke?.pointer !== event.pointerId) return;
      stroke = null;
      this.changed(true);
    };
    svg.addEventListener("pointerup", end);
    svg.addEventListener("pointercancel", end);
    this.root.addEventListener("dragover", (event) => event.preventDefault());
    this.root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.takeFiles([...event.dataTransfer.files]);
    });
  }

  place({ clientX, clientY }) {
    const { left, top, width, height } = this.svg.getBoundingClientRect();
    const inside = (value) => Math.min(1, Math.max(0, value));
    return [inside((clientX - left) / width), inside((clientY - top) / height)];
  }
}

export function button(text, label, does, kind = "quiet") {
  const made = make("button", { type: "button", class: kind, "aria-label": label }, text);
  made.addEventListener("click", does);
  return made;
}

function path([first, ...others]) {
  return `M${first.join(" ")}L${(others.length ? others : [first]).flat().join(" ")}`;
}

export function shape(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
