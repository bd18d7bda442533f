// One run: its result, curves, inner steps, test tasks, audit, recipe and commands.
import { chart } from "./chart.js";
import { make } from "./shell.js";

const PICTURES = { "tasks.png": "Test tasks", "adaptation.png": "Adaptation on test tasks" };

/** A file of a run. */
const fileOf = (name, file) => `/api/runs/file?${new URLSearchParams({ name, file })}`;

/** A value of a metric as a reader writes it. */
export function formatOf(metric) {
  if (metric === "accuracy") return (value, short) => `${(100 * value).toFixed(short ? 0 : 1)} %`;
  return (value, short) => (short ? String(Number(value.toPrecision(3))) : value.toPrecision(4));
}

/** Everything but the curves, which go into the element that is handed back as `curves`. */
export function showRun(section, detail) {
  const { row } = detail;
  const curves = make("div", { class: "curves" });
  section.replaceChildren(...[
    make("h2", { id: "run-name", tabindex: "-1" }, row.name),
    make("p", { class: "about" }, detail.about),
    detail.lines.length ? results(detail.lines) : progress(row),
    curves,
    ...steps(detail.steps),
    ...pictures(row.name, detail.files),
    ...audit(detail.audit),
    make("h3", {}, "Facts"), pairs(detail.facts),
    make("details", {}, make("summary", {}, "The whole recipe"), pairs(detail.fields)),
    make("h3", {}, "On the command line"), ...Object.entries(detail.commands).flatMap(([what, command]) =>
      [make("p", { class: "faint" }, what), make("pre", {}, make("code", {}, command))]),
    detail.files.includes("report.html") ? make("p", {}, make("a", { href: fileOf(row.name, "report.html"), target: "_blank", rel: "noopener" }, "The run's own report")) : null,
  ].filter((part) => part !== null));
  return curves;
}

/** The curves of a run, drawn anew. */
export function showCurves(element, told) {
  const format = formatOf(told.metric), number = formatOf("mse");
  const band = (curve) => curve.update.map((x, i) => [x, curve.low[i], curve.high[i]]);
  const points = (curve) => curve.update.map((x, i) => [x, curve.mean[i]]);
  const validation = { label: "validation, 95 % CI", kind: 1, points: told.validation.map((v) => [v.update, v.score]), errors: told.validation.map((v) => [v.update, v.score, v.ci95]) };
  const score = { label: "training", kind: 0, points: points(told.score), band: band(told.score) };
  const loss = { label: "training", kind: 0, points: points(told.loss), band: band(told.loss) };
  if (!told.loss.update.length && !told.validation.length) {
    element.replaceChildren(make("p", { class: "faint" }, "No update yet."));
    return;
  }
  const percent = told.metric === "accuracy";
  element.replaceChildren(
    chart({ title: percent ? "Query accuracy over outer updates" : "Mean squared error over outer updates", lines: [score, validation], format, log: !percent }),
    ...(percent ? [chart({ title: "Loss over outer updates", lines: [loss], format: number })] : []),
  );
}

function results(lines) {
  return make("div", { class: "card results" }, ...lines.map(([value, conditions]) =>
    make("p", { class: "result" }, make("b", {}, value), make("span", {}, ` ${conditions}`))));
}

function progress(row) {
  return make("p", { class: "card" }, make("b", {}, `${row.updates} of ${row.planned} updates`), ` · ${row.status}, not tested yet`);
}

function steps(scores) {
  if (!scores.length) return [];
  const rows = scores.map((score) => {
    const bar = make("span", { class: "share" });
    bar.style.width = `${Math.max(1, 100 * score.share)}%`;
    return make("tr", {}, make("th", { scope: "row" }, String(score.step)), make("td", { class: "score" }, score.text), make("td", { class: "bars" }, bar));
  });
  return [make("h3", {}, "After each inner step"), make("table", { class: "steps" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "step"), make("th", { scope: "col" }, "on test tasks"), make("td", {}))), make("tbody", {}, ...rows))];
}

function pictures(name, files) {
  return files.filter((file) => file in PICTURES).flatMap((file) => [make("h3", {}, PICTURES[file]),
    make("figure", { class: "picture" }, make("img", { src: fileOf(name, file), alt: `${PICTURES[file]}: predictions of this run`, loading: "lazy" }))]);
}

function audit(findings) {
  if (!findings.length) return [];
  const rows = findings.map((one) => make("tr", {}, make("td", { class: `verdict ${one.verdict}` }, one.verdict), make("th", { scope: "row" }, one.name), make("td", {}, one.finding)));
  return [make("h3", {}, "Audit: what the learner really does"), make("table", { class: "audit" }, make("tbody", {}, ...rows))];
}

function pairs(values) {
  const rows = Object.entries(values).map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
  return make("table", { class: "pairs" }, make("tbody", {}, ...rows));
}
