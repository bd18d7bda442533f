// The symbols that are taught: a card each, with its name, the drawing at hand, and all its drawings.

import { make } from "./shell.js";
import { blank, button, imageOf, isBlank, Pad, sheet, show } from "./teach-pad.js";

const MOST_SYMBOLS = 20;
const MOST_DRAWINGS = 5;

export class Symbols {
  /** `changed(isOver)`; `example()` gives an unused { drawing, source }; `failed(error)`. */
  constructor(root, { changed, example, failed }) {
    Object.assign(this, { root, changed, example, failed, all: [] });
    this.adder = button("+ Add a symbol", "Add a symbol", () => this.add().name.focus(), "adder");
    root.append(this.adder);
  }

  reset(count) {
    for (const { card } of this.all) card.remove();
    this.all = [];
    for (let i = 0; i < count; i++) this.add();
    this.changed(true);
  }

  add() {
    const symbol = { drawings: [blank()], at: 0, source: null };
    symbol.name = make("input", { type: "text", maxlength: 40, required: "", autocomplete: "off", spellcheck: "false" });
    symbol.name.value = this.unusedName();
    symbol.name.setAttribute("aria-label", "Name of the symbol");
    symbol.name.addEventListener("input", () => this.changed(true));
    symbol.pad = new Pad({
      label: symbol.name.value,
      failed: this.failed,
      changed: (isOver) => this.edited(symbol, isOver),
      took: (drawing) => this.take(symbol, drawing),
      extra: [button("Example", `An example drawing for ${symbol.name.value}`, () => this.putExample(symbol))],
    });
    symbol.thumbs = make("div", { class: "thumbs", role: "group", "aria-label": `Drawings of ${symbol.name.value}` });
    const remove = button("×", `Remove ${symbol.name.value}`, () => this.remove(symbol), "quiet remove");
    symbol.card = make("div", { class: "card symbol" }, make("div", { class: "head" }, symbol.name, remove), symbol.pad.root, symbol.thumbs);
    this.adder.before(symbol.card);
    this.all.push(symbol);
    this.showThumbs(symbol);
    this.adder.hidden = this.all.length >= MOST_SYMBOLS;
    return symbol;
  }

  remove(symbol) {
    const at = this.all.indexOf(symbol);
    symbol.card.remove();
    this.all.splice(at, 1);
    this.adder.hidden = false;
    (this.all[Math.min(at, this.all.length - 1)]?.name ?? this.adder).focus();
    this.changed(true);
  }

  /** Put a drawing into the pad, or beside what is in it. */
  take(symbol, drawing) {
    if (!isBlank(symbol.drawings[symbol.at])) {
      if (symbol.drawings.length >= MOST_DRAWINGS) {
        this.failed(new Error(`${symbol.name.value} has ${MOST_DRAWINGS} drawings, which is the most`));
        return;
      }
      symbol.drawings.push(blank());
      symbol.at = symbol.drawings.length - 1;
    }
    symbol.pad.put(drawing);
  }

  async putExample(symbol) {
    const found = await this.example(symbol);
    if (!found) return;
    symbol.source = found.source;
    this.take(symbol, found.drawing);
  }

  edited(symbol, isOver) {
    symbol.drawings[symbol.at] = symbol.pad.drawing;
    if (isOver) this.showThumbs(symbol);
    this.changed(isOver);
  }

  showThumbs(symbol) {
    const { drawings, at, thumbs } = symbol;
    const choose = (next) => {
      symbol.at = next;
      symbol.pad.drawing = drawings[next];
      symbol.pad.draw();
      this.showThumbs(symbol);
      thumbs.children[next].focus();
    };
    const small = drawings.map((drawing, i) => {
      const one = button("", `Drawing ${i + 1}`, () => choose(i), "thumb");
      one.setAttribute("aria-pressed", i === at);
      const svg = sheet({ "aria-hidden": "true" });
      show(svg, drawing);
      one.append(svg);
      return one;
    });
    const another = button("+", "Another drawing", () => choose(drawings.push(blank()) - 1), "thumb");
    another.disabled = isBlank(drawings.at(-1)) || drawings.length >= MOST_DRAWINGS;
    thumbs.replaceChildren(...small, another);
  }

  /** The images of every drawn symbol by its name. Throws an Error where names are missing or the same. */
  images() {
    const found = new Map();
    for (const { name, drawings } of this.drawn()) {
      const called = name.value.trim();
      if (!called) throw new Error("a symbol has no name: give it one");
      if (found.has(called)) throw new Error(`two symbols are called '${called}': give one another name`);
      found.set(called, drawings.filter((drawing) => !isBlank(drawing)).map(imageOf));
    }
    return found;
  }

  drawn() {
    return this.all.filter(({ drawings }) => !drawings.every(isBlank));
  }

  unusedName() {
    const names = new Set(this.all.map(({ name }) => name.value));
    let number = this.all.length + 1;
    while (names.has(`symbol ${number}`)) number++;
    return `symbol ${number}`;
  }
}
