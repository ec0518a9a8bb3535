// Detector and model in a thread of their own, so that the page stays at hand while they work.

import { alignAndCrop, rounded } from "./cutting.js";
import { detector, inDataset } from "./detection.js";
import * as ort from "./ort.wasm.min.mjs";
import { grey, resized } from "./resizing.js";

const MOST_THREADS = 4;
// Threads that wait by spinning take the cores from the page: on two cores that made it three times as slow.
const OPTIONS = { executionProviders: ["wasm"], logSeverityLevel: 3, extra: { session: { intra_op: { allow_spinning: "0" } } } };
let about, faces, model;

async function start() {
  ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  about = await (await fetch("about.json")).json();
  const [network, judge] = await Promise.all(
    ["centerface.onnx", "model.onnx"].map((name) => ort.InferenceSession.create(name, OPTIONS)),
  );
  [faces, model] = [detector(ort, network), judge];
  return { about, threads: ort.env.wasm.numThreads };
}

/** The faces of a picture, as the server answers them. */
async function facesOf({ width, height, data }, isFrame) {
  const image = { width, height, channels: 3, data: withoutAlpha(data) };
  const found = isFrame ? await faces.inFrame(image) : await faces.inPhotograph(image);
  const placed = found.map((face) => inDataset(face, about.contract.face.box_from_detector));
  const cut = placed.map(({ box, left_eye, right_eye }) => fitted(alignAndCrop(image, box, left_eye, right_eye, about.contract.face.crop)));
  const answers = cut.length ? await answersTo(cut) : [];
  return { width, height, faces: placed.map((face, i) => ({ ...face, answers: answers[i] })) };
}

function withoutAlpha(data) {
  const made = new Uint8ClampedArray((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    made[to++] = data[from];
    made[to++] = data[from + 1];
    made[to++] = data[from + 2];
  }
  return made;
}

/** A cut face, which is square, at the model's side and in its colours: Input.fit of emotion_gcn_jax/data/inputs.py. */
function fitted(face) {
  const { side, channels, resize } = about.input;
  const square = resized(face, side, side, resize);
  return channels === 1 ? grey(square) : square;
}

async function answersTo(faces) {
  const { side, channels } = about.input;
  const images = new Uint8Array(faces.length * side * side * channels);
  faces.forEach(({ data }, i) => images.set(data, i * side * side * channels));
  const results = await model.run({ images: new ort.Tensor("uint8", images, [faces.length, side, side, channels]) });
  return faces.map((_, i) =>
    Object.fromEntries(
      about.tasks.map(({ name, outputs }) => [
        name,
        Object.fromEntries(outputs.map((output, place) => [output, results[name].data[i * outputs.length + place]])),
      ]),
    ),
  );
}

self.onmessage = async ({ data: { number, image, isFrame } }) => {
  try {
    self.postMessage({ number, result: image ? await facesOf(image, isFrame) : await start() });
  } catch (error) {
    self.postMessage({ number, error: error.message });
  }
};
