// Finds the faces of pictures and cuts them out, in a thread of its own.

import { alignAndCrop } from "./cutting.js";
import { detector, inDataset } from "./detection.js";
import { grey, resized } from "./resizing.js";
import { answering, network, ort, threads } from "./worker.js";

let faces, contract, input;

/** Loads the network; returns how many threads it has. */
async function start(about) {
  ({ contract, input } = about);
  faces = detector(ort, await network("centerface.onnx"));
  return threads;
}

/** Where the faces of a picture are, and their images, one after the other as the model takes them. */
async function find({ image: { width, height, data }, isFrame }) {
  const image = { width, height, channels: 4, data };
  const found = isFrame ? await faces.inFrame(image) : await faces.inPhotograph(image);
  const places = found.map((face) => inDataset(face, contract.face.box_from_detector));
  const size = input.side * input.side * input.channels;
  const images = new Uint8Array(places.length * size);
  places.forEach(({ box, left_eye, right_eye }, i) => {
    images.set(fitted(alignAndCrop(image, box, left_eye, right_eye, contract.face.crop)).data, i * size);
  });
  return { places, images };
}

/** A cut face, which is square, at the model's side and in its colours: Input.fit of emotion_gcn_jax/data/inputs.py. */
function fitted(face) {
  const square = resized(face, input.side, input.side, input.resize);
  return input.channels === 1 ? grey(square) : square;
}

answering({ start, find });
