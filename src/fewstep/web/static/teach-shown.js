// What is shown of a lesson and of a guess.

import { make } from "./shell.js";
import { canvasOf, isBlank, shape } from "./teach-pad.js";

const MOST_BARS = 6;
const UNLIKE = 0.2; // above it one known drawing in many lies, and four unknown ones of five

const element = (id) => document.getElementById(id);
const percent = (p) => `${p === 1 ? 100 : Math.min(100 * p, 99.9).toFixed(1).replace(".0", "")} %`;
export const stepCount = (step) => (step === 0 ? "no step" : step === 1 ? "1 step" : `${step} steps`);

/** The classes by the last stage's probabilities, the likeliest first. */
export function ranked(classes, { probabilities }) {
  const last = probabilities.at(-1);
  return classes.map((name, i) => ({ name, i, p: last[i] })).sort((a, b) => b.p - a.p);
}

export function showGuess(lesson, guess, measured, milliseconds) {
  element("seen").hidden = !guess;
  element("bars").replaceChildren();
  element("novelty").textContent = "";
  if (!guess) {
    element("named").replaceChildren(make("span", { class: "faint" }, lesson ? "Nothing drawn yet" : "Not taught yet"));
    return;
  }
  const order = ranked(lesson.classes, guess);
  element("named").replaceChildren(make("b", {}, order[0].name), make("span", {}, percent(order[0].p)));
  element("bars").append(...order.slice(0, MOST_BARS).map((one, place) => bar(one, place === 0)));
  element("speed").textContent = milliseconds == null ? "" : `, and answered in ${Math.max(1, Math.round(milliseconds))} ms`;
  const { novelty } = guess;
  const isUnlike = novelty != null && novelty > UNLIKE;
  element("novelty").classList.toggle("unlike", isUnlike);
  if (isUnlike) element("novelty").textContent = `Unlike everything you taught me (novelty ${novelty.toFixed(2)})`;
  else if (novelty != null) element("novelty").textContent = `Like what you taught me (novelty ${novelty.toFixed(2)})`;
  else element("novelty").textContent = measured ? "" : "Novelty is being measured …";
}

function bar({ name, p }, isFirst) {
  const meter = shape("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  meter.append(shape("rect", { width: p, height: 1 }));
  return make(
    "tr", isFirst ? { class: "first" } : {},
    make("th", { scope: "row" }, name), make("td", {}, meter), make("td", { class: "number" }, percent(p)),
  );
}

/** The drawing as the net sees it, 28 pixels a side. */
export function showEye(drawing) {
  if (isBlank(drawing)) return;
  const pen = element("eye").getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvasOf(drawing), 0, 0, 28, 28);
}

/** A column for every stage: the accuracy on what was taught, and the probabilities of the drawing at hand. */
export function showStrip(lesson, guess) {
  const order = guess ? ranked(lesson.classes, guess).slice(0, 4) : [];
  const columns = (lesson?.steps ?? []).map(({ step, accuracy }, stage) =>
    make(
      "li", { class: "card stage" },
      make("h3", {}, step === 0 ? "Before any step" : `After ${stepCount(step)}`),
      guess && make("table", { "aria-label": stepCount(step) }, ...rows(order, guess.probabilities[stage])),
      make("p", { class: "faint" }, `names ${percent(accuracy)} of what you taught`),
    ),
  );
  element("strip").replaceChildren(...columns);
  element("strip-about").textContent = about(lesson, guess);
}

function rows(order, probabilities) {
  const best = Math.max(...probabilities);
  return order.map(({ name, i }) => bar({ name, p: probabilities[i] }, probabilities[i] === best));
}

function about(lesson, guess) {
  if (!lesson) return "Teach two symbols, and what each inner step does is shown here.";
  if (lesson.steps.length === 1)
    return "This model learns in one go, from the mean of each symbol’s drawings: there are no inner steps to watch.";
  const of = guess ? "Your drawing’s probabilities" : "The share of your own drawings that it names rightly";
  const isRight = element("learner").value === "omniglot-protomaml" && lesson.steps[0].accuracy === 1;
  const why = isRight ? " It starts from the mean of each symbol’s drawings, so it is often right before any step; omniglot-mamlpp, for five symbols, starts from chance." : "";
  return `${of}, after each gradient step on what you taught.${why}`;
}
