// What is known of faces beyond one picture: which is which from frame to frame, and how answers are read.

// Of boxes that share less of their union than this, neither is the other one moved.
const SAME_FACE = 0.2;
const FORGOTTEN_AFTER = 1.5; // seconds without being seen, if there was another frame meanwhile
const REMEMBERED = 10; // seconds of answers that the charts show

// Okabe and Ito's colours, which people with colour-blindness tell apart, darkened for white figures on them.
const FACE_COLOURS = ["#00704f", "#b04a00", "#0062a3", "#a8568a", "#7a6a00", "#3f5870"];
export const faceColour = (number) => FACE_COLOURS[(number - 1) % FACE_COLOURS.length];

// Muted, by the place of a class in its task.
const CLASS_COLOURS = ["#8a949b", "#e0a526", "#5b8bb5", "#d9793f", "#8f77b5", "#7a9a4d", "#c4515a", "#4fa39a", "#b58a6b"];
export const classColour = (place) => CLASS_COLOURS[place % CLASS_COLOURS.length];

/** Gives the faces of successive frames numbers that stay, and remembers what was said of each. */
export class Tracks {
  constructor() {
    this.known = [];
    this.next = 1;
  }

  /** Takes a frame's faces at a time in seconds; returns them with `number` and `history`, [{time, answers}]. */
  follow(faces, time) {
    const isRecent = (track) => track.time === this.last || time - track.time < FORGOTTEN_AFTER;
    this.known = this.known.filter((track) => time >= track.time && isRecent(track));
    this.last = time;
    const pairs = faces.flatMap((face) => this.known.map((track) => ({ face, track, shared: overlap(face.box, track.box) })));
    const taken = new Map();
    for (const { face, track, shared } of pairs.sort((a, b) => b.shared - a.shared)) {
      if (shared < SAME_FACE) break;
      if (!taken.has(face) && ![...taken.values()].includes(track)) taken.set(face, track);
    }
    return faces.map((face) => {
      let track = taken.get(face);
      if (!track) {
        track = { number: this.next++, history: [] };
        this.known.push(track);
      }
      Object.assign(track, { box: face.box, time });
      track.history.push({ time, answers: face.answers });
      while (time - track.history[0].time > REMEMBERED) track.history.shift();
      return { ...face, number: track.number, history: track.history };
    });
  }
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
  return shared / (area(a) + area(b) - shared);
}

export const percent = (share) => `${Math.round(100 * share)} %`;
export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/** The name of the most probable of a task's classes. */
export function mostProbable(answers) {
  return Object.entries(answers).reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

/** The one thing to say of a face: its class if the model has classes, else what is surest or first. */
export function headline(face, tasks) {
  const task = tasks.find(({ kind }) => kind === "classes") ?? tasks.find(({ kind }) => kind === "flags") ?? tasks[0];
  const answers = face.answers[task.name];
  if (task.kind === "values") return `${task.outputs[0]} ${signed(answers[task.outputs[0]])}`;
  const name = mostProbable(answers);
  return `${name} ${percent(answers[name])}`;
}

/** The task whose values span the affect plane, if the model has one. */
export function affectTask(tasks) {
  return tasks.find(({ outputs }) => outputs.includes("Valence") && outputs.includes("Arousal"));
}

/** The angle of the line through the eyes, in radians: that of the face. */
export function tilt({ left_eye: [x0, y0], right_eye: [x1, y1] }) {
  return Math.atan2(y1 - y0, x1 - x0);
}
