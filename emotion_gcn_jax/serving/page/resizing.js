// Images at other sizes, by the rules of the libraries that the model's training images went through.
// An image is {width, height, channels, data}, its samples 0 to 255 row by row. Those with four channels, a canvas's, are
// read as RGB, and what is made of them has three.

/** Weights for every place of a line of `out` samples made of `from`: each one's first sample, and its weights in turn. */
function lineWeights(from, out, reach, weight) {
  const scale = from / out, firsts = new Int32Array(out), counts = new Int32Array(out), all = [];
  for (let place = 0; place < out; place++) {
    const [low, high] = reach(place, scale);
    const first = Math.max(0, low), last = Math.min(from, high);
    const weights = Array.from({ length: last - first }, (_, i) => weight(first + i, place, scale));
    const sum = weights.reduce((a, b) => a + b, 0);
    firsts[place] = first;
    counts[place] = weights.length;
    all.push(...weights.map((w) => w / sum));
  }
  return { firsts, counts, weights: Float64Array.from(all) };
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
  const exact = (place, scale) => Math.max(0, Math.min(from - 1, (place + 0.5) * scale - 0.5));
  const first = (place, scale) => Math.min(Math.floor(exact(place, scale)), Math.max(0, from - 2));
  return lineWeights(
    from,
    out,
    (place, scale) => [first(place, scale), first(place, scale) + 2],
    (i, place, scale) => 1 - Math.abs(i - exact(place, scale)),
  );
}

// By the names of emotion_gcn_jax.data.inputs.RESIZE_FILTERS; only Pillow rounds between its two passes.
const FILTERS = {
  bilinear_antialiased: { weights: triangles, between: Uint8ClampedArray },
  bilinear: { weights: between, between: Float32Array },
  area: { weights: areas, between: Float32Array },
};

/** Returns an image at another size, in RGB; `name` is a key of FILTERS. */
export function resized(image, width, height, name) {
  if (image.width === width && image.height === height) return image;
  const filter = FILTERS[name];
  const wide = rowsResized(image, filter.weights(image.width, width), filter.between);
  return columnsResized(wide, filter.weights(image.height, height));
}

function rowsResized({ width, height, channels, data }, { firsts, counts, weights }, Samples) {
  const out = firsts.length, made = new Samples(3 * out * height);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, place = 0; x < out; x++, to += 3) {
      let red = 0, green = 0, blue = 0, from = channels * (y * width + firsts[x]);
      for (const end = place + counts[x]; place < end; place++, from += channels) {
        const weight = weights[place];
        red += weight * data[from];
        green += weight * data[from + 1];
        blue += weight * data[from + 2];
      }
      made[to] = red;
      made[to + 1] = green;
      made[to + 2] = blue;
    }
  }
  return { width: out, height, channels: 3, data: made };
}

function columnsResized({ width, data }, { firsts, counts, weights }) {
  const out = firsts.length, line = 3 * width;
  const made = new Uint8ClampedArray(line * out), sums = new Float32Array(line);
  for (let y = 0, place = 0; y < out; y++) {
    sums.fill(0);
    for (let i = 0, from = firsts[y] * line; i < counts[y]; i++, from += line) {
      const weight = weights[place++];
      for (let x = 0; x < line; x++) sums[x] += weight * data[from + x];
    }
    made.set(sums, y * line);
  }
  return { width, height: out, channels: 3, data: made };
}

/** Returns a reduced copy whose samples are the means of `times` x `times`, as Pillow's reduce. */
export function reduced(image, times) {
  return resized(image, Math.ceil(image.width / times), Math.ceil(image.height / times), "area");
}

/** Returns an RGB image in grey, by Rec. 601's weights. */
export function grey({ width, height, channels, data }) {
  const made = new Uint8ClampedArray(width * height);
  for (let i = 0; i < made.length; i++) made[i] = 0.299 * data[channels * i] + 0.587 * data[channels * i + 1] + 0.114 * data[channels * i + 2];
  return { width, height, channels: 1, data: made };
}
