// Faces are judged by this browser: no picture goes anywhere.

/** Returns `about`, what the model is, and `judge`, which takes a canvas and, if it is of a file, the file. */
export async function start() {
  const worker = new Worker(new URL("judge_worker.js", import.meta.url), { type: "module" });
  const waiting = new Map();
  let asked = 0;
  worker.onmessage = ({ data: { number, result, error } }) => {
    const { resolve, reject } = waiting.get(number);
    waiting.delete(number);
    error ? reject(new Error(error)) : resolve(result);
  };
  const ask = (question, moved = []) =>
    new Promise((resolve, reject) => {
      waiting.set(++asked, { resolve, reject });
      worker.onerror = () => reject(new Error("The models could not be loaded: serve this folder, and open it by http."));
      worker.postMessage({ number: asked, ...question }, moved);
    });

  const { about, threads } = await ask({});
  async function judge(canvas, file) {
    if (!canvas) throw new Error("An image file was expected, found one that this browser cannot read: convert it to JPEG.");
    const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return ask({ image, isFrame: !file }, [image.data.buffer]);
  }
  return { about, judge, where: `Stays in this browser (${threads} ${threads === 1 ? "thread" : "threads"})` };
}
