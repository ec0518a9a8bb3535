// The affect plane with its trails, and the ribbon of probabilities over time.

import { classColour, faceColour, signed } from "./faces.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

/** A canvas's pen in CSS pixels, and its size; the canvas is cleared. */
function sheet(canvas) {
  const dots = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  Object.assign(canvas, { width: Math.round(width * dots), height: Math.round(height * dots) });
  const pen = canvas.getContext("2d");
  pen.scale(dots, dots);
  return { pen, width, height };
}

/** Valence to the right, arousal up; every face's trail fades into the past. */
export function drawPlane(canvas, faces, task) {
  const { pen, width } = sheet(canvas);
  const middle = width / 2, reach = width / 2 - 22;
  const place = (values) => {
    const within = (value) => Math.max(-1, Math.min(1, value));
    return [middle + reach * within(values.Valence), middle - reach * within(values.Arousal)];
  };
  pen.strokeStyle = colour("--line");
  for (const radius of [0.5, 1]) {
    pen.beginPath();
    pen.arc(middle, middle, radius * reach, 0, 7);
    pen.stroke();
  }
  pen.beginPath();
  for (const [dx, dy] of [[1, 0], [0, 1]]) {
    pen.moveTo(middle - reach * dx, middle - reach * dy);
    pen.lineTo(middle + reach * dx, middle + reach * dy);
  }
  pen.stroke();
  writeEnds(pen, middle, reach);
  for (const face of faces) drawTrail(pen, face, task, place);
  const said = faces.map((face) => `face ${face.number}: ${describe(face.answers[task.name])}`);
  canvas.setAttribute("aria-label", said.length ? said.join("; ") : "No face");
}

const describe = ({ Valence, Arousal }) => `valence ${signed(Valence)}, arousal ${signed(Arousal)}`;

function writeEnds(pen, middle, reach) {
  pen.fillStyle = colour("--quiet");
  pen.font = '12px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
  pen.textAlign = "center";
  pen.fillText("excited", middle, middle - reach - 8);
  pen.fillText("calm", middle, middle + reach + 17);
  for (const [word, side] of [["unpleasant", -1], ["pleasant", 1]]) {
    pen.save();
    pen.translate(middle + side * (reach + (side > 0 ? 14 : 8)), middle);
    pen.rotate(-Math.PI / 2);
    pen.fillText(word, 0, 0);
    pen.restore();
  }
}

function drawTrail(pen, face, task, place) {
  const points = face.history.map(({ answers }) => place(answers[task.name]));
  pen.strokeStyle = pen.fillStyle = faceColour(face.number);
  pen.lineWidth = 2;
  pen.lineCap = "round";
  for (let i = 1; i < points.length; i++) {
    pen.globalAlpha = 0.06 + 0.54 * (i / points.length) ** 2;
    pen.beginPath();
    pen.moveTo(...points[i - 1]);
    pen.lineTo(...points[i]);
    pen.stroke();
  }
  pen.globalAlpha = 1;
  const [x, y] = points.at(-1);
  pen.beginPath();
  pen.arc(x, y, 10, 0, 7);
  pen.fill();
  pen.strokeStyle = colour("--paper");
  pen.stroke();
  pen.fillStyle = "#fff";
  pen.font = '700 11px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
  pen.textAlign = "center";
  pen.fillText(face.number, x, y + 4);
}

/** Every class's probability over the last `seconds`, stacked: the right edge is now. */
export function drawRibbon(canvas, history, task, seconds) {
  const { pen, width, height } = sheet(canvas);
  const now = history.at(-1).time;
  const x = ({ time }) => width * (1 - (now - time) / seconds);
  let floor = history.map(() => 0);
  task.outputs.forEach((name, number) => {
    const ceiling = history.map(({ answers }, i) => floor[i] + answers[task.name][name]);
    pen.beginPath();
    history.forEach((entry, i) => pen.lineTo(x(entry), height * (1 - ceiling[i])));
    for (let i = history.length - 1; i >= 0; i--) pen.lineTo(x(history[i]), height * (1 - floor[i]) + 0.5);
    pen.fillStyle = classColour(number);
    pen.fill();
    floor = ceiling;
  });
}
