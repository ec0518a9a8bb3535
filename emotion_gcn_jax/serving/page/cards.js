// A card a face: every answer of every task.

import { drawRibbon } from "./charts.js";
import { classColour, faceColour, headline, mostProbable, percent, signed } from "./faces.js";

const MOST_CARDS = 6; // more faces are in the table
const RIBBON_SECONDS = 10;

function element(name, className, parent, text = "") {
  const made = Object.assign(document.createElement(name), { className, textContent: text });
  parent.append(made);
  return made;
}

/** The list of cards; a face keeps its card while it is seen. */
export class Cards {
  constructor(parent, tasks) {
    Object.assign(this, { parent, tasks, cards: new Map() });
  }

  clear() {
    this.parent.replaceChildren();
    this.cards.clear();
  }

  /** Shows faces; `live` says whether they have a past that is worth showing. */
  show(faces, live) {
    if (live !== this.live) this.clear();
    this.live = live;
    const shown = faces.slice(0, MOST_CARDS);
    const numbers = new Set(shown.map(({ number }) => number));
    for (const [number, card] of this.cards) {
      if (!numbers.has(number)) {
        card.root.remove();
        this.cards.delete(number);
      }
    }
    for (const face of shown) {
      if (!this.cards.has(face.number)) this.cards.set(face.number, new Card(this.parent, face, this.tasks, live));
      this.cards.get(face.number).show(face);
    }
  }
}

class Card {
  constructor(parent, face, tasks, live) {
    this.tasks = tasks;
    this.root = element("article", "card", parent);
    this.root.style.setProperty("--face", faceColour(face.number));
    const header = element("header", "", this.root);
    element("span", "badge", header, face.number);
    this.title = element("h2", "", header);
    this.rows = tasks.map((task) => new Map(this.list(task).map((row) => [row.name, row])));
    const classes = live && tasks.find(({ kind }) => kind === "classes");
    if (classes) {
      this.ribbon = { task: classes, canvas: element("canvas", "ribbon", this.root) };
      this.ribbon.canvas.setAttribute("aria-hidden", "true");
      const times = element("p", "quiet", this.root);
      element("span", "", times, `${RIBBON_SECONDS} s ago`);
      element("span", "", times, "now");
    }
  }

  list(task) {
    if (this.tasks.length > 1) element("h3", "", this.root, task.name.replaceAll("_", " "));
    const list = element("dl", "bars", this.root);
    return task.outputs.map((name, place) => {
      const term = element("dt", "", list, name);
      term.title = name;
      const bar = element("div", task.kind === "values" ? "bar signed" : "bar", element("dd", "", list));
      const fill = element("span", "", bar);
      fill.style.setProperty("--colour", task.kind === "classes" ? classColour(place) : "var(--face)");
      return { name, term, fill, number: element("dd", "number", list) };
    });
  }

  show(face) {
    this.title.textContent = headline(face, this.tasks);
    this.tasks.forEach((task, i) => {
      const answers = face.answers[task.name];
      const first = task.kind === "classes" ? mostProbable(answers) : null;
      for (const [name, row] of this.rows[i]) {
        row.term.classList.toggle("first", name === first || (task.kind === "flags" && answers[name] >= 0.5));
        fillBar(row, task.kind, answers[name]);
      }
    });
    if (this.ribbon) drawRibbon(this.ribbon.canvas, face.history, this.ribbon.task, RIBBON_SECONDS);
  }
}

/** A share fills its bar from the left; a value in [-1, 1] from the middle. */
function fillBar({ fill, number }, kind, answer) {
  const value = Math.max(-1, Math.min(1, answer));
  const from = kind === "values" ? 50 + 50 * Math.min(0, value) : 0;
  const length = kind === "values" ? 50 * Math.abs(value) : 100 * value;
  fill.style.setProperty("--from", `${from}%`);
  fill.style.setProperty("--length", `${length}%`);
  number.textContent = kind === "values" ? signed(answer) : percent(answer);
}
