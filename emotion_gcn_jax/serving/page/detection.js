// Finds faces with CenterFace: the counterpart of emotion_gcn_jax/faces/detection.py, which explains every number.

import { alignAndCrop, cropTransform, inverse, mapped, rounded } from "./cutting.js";
import { resized } from "./resizing.js";

const CELL = 4;
const MULTIPLE = 32;
const OUTPUTS = ["537", "538", "539", "540"];
const SAME_FACE = 0.3;
const SCORE = 0.5, FIRST_SCORE = 0.25, WINDOW_SCORE = 0.2;
const PHOTOGRAPH_SIDE = 640; // what the network sees of a photograph, as emotion-gcn predict has it
const FRAME_SIDE = 320; // of a frame: a quarter of the pixels, so that there are several a second
const SEARCH_EVERY = 1000; // milliseconds between searches of a whole frame where no face is lost
const WINDOW = { side: 2.0, size: 160, enlarge: true, level_eyes: true };

/**
 * Returns what finds the faces of RGB images. A frame is searched as a whole once a second; in between its faces are
 * looked for where those of the frame before were, and the whole is searched at once if one of them is not there.
 */
export function detector(ort, session) {
  let followed = [], searched = -Infinity;

  async function search(image, longest) {
    const scale = longest / Math.max(image.width, image.height);
    const width = Math.max(1, rounded(image.width * scale)), height = Math.max(1, rounded(image.height * scale));
    const shrunk = resized(image, width, height, scale < 1 ? "area" : "bilinear");
    const toPicture = [image.width / width, 0, 0, 0, image.height / height, 0];
    const faces = [];
    for (const face of await look(ort, session, shrunk, FIRST_SCORE)) {
      faces.push(await lookAgain(ort, session, image, moved(face, toPicture)));
    }
    return distinct(faces.filter(({ score }) => score >= SCORE));
  }

  /** The faces of the frame before in this one; null if one is not there. */
  async function follow(image) {
    const faces = [];
    for (const face of followed) faces.push(await lookAgain(ort, session, image, { ...face, score: 0 }));
    return faces.every(({ score }) => score >= SCORE) ? distinct(faces) : null;
  }

  return {
    async inPhotograph(image) {
      return described(await search(image, PHOTOGRAPH_SIDE));
    },
    async inFrame(image) {
      const now = performance.now();
      const seen = followed.length && now - searched < SEARCH_EVERY ? await follow(image) : null;
      if (!seen) searched = now;
      followed = seen ?? (await search(image, FRAME_SIDE));
      return described(followed);
    },
  };
}

function described(faces) {
  return faces
    .map((face) => ({ box: boxOf(face), left_eye: face.landmarks[0], right_eye: face.landmarks[1], score: face.score }))
    .sort((one, other) => one.box[0] - other.box[0]);
}

/** Returns the detection with the box that a dataset would have; `rule` is a DatasetBox of detection.py. */
export function inDataset(found, rule) {
  const [x0, y0, x1, y1] = found.box, [leftX, leftY] = found.left_eye, [rightX, rightY] = found.right_eye;
  const side = Math.max(x1 - x0, y1 - y0), angle = Math.atan2(rightY - leftY, rightX - leftX);
  const sine = Math.sin(angle), cosine = Math.cos(angle);
  const aside = side * rule.aside_per_sine * sine;
  const down = side * (rule.down + rule.down_per_sine * Math.abs(sine));
  const x = (x0 + x1) / 2 + aside * cosine - down * sine, y = (y0 + y1) / 2 + aside * sine + down * cosine;
  const half = (side * (rule.scale + rule.scale_per_sine * Math.abs(sine))) / 2;
  return { ...found, box: [x - half, y - half, x + half, y + half] };
}

async function look(ort, session, { width, height, channels, data }, leastScore) {
  const wide = Math.ceil(width / MULTIPLE) * MULTIPLE, high = Math.ceil(height / MULTIPLE) * MULTIPLE;
  const padded = new Float32Array(3 * wide * high);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0, to = (c * high + y) * wide, from = channels * y * width + c; x < width; x++, from += channels) padded[to++] = data[from];
    }
  }
  const input = new ort.Tensor("float32", padded, [1, 3, high, wide]);
  const results = await session.run({ [session.inputNames[0]]: input }, OUTPUTS);
  const [scores, sides, offsets, landmarks] = OUTPUTS.map((name) => results[name].data);
  const columns = wide / CELL, cells = columns * (high / CELL);
  const faces = [];
  for (let cell = 0; cell < cells; cell++) {
    if (scores[cell] < leastScore) continue;
    const row = Math.floor(cell / columns), column = cell % columns;
    const side = [CELL * Math.exp(sides[cells + cell]), CELL * Math.exp(sides[cell])];
    const centre = [CELL * (column + 0.5 + offsets[cells + cell]), CELL * (row + 0.5 + offsets[cell])];
    const point = (i) => [1, 0].map((yx, xy) => landmarks[(2 * i + yx) * cells + cell] * side[xy] + centre[xy] - side[xy] / 2);
    faces.push({ score: scores[cell], centre, side, landmarks: [0, 1, 2, 3, 4].map(point) });
  }
  return distinct(faces);
}

function distinct(faces) {
  const kept = [];
  for (const face of [...faces].sort((one, other) => other.score - one.score)) {
    if (kept.every((other) => overlap(face, other) < SAME_FACE)) kept.push(face);
  }
  return kept;
}

async function lookAgain(ort, session, image, face) {
  const place = [boxOf(face), face.landmarks[0], face.landmarks[1], WINDOW];
  const toWindow = cropTransform(...place);
  const before = moved(face, toWindow);
  for (const again of await look(ort, session, alignAndCrop(image, ...place), WINDOW_SCORE)) {
    if (overlap(again, before) >= SAME_FACE) {
      return { ...moved(again, inverse(toWindow)), score: Math.max(face.score, again.score) };
    }
  }
  return face;
}

function moved(face, transform) {
  const [a, b, , d, e] = transform;
  return {
    ...face,
    centre: mapped(transform, face.centre),
    side: [face.side[0] * Math.hypot(a, d), face.side[1] * Math.hypot(b, e)],
    landmarks: face.landmarks.map((point) => mapped(transform, point)),
  };
}

function boxOf({ centre: [x, y], side: [width, height] }) {
  return [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
}

function overlap(one, other) {
  const a = boxOf(one), b = boxOf(other);
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const shared = Math.max(0, width) * Math.max(0, height);
  return shared / (one.side[0] * one.side[1] + other.side[0] * other.side[1] - shared);
}
