// Cuts an aligned square face out of a picture: the counterpart of emotion_gcn_jax/faces/alignment.py, whose docstrings
// explain the coordinates. Its results differ from that by rounding (tests/serving/test_page.py says by how much).

import { reduced, resized } from "./resizing.js";

const WARP_LIMIT = 4096;
const CUBIC = -0.75; // OpenCV's constant of the bicubic kernel
const BITS = 12, STEPS = 1 << BITS; // places between two pixels for which the kernel is known

function sides(box, crop) {
  const native = crop.side * Math.max(box[2] - box[0], box[3] - box[1]);
  return [crop.enlarge ? crop.size : Math.min(crop.size, Math.max(1, rounded(native))), native];
}

/** As Python rounds: halves to the even neighbour. */
export function rounded(number) {
  const near = Math.round(number);
  return Math.abs(number - Math.trunc(number)) === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

/** The matrix [a, b, c, d, e, f] that maps (x, y) to (a x + b y + c, d x + e y + f), a pixel of the crop. */
export function cropTransform(box, [leftX, leftY], [rightX, rightY], crop) {
  const angle = crop.level_eyes ? Math.atan2(rightY - leftY, rightX - leftX) : 0;
  const [stored, native] = sides(box, crop);
  const cosine = (Math.cos(angle) * stored) / native, sine = (Math.sin(angle) * stored) / native;
  const x = (box[0] + box[2]) / 2, y = (box[1] + box[3]) / 2;
  return [cosine, sine, stored / 2 - cosine * x - sine * y, -sine, cosine, stored / 2 + sine * x - cosine * y];
}

export function inverse([a, b, c, d, e, f]) {
  const size = a * e - b * d;
  return [e / size, -b / size, (b * f - e * c) / size, -d / size, a / size, (d * c - a * f) / size];
}

export const mapped = ([a, b, c, d, e, f], [x, y]) => [a * x + b * y + c, d * x + e * y + f];

/** Returns the face as an RGB image. */
export function alignAndCrop(image, box, leftEye, rightEye, crop) {
  const transform = cropTransform(box, leftEye, rightEye, crop);
  const [stored, native] = sides(box, crop);
  const shrink = Math.ceil(native / WARP_LIMIT);
  if (shrink > 1) image = reduced(image, shrink);
  const side = Math.max(stored, rounded(native / shrink));
  const scale = side / stored;
  const [a, b, , d, e] = transform.map((number) => number * shrink * scale);
  const c = transform[2] * scale + 0.5 * (a + b) - 0.5, f = transform[5] * scale + 0.5 * (d + e) - 0.5;
  return resized(warped(image, inverse([a, b, c, d, e, f]), side), stored, stored, "bilinear_antialiased");
}

// Four weights for each of the places between two pixels, one after the other.
const WEIGHTS = new Float64Array(4 * STEPS);
for (let step = 0; step < STEPS; step++) {
  const x = step / STEPS;
  const far = (t) => CUBIC * (t ** 3 - 5 * t ** 2 + 8 * t - 4);
  const near = (t) => (CUBIC + 2) * t ** 3 - (CUBIC + 3) * t ** 2 + 1;
  WEIGHTS.set([far(1 + x), near(x), near(1 - x), far(2 - x)], 4 * step);
}

/** Samples a square bicubically, black beyond the image, as OpenCV's warpAffine does. */
function warped({ width, height, channels, data }, [a, b, c, d, e, f], side) {
  const made = new Uint8ClampedArray(side * side * 3);
  for (let y = 0, to = 0; y < side; y++) {
    for (let x = 0; x < side; x++, to += 3) {
      const placeX = Math.round((a * x + b * y + c) * STEPS), placeY = Math.round((d * x + e * y + f) * STEPS);
      const left = (placeX >> BITS) - 1, top = (placeY >> BITS) - 1;
      if (left <= -4 || top <= -4 || left >= width || top >= height) continue;
      const across = 4 * (placeX & (STEPS - 1)), down = 4 * (placeY & (STEPS - 1));
      let red = 0, green = 0, blue = 0;
      if (left >= 0 && left + 4 <= width && top >= 0 && top + 4 <= height) { // nearly everywhere: unrolled, in two thirds of the time
        const w0 = WEIGHTS[across], w1 = WEIGHTS[across + 1], w2 = WEIGHTS[across + 2], w3 = WEIGHTS[across + 3];
        for (let j = 0, p = channels * (top * width + left); j < 4; j++, p += channels * width) {
          const weight = WEIGHTS[down + j];
          const p1 = p + channels, p2 = p1 + channels, p3 = p2 + channels;
          red += weight * (w0 * data[p] + w1 * data[p1] + w2 * data[p2] + w3 * data[p3]);
          green += weight * (w0 * data[p + 1] + w1 * data[p1 + 1] + w2 * data[p2 + 1] + w3 * data[p3 + 1]);
          blue += weight * (w0 * data[p + 2] + w1 * data[p1 + 2] + w2 * data[p2 + 2] + w3 * data[p3 + 2]);
        }
      } else {
        for (let j = Math.max(0, -top); j < Math.min(4, height - top); j++) {
          for (let i = Math.max(0, -left); i < Math.min(4, width - left); i++) {
            const weight = WEIGHTS[down + j] * WEIGHTS[across + i], p = channels * ((top + j) * width + left + i);
            red += weight * data[p];
            green += weight * data[p + 1];
            blue += weight * data[p + 2];
          }
        }
      }
      made[to] = red;
      made[to + 1] = green;
      made[to + 2] = blue;
    }
  }
  return { width: side, height: side, channels: 3, data: made };
}
