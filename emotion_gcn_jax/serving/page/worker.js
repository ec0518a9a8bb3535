// What both workers need: ONNX Runtime Web, and answers to the page's questions.

import * as ort from "./ort.wasm.min.mjs";

// Of one worker. One finds the next frame's faces while the other judges this one's: each has half of the cores.
const MOST_THREADS = 4;
// Threads that wait by spinning take the cores from the page and from the other worker.
const OPTIONS = { executionProviders: ["wasm"], logSeverityLevel: 3, extra: { session: { intra_op: { allow_spinning: "0" } } } };

export const threads = self.crossOriginIsolated ? Math.max(1, Math.min(MOST_THREADS, navigator.hardwareConcurrency >> 1)) : 1;
ort.env.wasm.wasmPaths = new URL("./", import.meta.url).href;
ort.env.wasm.numThreads = threads;

export { ort };

export const network = (file) => ort.InferenceSession.create(file, OPTIONS);

/** Answers the page's questions one after the other, each by the function whose name it has. */
export function answering(functions) {
  let before = Promise.resolve();
  async function answer({ number, name, question }) {
    try {
      self.postMessage({ number, result: await functions[name](question) });
    } catch (error) {
      self.postMessage({ number, error: error.message });
    }
  }
  self.onmessage = ({ data }) => {
    before = before.then(() => answer(data));
  };
}
