// Where pictures come from: files, the camera, a video. Each gives frames as canvases.

const MOST_PIXELS = 50_000_000;
const AT_ONCE = 3; // frames that the page holds
const LIVE_SIDE = 640; // longest side of a frame that is judged: what the face detector looks at

/** Reads a photograph as the browser shows it, turned upright; null if this browser cannot. */
export async function photograph(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null;
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) {
    throw new Error(`The picture has more than ${MOST_PIXELS / 1e6} million pixels: make it smaller.`);
  }
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

/** The frames of a video element, at most LIVE_SIDE wide or high. */
class Frames {
  constructor(name, element) {
    const canvases = Array.from({ length: AT_ONCE }, () => new OffscreenCanvas(1, 1));
    Object.assign(this, { name, element, canvases });
  }

  /** What is shown now; the two frames before stay as they were, since one is still judged and the page shows the other. */
  frame() {
    const { videoWidth, videoHeight } = this.element;
    const scale = Math.min(1, LIVE_SIDE / Math.max(videoWidth, videoHeight));
    const width = Math.round(videoWidth * scale), height = Math.round(videoHeight * scale);
    const canvas = this.canvases.shift();
    this.canvases.push(canvas);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.getContext("2d", { willReadFrequently: true }).drawImage(this.element, 0, 0, width, height);
    return canvas;
  }

  get ended() {
    return this.element.ended;
  }

  /** Seconds from the start; stands still while it is paused. */
  get time() {
    return this.element.currentTime;
  }
}

/** Opens the camera; throws an Error with a sentence. */
export async function openCamera() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give a camera to pages of this machine and to https alone: open the page at 127.0.0.1.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640, height: 480, facingMode: "user" } });
  } catch (error) {
    const isRefused = error.name === "NotAllowedError";
    throw new Error(
      isRefused
        ? "The browser did not give this page the camera: allow it beside the address, and start again."
        : "No camera could be opened: check that there is one and that nothing else uses it.",
    );
  }
  const element = Object.assign(document.createElement("video"), { muted: true, playsInline: true, srcObject: stream });
  await element.play();
  return Object.assign(new Frames("camera", element), {
    title: "what the camera sees",
    close: () => stream.getTracks().forEach((track) => track.stop()),
  });
}

/** Opens a video file; throws an Error with a sentence. */
export async function openVideo(file) {
  const address = URL.createObjectURL(file);
  const element = Object.assign(document.createElement("video"), { muted: true, playsInline: true, src: address });
  try {
    await element.play();
  } catch {
    URL.revokeObjectURL(address);
    throw new Error(`${file.name}: A video was expected that this browser plays, such as MP4 or WebM: convert it.`);
  }
  return Object.assign(new Frames(file.name, element), {
    title: file.name,
    isSeekable: true,
    close: () => {
      element.pause();
      URL.revokeObjectURL(address);
    },
  });
}
