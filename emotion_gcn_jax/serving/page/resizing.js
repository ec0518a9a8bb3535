// Images at other sizes, by the rules of the libraries that the model's training images went through.
// An image is {width, height, channels, data}, its samples 0 to 255 row by row.

/** Weights for every place of a line of `out` samples made of `from`: [first, weights] each. */
function lineWeights(from, out, reach, weight) {
  const scale = from / out;
  return Array.from({ length: out }, (_, place) => {
    const [low, high] = reach(place, scale);
    const first = Math.max(0, low), last = Math.min(from, high);
    const weights = Array.from({ length: last - first }, (_, i) => weight(first + i, place, scale));
    const sum = weights.reduce((a, b) => a + b, 0);
    return [first, Float64Array.from(weights, (w) => w / sum)];
  });
}

/** A triangle as wide as the samples that fall into one, as Pillow's BILINEAR: nothing aliases. */
function triangles(from, out) {
  const width = Math.max(1, from / out);
  const centre = (place, scale) => (place + 0.5) * scale;
  return lineWeights(
    from,
    out,
    (place, scale) => [Math.trunc(centre(place, scale) - width + 0.5), Math.trunc(centre(place, scale) + width + 0.5)],
    (i, place, scale) => Math.max(0, 1 - Math.abs(i - centre(place, scale) + 0.5) / width),
  );
}

/** Every sample as much as it falls into one of the result, as OpenCV's INTER_AREA when it reduces. */
function areas(from, out) {
  if (out > from) return between(from, out);
  return lineWeights(
    from,
    out,
    (place, scale) => [Math.floor(place * scale + 1e-6), Math.ceil((place + 1) * scale - 1e-6)],
    (i, place, scale) => Math.min(i + 1, (place + 1) * scale) - Math.max(i, place * scale),
  );
}

/** The two nearest samples, as OpenCV's INTER_LINEAR. */
function between(from, out) {
  return Array.from({ length: out }, (_, place) => {
    const exact = Math.max(0, Math.min(from - 1, ((place + 0.5) * from) / out - 0.5));
    const first = Math.min(Math.floor(exact), Math.max(0, from - 2));
    return from === 1 ? [0, [1]] : [first, [1 - (exact - first), exact - first]];
  });
}

// By the names of emotion_gcn_jax.data.inputs.RESIZE_FILTERS; only Pillow rounds between its two passes.
const FILTERS = {
  bilinear_antialiased: { weights: triangles, between: Uint8ClampedArray },
  bilinear: { weights: between, between: Float32Array },
  area: { weights: areas, between: Float32Array },
};

/** Returns an image at another size; `name` is a key of FILTERS. */
export function resized(image, width, height, name) {
  if (image.width === width && image.height === height) return image;
  const filter = FILTERS[name];
  const wide = rowsResized(image, width, filter.weights(image.width, width), filter.between);
  return columnsResized(wide, height, filter.weights(image.height, height));
}

function rowsResized({ width, height, channels, data }, out, weights, Samples) {
  const made = new Samples(out * height * channels);
  for (let y = 0, to = 0; y < height; y++) {
    for (const [first, some] of weights) {
      const count = some.length;
      for (let c = 0; c < channels; c++) {
        let sum = 0, from = (y * width + first) * channels + c;
        for (let i = 0; i < count; i++, from += channels) sum += some[i] * data[from];
        made[to++] = sum;
      }
    }
  }
  return { width: out, height, channels, data: made };
}

function columnsResized({ width, channels, data }, out, weights) {
  const line = width * channels;
  const made = new Uint8ClampedArray(line * out), sums = new Float32Array(line);
  weights.forEach(([first, some], y) => {
    sums.fill(0);
    for (let i = 0, from = first * line; i < some.length; i++, from += line) {
      const weight = some[i];
      for (let x = 0; x < line; x++) sums[x] += weight * data[from + x];
    }
    made.set(sums, y * line);
  });
  return { width, height: out, channels, data: made };
}

/** Returns a reduced copy whose samples are the means of `times` x `times`, as Pillow's reduce. */
export function reduced(image, times) {
  return resized(image, Math.ceil(image.width / times), Math.ceil(image.height / times), "area");
}

/** Returns an RGB image in grey, by Rec. 601's weights. */
export function grey({ width, height, data }) {
  const made = new Uint8ClampedArray(width * height);
  for (let i = 0; i < made.length; i++) made[i] = 0.299 * data[3 * i] + 0.587 * data[3 * i + 1] + 0.114 * data[3 * i + 2];
  return { width, height, channels: 1, data: made };
}
