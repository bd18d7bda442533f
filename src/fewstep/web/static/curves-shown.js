// What stands below the plot: the errors of the curves, and the same in Python.

import { make } from "./shell.js";
import { draw, numeral } from "./curves-plot.js";

export const LABELS = { maml: "MAML", reptile: "Reptile", untrained: "untrained", own: "yours" };
const TOLD = {
  maml: "has learned to adapt in one step",
  reptile: "has learned to adapt in five steps",
  untrained: "has learned nothing yet",
};

const element = (id) => document.getElementById(id);

/** `1 inner step`, `10 inner steps`. */
export function stepCount(steps) {
  return steps === 1 ? "1 inner step" : `${steps} inner steps`;
}

/** `0.012`, `4.21`, `23.7`, `140`; undefined is a curve that was cut. */
export function threeDigits(value) {
  if (value === undefined) return "diverged";
  if (value > 0 && value < 0.001) return "< 0.001";
  return numeral(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0);
}

/** The values at a step, between whole ones in between; of a curve that was cut, its last. */
export function valuesAt(step, curves) {
  const known = (whole) => curves[Math.min(whole, curves.length - 1)];
  const [before, after] = [known(Math.floor(step)), known(Math.ceil(step))];
  const share = step - Math.floor(step);
  return share === 0 ? before : before.map((value, i) => value + share * (after[i] - value));
}

const meanSquare = (values, others) =>
  values.reduce((sum, value, i) => sum + (value - others[i]) ** 2, 0) / values.length;

/** A row for every learner, kept as long as they stay; `step` is null where there are no points. */
export function showErrors({ learners, step, truth, hidden, toggle }) {
  const rows = element("learners");
  if (learners.map(({ learner }) => learner).join() !== [...rows.children].map((row) => row.dataset.learner).join()) {
    rows.replaceChildren(...learners.map(({ learner }) => learnerRow(learner, !hidden.has(learner), toggle)));
  }
  element("said-step").textContent = stepCount(step ?? 0);
  element("true").hidden = truth === null;
  for (const [i, { losses, curves }] of learners.entries()) {
    const [name, onPoints, toTruth] = rows.children[i].children;
    name.classList.toggle("off", hidden.has(learners[i].learner));
    onPoints.textContent = step === null ? "–" : threeDigits(losses[step]);
    toTruth.hidden = truth === null;
    toTruth.textContent = truth && threeDigits(curves[step ?? 0] && meanSquare(curves[step ?? 0], truth));
  }
}

function learnerRow(name, isShown, toggle) {
  const box = make("input", { type: "checkbox" });
  box.checked = isShown;
  box.addEventListener("change", () => toggle(name, box.checked));
  const line = draw("path", { class: `curve ${name}`, d: "M3 8h42" });
  const sample = draw("svg", { viewBox: "0 0 48 16", "aria-hidden": "true" }, line);
  const told = make("span", { class: "told" }, TOLD[name] ?? element("own").value);
  const label = make("label", {}, box, sample, LABELS[name], told);
  return make("tr", { "data-learner": name }, make("th", { scope: "row" }, label), make("td"), make("td"));
}

/** What bends MAML's curve to these points, outside of this page. */
export function showPython(points, step) {
  const listed = points.map(({ x, y }) => `    [${x.toFixed(4)}, ${y.toFixed(4)}],`);
  element("python").textContent = [
    "import fewstep, torch",
    "",
    "points = torch.tensor([",
    ...listed,
    "])",
    "support = fewstep.Examples(x=points[:, :1], y=points[:, 1:])",
    `model = fewstep.adapt("sinusoid-maml", support, steps=${step})`,
    "print(model(torch.tensor([[0.5]])))",
  ].join("\n");
}
