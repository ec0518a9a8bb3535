// Judges faces that are found and cut, in a thread of its own.

import { answering, network, ort, threads } from "./worker.js";

let model, tasks, input;

/** Loads the network; returns how many threads it has. */
async function start(about) {
  ({ tasks, input } = about);
  model = await network("model.onnx");
  return threads;
}

/** What the model says of each face: a number for every output, by task. */
async function judge(images) {
  const { side, channels } = input;
  const number = images.length / (side * side * channels);
  const results = await model.run({ images: new ort.Tensor("uint8", images, [number, side, side, channels]) });
  return Array.from({ length: number }, (_, i) =>
    Object.fromEntries(
      tasks.map(({ name, outputs }) => [
        name,
        Object.fromEntries(outputs.map((output, place) => [output, results[name].data[i * outputs.length + place]])),
      ]),
    ),
  );
}

answering({ start, judge });
