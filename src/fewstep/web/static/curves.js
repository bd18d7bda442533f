// "Bend the curve": what is known, and what is asked. A curve comes with all its steps, so the slider asks nothing.

import { announce, api, make } from "./shell.js";
import { listen } from "./curves-input.js";
import { numeral, Plot } from "./curves-plot.js";
import { LABELS, showErrors, showPython, stepCount, threeDigits, valuesAt } from "./curves-shown.js";
import { showPoints } from "./curves-points.js";

const ORDER = ["untrained", "own", "reptile", "maml"]; // the last is drawn over the others
const MOST_POINTS = 50;
const STEPS_A_SECOND = 5;
const FIRST_SEED = 182; // a sinusoid whose points leave the right of the plot open

const element = (id) => document.getElementById(id);
const slider = element("steps");
const mostSteps = Number(slider.max);
const isStill = matchMedia("(prefers-reduced-motion: reduce)");
const plot = new Plot(element("plot"), LABELS);
const hidden = new Set();
let points = []; // of { id, x, y }
let truth = null; // the sinusoid that the points were drawn from
let answer = null;
let step = Number(slider.value); // between whole ones while it plays
let count = 0;
let stop = null; // while it plays

// asking: at most one request is under way, and the newest that waits for it

let pending = null;
let isAsking = false;

/** Ask for the curves of the points as they are; while one of them moves, only for the steps that are seen. */
async function bend({ isMoving = false } = {}) {
  pending = { isMoving };
  if (isAsking) return;
  isAsking = true;
  while (pending) {
    const steps = pending.isMoving ? Math.ceil(step) : mostSteps;
    const isLast = !pending.isMoving;
    pending = null;
    await ask(async () => {
      const json = { points: points.map(({ x, y }) => ({ x, y })), steps, own: element("own").value || null };
      if (points.length) answer = await api("/api/curves/bend", { json });
      element("problem").textContent = "";
    });
    show();
    if (isLast && !pending) tell();
  }
  isAsking = false;
}

async function drawSinusoid(seed) {
  await ask(async () => {
    const drawn = await api(`/api/curves/sinusoid?seed=${seed}`);
    points = drawn.points.map((point) => ({ ...point, id: count++ }));
    truth = drawn.truth;
  });
  await bend();
}

async function findLearners() {
  await ask(async () => {
    const { figures, own } = await api("/api/curves/learners");
    const scored = Object.entries(figures).map(([name, line]) => `${LABELS[name]} ${line}`);
    element("figures").textContent = scored.join("; ");
    element("own").append(...own.map((name) => make("option", { value: name }, name)));
    element("own-label").hidden = own.length === 0;
  });
}

async function ask(question) {
  try {
    await question();
  } catch (error) {
    element("problem").textContent = error.message;
  }
}

// showing

function show() {
  plot.drawPoints(points);
  plot.drawHint(points.length ? "" : "Click to put a point");
  showPoints(points, { find, move, remove });
  showStep();
}

function showStep() {
  const whole = Math.floor(step);
  slider.value = whole;
  slider.setAttribute("aria-valuetext", stepCount(whole));
  element("step").textContent = whole;
  showPython(points, whole);
  if (!answer) return;
  const shown = ORDER.flatMap((name) => answer.learners.filter(({ learner }) => learner === name && !hidden.has(name)));
  const at = points.length ? step : 0; // where all start
  plot.drawCurves(answer.x, shown.map((one) => ({ learner: one.learner, values: valuesAt(at, one.curves) })), truth);
  showErrors({ learners: answer.learners, step: points.length ? whole : null, truth, hidden, toggle });
}

function toggle(name, isShown) {
  if (isShown) hidden.delete(name);
  else hidden.add(name);
  showStep();
}

function tell() {
  if (!points.length || !answer) return;
  const whole = Math.floor(step);
  const said = answer.learners.map(({ learner, losses }) => `${LABELS[learner]} ${threeDigits(losses[whole])}`);
  const counted = points.length === 1 ? "1 point" : `${points.length} points`;
  announce(`${counted}. Error on them after ${stepCount(whole)}: ${said.join(", ")}.`);
}

// points

const find = (id) => points.find((point) => point.id === Number(id));

function add(place) {
  if (points.length === MOST_POINTS) {
    announce(`There are ${MOST_POINTS} points, which is the most.`);
    return;
  }
  points.push({ ...place, id: count++ });
  show();
  bend();
}

function move(id, { x, y }, isOver) {
  Object.assign(find(id), { x, y });
  show();
  bend({ isMoving: !isOver });
}

function remove(id) {
  const at = points.indexOf(find(id));
  const hadFocus = plot.points.contains(document.activeElement);
  points.splice(at, 1);
  show();
  if (hadFocus) (plot.points.children[Math.min(at, points.length - 1)] ?? plot.svg).focus();
  if (!points.length) announce("No points.");
  bend();
}

function clear() {
  points = [];
  truth = null;
  show();
  announce("No points.");
}

// steps

function play() {
  if (step >= mostSteps) step = 0;
  element("play").textContent = "Pause";
  if (isStill.matches) stop = everySecond(() => goTo(step + 1));
  else stop = everyFrame((seconds) => goTo(step + seconds * STEPS_A_SECOND));
}

function everySecond(does) {
  const timer = setInterval(does, 1000);
  return () => clearInterval(timer);
}

function everyFrame(does) {
  let before = performance.now();
  let frame = requestAnimationFrame(function next(now) {
    frame = requestAnimationFrame(next);
    does((now - before) / 1000);
    before = now;
  });
  return () => cancelAnimationFrame(frame);
}

function goTo(next) {
  step = Math.min(next, mostSteps);
  if (step === mostSteps && stop) pause();
  showStep();
}

function pause() {
  stop();
  stop = null;
  step = Math.floor(step);
  element("play").textContent = "Play";
  showStep();
  tell();
}

element("play").addEventListener("click", () => (stop ? pause() : play()));
slider.addEventListener("input", () => {
  const chosen = Number(slider.value);
  if (stop) pause();
  goTo(chosen);
});
slider.addEventListener("change", tell);
element("random").addEventListener("click", () => drawSinusoid(crypto.getRandomValues(new Uint32Array(1))[0] >>> 1));
element("clear").addEventListener("click", clear);
element("add").addEventListener("click", () => add({ x: 0, y: 0 }));
element("own").addEventListener("change", () => bend());

const say = ({ x, y }) => announce(`x ${numeral(x)}, y ${numeral(y)}`);
const input = listen(plot, { find, add, move, remove, say });
new ResizeObserver(([{ contentRect }]) => {
  plot.resize(contentRect.width);
  input.redraw();
  show();
}).observe(element("plot"));
drawSinusoid(FIRST_SEED);
findLearners();
