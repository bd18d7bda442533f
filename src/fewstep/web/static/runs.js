// The page of runs: the list, the run that is open, the comparison, and what moves while one trains.
import { Chart, spaced } from "./chart.js";
import { formatOf, Shown, validationOf } from "./run.js";
import { announce, api, make } from "./shell.js";

const SOON = 1500, LATER = 4000; // milliseconds to the next look, while one trains and while none does
const SHOWN = 12; // rows before "show all"
const MOST = 6; // runs in a comparison
const at = (id) => document.getElementById(id);
const ask = (what, name) => api(`/api/runs/${what}?${new URLSearchParams({ name })}`);

const state = { folder: "", runs: [], chosen: new Set(), open: null, shown: null, charts: {}, all: false, drawn: "", isLost: false, isBusy: false };
const runOf = (name) => state.runs.find((row) => row.name === name);

async function refresh() {
  if (state.isBusy) return;
  state.isBusy = true;
  try {
    const told = await api("/api/runs"), before = new Map(state.runs.map((row) => [row.name, row]));
    if (state.isLost) say("");
    state.isLost = false;
    Object.assign(state, told);
    at("folder").textContent = told.folder;
    at("train").textContent = told.folder === "runs" ? "fewstep train" : `fewstep train --out ${told.folder}/first`;
    at("empty").hidden = told.runs.length > 0;
    at("listed").hidden = told.runs.length === 0;
    showRows();
    const moved = told.runs.filter((row) => before.has(row.name) && JSON.stringify(row) !== JSON.stringify(before.get(row.name)));
    for (const row of moved) {
      if (before.get(row.name).status === "training" && row.status !== "training") announce(`${row.name}: ${row.status}. ${row.result}`);
      if (row.name === state.open) await follow(row, before.get(row.name));
    }
    if (state.open === null) await openFirst();
    if (moved.some((row) => state.chosen.has(row.name))) await compare();
  } catch (error) {
    state.isLost = true;
    say(error.message);
  } finally {
    state.isBusy = false;
  }
}

function say(text) {
  if (at("problem").textContent !== text) at("problem").textContent = text;
}

function showRows() {
  const wanted = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = state.runs.filter((row) => wanted.every((word) => `${row.name} ${row.recipe} ${row.algorithm} ${row.status}`.toLowerCase().includes(word)));
  const shown = state.all ? fits : fits.slice(0, SHOWN);
  at("count").textContent = wanted.length ? `${fits.length} of ${state.runs.length}` : `${fits.length} ${fits.length === 1 ? "run" : "runs"}`;
  at("more").hidden = fits.length <= SHOWN;
  at("more").textContent = state.all ? "Show fewer" : `Show all ${fits.length}`;
  const drawn = JSON.stringify([shown, state.open, [...state.chosen]]);
  if (drawn === state.drawn) return; // so that what is selected stays so
  state.drawn = drawn;
  const focused = document.activeElement?.dataset?.key;
  at("rows").replaceChildren(...shown.map(rowOf));
  if (focused) at("rows").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function rowOf(row) {
  const isDamaged = row.status === "damaged", words = [row.algorithm, row.recipe && !row.name.includes(row.recipe) ? row.recipe : ""].filter(Boolean);
  return make("tr", row.name === state.open ? { class: "open" } : {},
    make("td", {}, isDamaged ? null : boxOf(row)),
    make("th", { scope: "row" }, isDamaged ? make("span", { class: "name" }, row.name) : nameOf(row), make("small", {}, words.join(" · "))),
    make("td", {}, make("span", { class: `status ${row.status}` }, row.status)),
    make("td", { class: "updates" }, ...(row.planned ? updatesOf(row) : [])),
    make("td", {}, ...resultOf(row)));
}

function boxOf(row) {
  const box = make("input", { type: "checkbox", "aria-label": `compare ${row.name}`, "data-key": `box ${row.name}` });
  box.checked = state.chosen.has(row.name);
  box.addEventListener("change", () => choose(row.name, box.checked));
  return make("label", { class: "box" }, box);
}

function nameOf(row) {
  const name = make("button", { type: "button", class: "quiet name", "data-key": `open ${row.name}` }, row.name);
  if (row.name === state.open) name.setAttribute("aria-current", "true");
  name.addEventListener("click", () => open(row.name, true));
  return name;
}

function updatesOf(row) {
  const text = row.updates === row.planned ? spaced(row.planned) : `${spaced(row.updates)} of ${spaced(row.planned)}`;
  return [text, row.status === "training" ? make("progress", { max: row.planned, value: row.updates, "aria-label": "updates done" }) : null].filter(Boolean);
}

function resultOf(row) {
  if (row.problem) return [row.problem];
  const [value, conditions] = row.result ? parted(row.result, " (", /\)$/) : parted(row.validation, " at ");
  const validated = row.result && row.status !== "finished" && row.validation ? ` · validation ${row.validation}` : "";
  if (row.result) return [make("b", {}, value), make("small", {}, conditions + validated)];
  return value ? [value, make("small", {}, `in validation, at ${conditions}`)] : [];
}

/** What stands before and after a mark, without the end of it; its last two words stay together. */
function parted(text, mark, end) {
  const [value, ...rest] = text.split(mark);
  return [value, rest.join(mark).replace(end, "").replace(/ (\S+)$/, "\u00a0$1")];
}

async function open(name, moves) {
  state.open = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  try {
    const [detail, curves] = await Promise.all([ask("detail", name), ask("curves", name)]);
    if (state.open !== name) return;
    say("");
    at("one").hidden = false;
    state.shown = new Shown(at("one"), detail);
    state.shown.grow(curves);
    showRows();
    if (moves) at("run-name").focus();
  } catch (error) {
    say(error.message);
  }
}

async function openFirst() {
  const first = runOf(decodeURIComponent(location.hash.slice(1))) ?? state.runs[0];
  if (first && first.status !== "damaged") await open(first.name, false);
}

async function follow(row, before) {
  if (row.status !== before.status || row.result !== before.result) await open(row.name, false);
  else if (state.shown) {
    const told = await ask("curves", row.name);
    if (told.name === state.open) state.shown.grow(told);
  }
}

async function choose(name, isChosen) {
  if (isChosen && state.chosen.size >= MOST) {
    say(`at most ${MOST} runs are compared: untick one first`);
    state.drawn = "";
    showRows();
    return;
  }
  say("");
  state.chosen[isChosen ? "add" : "delete"](name);
  try {
    await compare();
  } catch (error) {
    say(error.message);
  }
}

async function compare() {
  const names = [...state.chosen].filter(runOf);
  at("compared").hidden = names.length < 2;
  if (names.length < 2) return;
  const told = await Promise.all(names.map((name) => ask("curves", name)));
  const titles = { accuracy: "Validation accuracy", mse: "Validation error" };
  const figures = Object.entries(titles).flatMap(([metric, title]) => {
    const lines = told.filter((one) => one.metric === metric && one.validation.length).map((one) => validationOf(one, one.name, told.indexOf(one)));
    if (!lines.length) return [];
    state.charts[metric] ??= new Chart({ title, format: formatOf(metric), log: metric === "mse" });
    state.charts[metric].update(lines);
    return [state.charts[metric].element];
  });
  const silent = told.filter((one) => !one.validation.length).map((one) => one.name);
  const command = `fewstep compare ${names.slice(0, 2).map((name) => `${state.folder}/${name}`).join(" ")}`;
  const drawn = at("figures").children;
  if (figures.length !== drawn.length || figures.some((one, i) => one !== drawn[i])) at("figures").replaceChildren(...figures);
  at("silent").textContent = silent.length ? `Without validation: ${silent.join(", ")}.` : "";
  at("paired").textContent = names.length === 2 && names.every((name) => runOf(name).result) ? command : "";
  at("paired-hint").hidden = !at("paired").textContent;
}

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, state.runs.some((row) => row.status === "training") ? SOON : LATER);
}

at("filter").addEventListener("input", showRows);
at("more").addEventListener("click", () => { state.all = !state.all; showRows(); });
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
await watch();
