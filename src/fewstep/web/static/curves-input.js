// Putting, moving and removing points: with a mouse, a finger, a pen or the keyboard.

import { RANGE } from "./curves-plot.js";

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const STEP = 0.25;
const STILL = 4; // pixels that a finger may move and still click

const within = (value, [least, most]) => Math.round(100 * Math.min(most, Math.max(least, value))) / 100;

/** A place within the plot, to two digits. */
export function placed({ x, y }) {
  return { x: within(x, RANGE.x), y: within(y, RANGE.y) };
}

/** Where an arrow key leads from a place; null for other keys. */
function arrowed(event, { x, y }) {
  const way = ARROWS[event.key];
  const far = event.shiftKey ? 4 * STEP : STEP;
  return way ? placed({ x: x + far * way[0], y: y + far * way[1] }) : null;
}

/** Listens on the plot and calls `does`: find(id), add(place), move(id, place, isOver), remove(id), say(place). */
export function listen(plot, does) {
  const idOf = (target) => target.closest?.(".point")?.dataset.id;
  let dragged = null;
  let cursor = { x: 0, y: 0 };
  plot.drawCross(cursor);

  plot.svg.addEventListener("pointerdown", (event) => {
    const id = idOf(event.target);
    dragged = null;
    if (id === undefined || event.button !== 0) return;
    dragged = { id, from: [event.clientX, event.clientY], moved: false };
    event.target.closest(".point").setPointerCapture(event.pointerId);
  });
  plot.svg.addEventListener("pointermove", (event) => {
    if (!dragged || event.buttons === 0 || !does.find(dragged.id)) return;
    const [across, down] = dragged.from;
    dragged.moved ||= Math.hypot(event.clientX - across, event.clientY - down) > STILL;
    if (dragged.moved) does.move(dragged.id, placed(plot.under(event)), false);
  });
  plot.svg.addEventListener("lostpointercapture", () => {
    if (dragged?.moved && does.find(dragged.id)) does.move(dragged.id, does.find(dragged.id), true);
  });
  plot.svg.addEventListener("click", (event) => { // comes after the end of a drag, too
    const id = idOf(event.target);
    const wasDragged = dragged?.moved;
    dragged = null;
    if (wasDragged) return;
    if (id === undefined) does.add(placed(plot.under(event)));
    else does.remove(id);
  });

  plot.svg.addEventListener("keydown", (event) => {
    const id = idOf(event.target);
    const next = arrowed(event, id === undefined ? cursor : does.find(id));
    if (next && id === undefined) {
      cursor = next;
      plot.drawCross(cursor);
      does.say(cursor);
    } else if (next) does.move(id, next, true);
    else if (id === undefined && (event.key === "Enter" || event.key === " ")) does.add(cursor);
    else if (id !== undefined && ["Delete", "Backspace", "Enter", " "].includes(event.key)) does.remove(id);
    else return;
    event.preventDefault();
  });
  return { redraw: () => plot.drawCross(cursor) };
}
