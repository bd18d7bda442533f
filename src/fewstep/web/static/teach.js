// "Teach me a symbol": symbols are taught when they change, and the drawing below is named as it is drawn.

import { announce, api, make } from "./shell.js";
import { blank, button, imageOf, isBlank, Pad } from "./teach-pad.js";
import { ranked, showEye, showGuess, showStrip } from "./teach-shown.js";
import { Symbols } from "./teach-symbols.js";

const ALPHABETS = 40;
const FIRST_ALPHABET = 2;
const EXAMPLES = 5;
const OF_ALPHABET = 20;
const TEACH_AFTER = 250; // milliseconds without a change
const MEASURE_AFTER = 600;

const element = (id) => document.getElementById(id);
let learners = [];
let lesson = null;
let guess = null;
let isMeasured = false;
let version = 0; // of what is taught
let alphabet = FIRST_ALPHABET;
let traced = null; // the characters of the alphabet, by drawer
let milliseconds = null;

const problem = (error) => (element("problem").textContent = error?.message ?? "");
const any = (count) => Math.floor(Math.random() * count);

// examples

async function alphabetOf(number) {
  if (traced?.number !== number) {
    const { characters } = await api(`/api/teach/examples?alphabet=${number}&count=${OF_ALPHABET}`);
    traced = { number, characters };
  }
  return traced.characters;
}

const drawn = (strokes) => ({ strokes, picture: null });
const sourced = () => symbols.drawn().filter(({ source }) => source);

async function unusedExample(symbol) {
  try {
    const characters = await alphabetOf(alphabet);
    const same = symbol.source?.alphabet === alphabet && symbol.source.character;
    if (Number.isInteger(same)) {
      const drawer = symbol.drawings.filter((one) => !isBlank(one)).length % (characters[same].length - 1);
      return { drawing: drawn(characters[same][drawer]), source: symbol.source };
    }
    const used = new Set(symbols.all.map(({ source }) => source?.character));
    const character = characters.findIndex((_, i) => !used.has(i));
    return character < 0 ? null : { drawing: drawn(characters[character][0]), source: { alphabet, character } };
  } catch (error) {
    problem(error);
    return null;
  }
}

async function tryExamples() {
  try {
    const characters = await alphabetOf(alphabet);
    const ways = chosen()?.ways ?? EXAMPLES;
    symbols.reset(ways);
    symbols.all.forEach((symbol, character) => {
      symbol.source = { alphabet, character };
      symbols.take(symbol, drawn(characters[character][0]));
    });
    query.put(drawn(characters[1][3]));
  } catch (error) {
    problem(error);
  }
}

/** A taught example in another hand; or, `isKnown` false, a character that was not taught. */
async function drawQuery(isKnown) {
  try {
    const characters = await alphabetOf(sourced()[0]?.source.alphabet ?? alphabet);
    const known = sourced().map(({ source }) => source.character);
    const others = [...characters.keys()].filter((i) => !known.includes(i));
    const from = isKnown ? known : others;
    if (from.length) query.put(drawn(characters[from[any(from.length)]].at(1 + any(3))));
  } catch (error) {
    problem(error);
  }
}

// teaching: after the last change, and only the newest counts

let teachTimer = null;
let measureTimer = null;

function symbolsChanged(isOver) {
  version++;
  clearTimeout(measureTimer);
  clearTimeout(teachTimer);
  knownButton.disabled = !sourced().length;
  if (isOver) teachTimer = setTimeout(teach, TEACH_AFTER);
}

const chosen = () => learners.find(({ name }) => name === element("learner").value);

function forget(said) {
  lesson = guess = null;
  element("taught").textContent = said;
  element("download").hidden = true;
  showAll();
}

async function teach() {
  const mine = ++version;
  try {
    const images = symbols.images();
    const ways = chosen()?.ways;
    if (images.size < 2) return forget(images.size ? "One more symbol, and I can tell them apart." : "Draw in the pads above.");
    if (ways && images.size !== ways)
      return forget(`This model tells ${ways} symbols apart, no more and no fewer; ${images.size} are drawn.`);
    element("symbols").setAttribute("aria-busy", "true");
    const json = { learner: element("learner").value, symbols: Object.fromEntries(images) };
    const taught = await api("/api/teach/lessons", { json });
    if (mine !== version) return;
    problem();
    lesson = taught;
    isMeasured = false;
    tellTaught();
    measureTimer = setTimeout(() => measure(mine), MEASURE_AFTER);
    await ask(true);
  } catch (error) {
    if (mine !== version) return;
    forget("");
    problem(error);
  } finally {
    if (mine === version) element("symbols").removeAttribute("aria-busy");
  }
}

function tellTaught() {
  const said = `${lesson.classes.length} symbols learned in ${Math.round(lesson.milliseconds)} ms.`;
  element("taught").textContent = said;
  announce(said);
  const link = element("download");
  link.href = `/api/teach/lessons/${lesson.id}/model`;
  link.hidden = false;
  element("keep-about").replaceChildren("It names image files too: ", make("code", {}, "fewstep predict symbols.fewstep drawing.png"));
}

async function measure(mine) {
  try {
    await api(`/api/teach/lessons/${lesson.id}/novelty`, { method: "POST" });
    if (mine !== version) return;
    isMeasured = true;
    await ask(false);
  } catch (error) {
    if (mine === version) problem(error);
  }
}

// asking: at most one request is under way, and the newest that waits for it

let isWaiting = null;
let isAsking = false;

async function ask(isOver) {
  isWaiting = { isOver };
  if (isAsking) return;
  isAsking = true;
  while (isWaiting) {
    const { isOver: isLast } = isWaiting;
    isWaiting = null;
    await askOnce(isLast);
  }
  isAsking = false;
}

async function askOnce(isLast) {
  const asked = lesson;
  if (!asked || isBlank(query.drawing)) {
    guess = null;
    showAll();
    return;
  }
  try {
    const began = performance.now();
    const found = await api(`/api/teach/lessons/${asked.id}/guess`, { json: { drawing: imageOf(query.drawing) } });
    if (asked !== lesson || isBlank(query.drawing)) return;
    guess = found;
    milliseconds = performance.now() - began;
    showAll();
    const best = ranked(lesson.classes, guess)[0];
    if (isLast && !isWaiting) announce(`${best.name}, ${(100 * best.p).toFixed(0)} percent`);
  } catch (error) {
    if (asked !== lesson) return;
    problem(error);
  }
}

function showAll() {
  showEye(query.drawing);
  showGuess(lesson, guess, isMeasured, milliseconds);
  showStrip(lesson, guess);
}

// the page

const symbols = new Symbols(element("symbols"), { changed: symbolsChanged, example: unusedExample, failed: problem });
const knownButton = button("One of these", "Draw one of the example symbols in another hand", () => drawQuery(true));
const unknownButton = button("Another one", "Draw a symbol that was not taught", () => drawQuery(false));
const query = new Pad({
  label: "the drawing to name", failed: problem, changed: (isOver) => ask(isOver), extra: [knownButton, unknownButton],
});
element("query").append(query.root);
element("examples").addEventListener("click", async () => {
  await tryExamples();
  alphabet = any(ALPHABETS);
});
element("restart").addEventListener("click", () => {
  problem();
  symbols.reset(3);
  query.put(blank());
});
element("learner").addEventListener("change", () => symbolsChanged(true));
document.addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].filter(({ type }) => type.startsWith("image/"));
  const pad = document.activeElement?.closest(".symbol, .ask")?.querySelector(".padded").pad ?? query;
  if (files.length) pad.takeFiles(files);
});
symbols.reset(3);
try {
  learners = await api("/api/teach/learners");
  element("learner").append(...learners.map(({ name, ways }) => make("option", { value: name }, ways ? `${name} (${ways} symbols)` : name)));
} catch (error) {
  problem(error);
}
