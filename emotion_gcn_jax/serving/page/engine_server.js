// Faces are judged by the server that sent this page.

const MOST_BYTES = 2 ** 25;

async function answerOf(response) {
  const said = await response.json().catch(() => ({ error: `The server answered with ${response.status}.` }));
  if (!response.ok) throw new Error(said.error);
  return said;
}

async function ask(...request) {
  try {
    return await fetch(...request);
  } catch {
    throw new Error("The server does not answer: start emotion-gcn serve again, and reload this page.");
  }
}

/** Returns `about`, what the model is, and `judge`, which takes a canvas and, if it is of a file, the file. */
export async function start() {
  const about = await answerOf(await ask("about.json"));
  async function judge(canvas, file) {
    const body = file ?? (await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 }));
    if (body.size > MOST_BYTES) throw new Error(`A picture's file may have ${MOST_BYTES / 2 ** 20} MB: make it smaller.`);
    return answerOf(await ask(file ? "faces" : "frames", { method: "POST", body, headers: { "Content-Type": "application/octet-stream" } }));
  }
  return { about, judge, where: "Stays on this machine" };
}
