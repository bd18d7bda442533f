// One run: its result, curves, inner steps, test tasks, audit, recipe and commands.
import { Chart, spaced } from "./chart.js";
import { make } from "./shell.js";

const PICTURES = { "tasks.png": "Test tasks", "adaptation.png": "Adaptation on test tasks" };

/** A value of a metric as a reader writes it. */
export function formatOf(metric) {
  if (metric === "accuracy") return (value, isShort) => `${(100 * value).toFixed(isShort ? 0 : 1)} %`;
  return (value, isShort) => (isShort ? String(Number(value.toPrecision(3))) : value.toPrecision(4));
}

/** The validations of a run as a line of a chart. */
export function validationOf(told, label, kind) {
  const points = told.validation.map((one) => [one.update, one.score]);
  return { label, kind, points, errors: told.validation.map((one) => [one.update, one.score, one.ci95]) };
}

/** The part of the page that shows one run; `grow` is told its curves, again and again while it trains. */
export class Shown {
  constructor(section, detail) {
    const { row } = detail;
    this.curves = make("div", { class: "curves" });
    this.progress = make("p", { class: "card", hidden: "" });
    section.replaceChildren(
      make("div", { class: "head" }, make("h2", { id: "run-name", tabindex: "-1" }, row.name),
        make("span", { class: `status ${row.status}` }, row.status), reportOf(row.name, detail.files)),
      make("p", { class: "about" }, detail.about),
      ...(detail.warning && row.status !== "training" ? [make("p", { class: "warning" }, detail.warning)] : []),
      ...(detail.lines.length ? [results(detail.lines)] : []),
      this.progress,
      this.curves,
      ...steps(detail.steps),
      ...pictures(row.name, detail.files),
      ...audit(detail.audit),
      make("h3", {}, "Facts"), pairs(detail.facts),
      make("details", {}, make("summary", {}, "The whole recipe"), pairs(detail.fields)),
      ...commands(detail.commands),
    );
  }

  grow(told) {
    this.progress.hidden = !told.training;
    if (told.training) this.progress.replaceChildren(make("b", {}, `${spaced(told.updates)} of ${spaced(told.planned)} updates`), left(told));
    if (!told.loss.update.length && !told.validation.length) {
      this.curves.replaceChildren(make("p", { class: "faint" }, "No update yet."));
      return;
    }
    this.charts ??= this.begin(told.metric);
    const line = (curve) => ({
      label: "training", kind: 0,
      points: curve.update.map((x, i) => [x, curve.mean[i]]), band: curve.update.map((x, i) => [x, curve.low[i], curve.high[i]]),
    });
    this.charts[0].update([line(told.score), validationOf(told, "validation, 95 % CI", 1)]);
    this.charts[1]?.update([line(told.loss)]);
  }

  begin(metric) {
    const score = metric === "accuracy" ? "Query accuracy over outer updates" : "Mean squared error over outer updates";
    const charts = [new Chart({ title: score, format: formatOf(metric), log: metric === "mse" })];
    if (metric === "accuracy") charts.push(new Chart({ title: "Loss over outer updates", format: formatOf("mse") }));
    this.curves.replaceChildren(...charts.map((one) => one.element));
    return charts;
  }
}

/** A file of a run. */
const fileOf = (name, file) => `/api/runs/file?${new URLSearchParams({ name, file })}`;

function left(told) {
  if (!told.updates || told.updates >= told.planned) return "";
  const minutes = (told.seconds / told.updates) * (told.planned - told.updates) / 60;
  return minutes < 1 ? " · less than a minute left" : ` · about ${minutes < 90 ? `${Math.round(minutes)} min` : `${Math.round(minutes / 60)} h`} left`;
}

function reportOf(name, files) {
  if (!files.includes("report.html")) return null;
  return make("a", { class: "report", href: fileOf(name, "report.html"), target: "_blank", rel: "noopener" }, "its own report");
}

function results(lines) {
  return make("div", { class: "card results" }, ...lines.map(([value, conditions]) =>
    make("p", { class: "result" }, make("b", {}, value), make("span", {}, ` ${conditions}`))));
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

function commands(told) {
  const lines = Object.entries(told).flatMap(([what, command]) => [make("p", { class: "faint" }, what), make("pre", { tabindex: 0 }, make("code", {}, command))]);
  return lines.length ? [make("h3", {}, "On the command line"), ...lines] : [];
}

function pairs(values) {
  const rows = Object.entries(values).map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value)));
  return make("table", { class: "pairs" }, make("tbody", {}, ...rows));
}
