// One row a face of every picture that was judged.

import { mostProbable } from "./faces.js";

const MOST_ROWS = 100_000; // a bound on the memory of a page that is left open before the camera
export const SHOWN = 6;
// The columns of emotion-gcn predict's tables, in their order.
const SOURCES = ["file", "frame", "time", "track", "face"];
const PLACES = ["x0", "y0", "x1", "y1", "left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y", "score"];

export class Table {
  constructor(tasks) {
    this.tasks = tasks;
    this.columns = [...SOURCES, ...PLACES, ...tasks.flatMap(({ columns }) => columns)];
    this.rows = [];
  }

  get isFull() {
    return this.rows.length >= MOST_ROWS;
  }

  /** Adds the faces of a picture, or of a frame: its number and its time in seconds. */
  add(source, faces, { frame = "", time = "" } = {}) {
    for (const [place, face] of faces.entries()) {
      if (this.isFull) return;
      const places = [...face.box, ...face.left_eye, ...face.right_eye, face.score];
      const answers = this.tasks.flatMap((task) => cellsOf(task, face.answers[task.name]));
      const track = frame === "" ? "" : face.number;
      this.rows.push([source, frame, time && time.toFixed(3), track, place + 1, ...places.map(rounded), ...answers]);
    }
  }

  clear() {
    this.rows = [];
  }

  csv() {
    return [this.columns, ...this.rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
  }

  /** Draws the last rows into a table element, without the places. */
  draw(element) {
    const shown = this.columns.map((_, i) => i).filter((i) => !PLACES.includes(this.columns[i]));
    const line = (cells, kind) => {
      const row = document.createElement("tr");
      row.append(...shown.map((i) => Object.assign(document.createElement(kind), { textContent: cells[i] })));
      return row;
    };
    element.replaceChildren(line(this.columns, "th"), ...this.rows.slice(-SHOWN).reverse().map((row) => line(row, "td")));
  }
}

function cellsOf({ kind, outputs }, answers) {
  const numbers = outputs.map((name) => answers[name].toFixed(4));
  return kind === "classes" ? [mostProbable(answers), ...numbers] : numbers;
}

const rounded = (number) => number.toFixed(2);

/** As RFC 4180 has it; a text that a spreadsheet would run as a formula is marked as text. */
function quoted(cell) {
  const text = typeof cell === "string" && /^[=+@\t]/.test(cell) ? `'${cell}` : String(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
