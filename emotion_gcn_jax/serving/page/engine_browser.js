// Faces are judged by this browser: no picture goes anywhere.

/** Starts a worker; returns a function that asks it something: a function's name, its argument, and what moves there. */
function asker(file) {
  const worker = new Worker(new URL(file, import.meta.url), { type: "module" });
  const waiting = new Map();
  let asked = 0;
  worker.onerror = () => {
    const sentence = "The models could not be loaded: serve this folder, and open it by http.";
    for (const { reject } of waiting.values()) reject(new Error(sentence));
    waiting.clear();
  };
  worker.onmessage = ({ data: { number, result, error } }) => {
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    error ? reject(new Error(error)) : resolve(result);
  };
  return (name, question, moved = []) =>
    new Promise((resolve, reject) => {
      waiting.set(++asked, { resolve, reject });
      worker.postMessage({ number: asked, name, question }, moved);
    });
}

/** Returns `about`, what the model is, and `judge`, which takes a canvas and, if it is of a file, the file. */
export async function start() {
  const about = await (await fetch("about.json")).json();
  const finder = asker("find_worker.js"), judges = asker("judge_worker.js");
  const threads = (await Promise.all([finder("start", about), judges("start", about)])).reduce((a, b) => a + b);
  async function judge(canvas, file) {
    if (!canvas) throw new Error("An image file was expected, found one that this browser cannot read: convert it to JPEG.");
    const { width, height } = canvas;
    const image = canvas.getContext("2d").getImageData(0, 0, width, height);
    const { places, images } = await finder("find", { image, isFrame: !file }, [image.data.buffer]);
    const answers = places.length ? await judges("judge", images) : [];
    return { width, height, faces: places.map((place, i) => ({ ...place, answers: answers[i] })) };
  }
  return { about, judge, where: `Stays in this browser (${threads} threads)` };
}
