// The picture with its faces marked.

import { faceColour, headline, tilt } from "./faces.js";

const FONT = '600 14px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const LABEL = 24; // height in CSS pixels

export class Stage {
  /** Draws on a canvas that fills its parent's width as far as the picture's shape lets it. */
  constructor(canvas, tasks) {
    Object.assign(this, { canvas, tasks, shown: null });
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  /** Shows a picture (canvas, bitmap or null, if the browser cannot show it) of a size, and its faces. */
  show(picture, width, height, faces) {
    this.shown = { picture, width, height, faces };
    this.canvas.hidden = false;
    const said = faces.map((face) => `face ${face.number}: ${headline(face, this.tasks)}`);
    this.canvas.setAttribute("aria-label", `Picture with ${said.length ? said.join(", ") : "no face"}`);
    this.draw();
  }

  draw() {
    if (!this.shown) return;
    const { picture, width, height, faces } = this.shown;
    const room = this.canvas.parentElement.clientWidth;
    const scale = Math.min(room / width, Math.max(320, 0.68 * innerHeight) / height);
    const dots = devicePixelRatio || 1;
    const wide = Math.round(width * scale), high = Math.round(height * scale);
    Object.assign(this.canvas, { width: wide * dots, height: high * dots });
    Object.assign(this.canvas.style, { width: `${wide}px`, height: `${high}px` });
    const pen = this.canvas.getContext("2d");
    pen.scale(dots, dots);
    pen.imageSmoothingQuality = "high";
    if (picture) pen.drawImage(picture, 0, 0, wide, high);
    for (const face of faces) outline(pen, face, scale);
    for (const face of faces) label(pen, face, scale, headline(face, this.tasks), wide, high);
  }
}

/** The box, turned with the face: white on a dark edge, so that it is seen on anything; a corner mark in its colour. */
function outline(pen, face, scale) {
  const [x0, y0, x1, y1] = face.box.map((edge) => edge * scale);
  pen.save();
  pen.translate((x0 + x1) / 2, (y0 + y1) / 2);
  pen.rotate(tilt(face));
  pen.beginPath();
  pen.roundRect((x0 - x1) / 2, (y0 - y1) / 2, x1 - x0, y1 - y0, Math.min(12, (x1 - x0) / 8));
  pen.lineWidth = 5;
  pen.strokeStyle = "rgb(0 0 0 / 35%)";
  pen.stroke();
  pen.lineWidth = 2.5;
  pen.strokeStyle = "#fff";
  pen.stroke();
  pen.restore();
}

function label(pen, face, scale, said, wide, high) {
  const [x0, y0, , y1] = face.box.map((edge) => edge * scale);
  pen.font = FONT;
  const width = pen.measureText(said).width + LABEL + 12;
  const above = y0 - LABEL - 8;
  const top = above >= 2 ? above : Math.min(y1 + 8, high - LABEL - 2);
  const left = Math.max(2, Math.min(x0, wide - width - 2));
  pen.beginPath();
  pen.roundRect(left, top, width, LABEL, LABEL / 2);
  pen.fillStyle = "rgb(18 20 22 / 88%)";
  pen.fill();
  pen.beginPath();
  pen.arc(left + LABEL / 2, top + LABEL / 2, LABEL / 2 - 2.5, 0, 7);
  pen.fillStyle = faceColour(face.number);
  pen.fill();
  pen.fillStyle = "#fff";
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  pen.fillText(face.number, left + LABEL / 2, top + LABEL / 2 + 1);
  pen.textAlign = "left";
  pen.fillText(said, left + LABEL + 3, top + LABEL / 2 + 1);
}
