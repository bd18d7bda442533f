// The points as a table: what the plot shows and does, for those who do not see it.

import { make } from "./shell.js";
import { placed } from "./curves-input.js";
import { RANGE } from "./curves-plot.js";

const body = document.getElementById("points");

/** A row for every point; what is being typed stays. `does`: find(id), move(id, place, isOver), remove(id). */
export function showPoints(points, does) {
  const ids = points.map(({ id }) => String(id));
  if (ids.join() !== [...body.children].map((row) => row.dataset.id).join()) {
    body.replaceChildren(...points.map(({ id }, i) => pointRow(id, i + 1, does)));
  }
  for (const [i, point] of points.entries()) {
    for (const input of body.children[i].querySelectorAll("input")) {
      if (input !== document.activeElement) input.value = point[input.name].toFixed(2);
    }
  }
}

function pointRow(id, number, does) {
  const button = make("button", { type: "button", class: "quiet", "aria-label": `Remove point ${number}` }, "Remove");
  button.addEventListener("click", () => does.remove(id));
  const cells = ["x", "y"].map((name) => make("td", {}, field(id, name, `${name} of point ${number}`, does)));
  return make("tr", { "data-id": id }, ...cells, make("td", {}, button));
}

function field(id, name, label, does) {
  const [min, max] = RANGE[name];
  const input = make("input", { type: "number", step: "any", name, min, max, "aria-label": label });
  input.addEventListener("change", () => {
    const point = does.find(id);
    const value = Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : point[name];
    does.move(id, placed({ ...point, [name]: value }), true);
    input.value = point[name].toFixed(2);
  });
  return input;
}
