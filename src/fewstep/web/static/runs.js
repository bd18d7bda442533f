// The page of runs: the list, the run that is open, the comparison, and what moves while one trains.
import { chart } from "./chart.js";
import { formatOf, showCurves, showRun } from "./run.js";
import { announce, api, make } from "./shell.js";

const EVERY = 2000; // milliseconds between two looks
const SHOWN = 12; // rows before "show all"
const MOST = 6; // runs in a comparison
const at = (id) => document.getElementById(id);
const ask = (what, name) => api(`/api/runs/${what}?${new URLSearchParams({ name })}`);

const state = { runs: [], chosen: new Set(), open: null, all: false, curves: null, drawn: "" };

async function refresh() {
  try {
    const told = await api("/api/runs");
    at("problem").textContent = "";
    const before = new Map(state.runs.map((row) => [row.name, row]));
    state.runs = told.runs;
    at("folder").textContent = told.folder;
    at("empty").hidden = told.runs.length > 0;
    at("listed").hidden = told.runs.length === 0;
    for (const row of told.runs) {
      const old = before.get(row.name);
      if (old && old.status === "training" && row.status !== "training") announce(`${row.name}: ${row.status}. ${row.result}`);
    }
    showRows();
    const open = state.runs.find((row) => row.name === state.open);
    if (open) await follow(open, before.get(open.name));
  } catch (error) {
    at("problem").textContent = error.message;
  }
}

function showRows() {
  const wanted = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = state.runs.filter((row) => wanted.every((word) => `${row.name} ${row.recipe} ${row.algorithm} ${row.status}`.toLowerCase().includes(word)));
  const shown = state.all ? fits : fits.slice(0, SHOWN);
  at("count").textContent = wanted.length ? `${fits.length} of ${state.runs.length}` : `${fits.length} runs`;
  at("more").hidden = fits.length <= SHOWN;
  at("more").textContent = state.all ? "Show fewer" : `Show all ${fits.length}`;
  const drawn = JSON.stringify([shown, state.open, [...state.chosen]]);
  if (drawn === state.drawn) return; // so that focus stays where it is
  state.drawn = drawn;
  const focused = document.activeElement?.dataset?.key;
  at("rows").replaceChildren(...shown.map(rowOf));
  if (focused) at("rows").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function rowOf(row) {
  const box = make("input", { type: "checkbox", "aria-label": `compare ${row.name}`, "data-key": `box ${row.name}` });
  box.checked = state.chosen.has(row.name);
  box.disabled = row.status === "damaged";
  box.addEventListener("change", () => choose(row.name, box.checked));
  const name = make("button", { type: "button", class: "quiet name", "data-key": `open ${row.name}` }, row.name);
  name.disabled = row.status === "damaged";
  if (row.name === state.open) name.setAttribute("aria-current", "true");
  name.addEventListener("click", () => open(row.name, true));
  const bar = make("progress", { max: row.planned || 1, value: row.updates, "aria-label": `${row.updates} of ${row.planned} updates` });
  const told = row.result || (row.validation ? `validation ${row.validation}` : "");
  return make("tr", { class: row.status },
    make("td", {}, make("label", { class: "box" }, box)),
    make("th", { scope: "row" }, name, make("span", { class: `status ${row.status}` }, row.status)),
    make("td", { "data-column": "algorithm" }, row.algorithm),
    make("td", { "data-column": "updates" }, row.planned ? `${row.updates} / ${row.planned}` : "", row.status === "training" ? bar : null),
    make("td", { "data-column": "result" }, ...(row.problem ? [row.problem] : shortly(told))));
}

function shortly(line) {
  const [value, ...rest] = line.split(" (");
  return rest.length ? [make("b", {}, value), make("small", {}, ` (${rest.join(" (")}`)] : [line];
}

async function open(name, moves) {
  state.open = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  try {
    const detail = await ask("detail", name);
    if (state.open !== name) return;
    at("one").hidden = false;
    state.curves = showRun(at("one"), detail);
    showCurves(state.curves, await ask("curves", name));
    if (moves) at("run-name").focus();
    showRows();
  } catch (error) {
    at("problem").textContent = error.message;
  }
}

async function follow(row, before) {
  if (!state.curves || !before || row.changed === before.changed && row.status === before.status) return;
  if (row.status !== before.status || (row.result && !before.result)) await open(row.name, false);
  else {
    const told = await ask("curves", row.name);
    if (told.name === state.open && !state.curves.contains(document.activeElement)) showCurves(state.curves, told);
    const progress = at("one").querySelector("p.card > b");
    if (progress) progress.textContent = `${row.updates} of ${row.planned} updates`;
  }
}

async function choose(name, isChosen) {
  if (isChosen && state.chosen.size >= MOST) {
    at("problem").textContent = `at most ${MOST} runs are compared: untick one first`;
    state.drawn = "";
    showRows();
    return;
  }
  state.chosen[isChosen ? "add" : "delete"](name);
  await compare();
}

async function compare() {
  const names = [...state.chosen];
  at("compared").hidden = names.length < 2;
  if (names.length < 2) return;
  try {
    const told = await Promise.all(names.map((name) => ask("curves", name)));
    const figures = ["accuracy", "mse"].flatMap((metric) => {
      const some = told.filter((one) => one.metric === metric);
      if (!some.length) return [];
      const lines = some.map((one) => ({
        label: one.name, kind: told.indexOf(one),
        points: one.validation.map((v) => [v.update, v.score]), errors: one.validation.map((v) => [v.update, v.score, v.ci95]),
      }));
      return [chart({ title: metric === "accuracy" ? "Validation accuracy" : "Validation error", lines, format: formatOf(metric), log: metric === "mse" })];
    });
    const silent = told.filter((one) => !one.validation.length).map((one) => one.name);
    const tested = told.every((one) => state.runs.find((row) => row.name === one.name)?.result);
    at("compared").replaceChildren(...[make("h2", {}, "Compared"), ...figures,
      silent.length ? make("p", { class: "faint" }, `without validation: ${silent.join(", ")}`) : null,
      tested ? make("p", { class: "faint" }, "Different training tasks or protocols do not compare; a paired test on the same tasks does: ", make("code", {}, "fewstep compare RUN RUN")) : null].filter((part) => part !== null));
  } catch (error) {
    at("problem").textContent = error.message;
  }
}

async function watch() {
  if (!document.hidden) await refresh();
  setTimeout(watch, EVERY);
}

at("filter").addEventListener("input", showRows);
at("more").addEventListener("click", () => { state.all = !state.all; showRows(); });
await refresh();
const named = decodeURIComponent(location.hash.slice(1));
const first = state.runs.find((row) => row.name === named) ?? state.runs.find((row) => row.status !== "damaged");
if (first) await open(first.name, false);
setTimeout(watch, EVERY);
