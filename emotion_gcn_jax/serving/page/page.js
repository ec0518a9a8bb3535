// The page: what its buttons do, and the loop over frames.

import { Cards } from "./cards.js";
import { drawPlane } from "./charts.js";
import { start } from "./engine.js";
import { Tracks, affectTask } from "./faces.js";
import { openCamera, openVideo, photograph } from "./sources.js";
import { Stage } from "./stage.js";
import { SHOWN, Table } from "./table.js";

const $ = (id) => document.getElementById(id);
const LOOK_EVERY = 10; // milliseconds between looks whether a source has a new frame
const TABLE_EVERY = 500; // milliseconds between drawings of the table while frames come
let engine, tasks, stage, cards, table;
let running = null; // the camera or video whose frames are judged

function say(sentence, isBad = false) {
  $("status").textContent = sentence;
  $("status").classList.toggle("bad", isBad);
}

function show(picture, found, faces, live) {
  stage.show(picture, found.width, found.height, faces);
  cards.show(faces, live);
  $("drop").hidden = true;
  $("empty").hidden = faces.length > 0;
  const affect = affectTask(tasks);
  $("affect").hidden = !affect || !faces.length;
  $("affect-note").hidden = !live;
  if (affect && faces.length) drawPlane($("plane"), faces, affect);
}

function drawTable() {
  table.draw($("table"));
  const rows = table.rows.length;
  $("scroll").hidden = !rows;
  $("clear").disabled = $("download").disabled = !rows;
  const full = table.isFull ? ": it is full, download and clear it" : "";
  $("count").textContent = rows ? `${rows.toLocaleString("en")} ${rows === 1 ? "face" : "faces"}${rows > SHOWN ? ", the last ones shown" : ""}${full}` : "no faces yet";
}

const counted = (number) => (number === 0 ? "No face was found" : number === 1 ? "One face" : `${number} faces`);

async function judgePhotographs(files) {
  stop();
  document.body.classList.add("busy");
  const failed = [];
  for (const [i, file] of [...files].entries()) {
    say(files.length > 1 ? `${i + 1} of ${files.length}: ${file.name}` : `Looking at ${file.name}…`);
    try {
      await judgePhotograph(file);
    } catch (error) {
      failed.push(`${file.name}: ${error.message}`);
    }
  }
  document.body.classList.remove("busy");
  drawTable();
  if (failed.length) say(failed.slice(0, 3).join(" "), true);
}

async function judgePhotograph(file) {
  const canvas = await photograph(file);
  const found = await engine.judge(canvas, file);
  const faces = new Tracks().follow(found.faces, 0);
  show(canvas, found, faces, false);
  table.add(file.name, faces);
  say(`${counted(faces.length)} in ${file.name}.${canvas ? "" : " This browser cannot show the picture itself."}`);
}

/** Judges a source's frames one after the other until it ends or is stopped. */
async function play(open) {
  stop();
  let source;
  try {
    source = await open();
  } catch (error) {
    say(error.message, true);
    return;
  }
  running = source;
  $("playing").hidden = false;
  $("position").hidden = !source.isSeekable;
  $("pause").textContent = "Pause";
  say(`Looking at ${source.title}.`);
  try {
    await judgeFrames(source);
  } catch (error) {
    say(error.message, true);
  }
  if (running === source) stop();
}

/**
 * A source's frames with what was found in them, until it ends or is stopped. Two are on their way at once: neither
 * server nor browser need one frame's end to begin with another.
 */
async function* judged(source) {
  const begun = []; // the earliest first
  let last = -1;
  const goesOn = () => running === source && !source.ended;
  while (begun.length || goesOn()) {
    const time = source.time;
    if (begun.length < 2 && goesOn() && time !== last) {
      const canvas = source.frame();
      const frame = { canvas, time: (last = time), found: engine.judge(canvas, null), isDone: false };
      frame.settled = frame.found.catch(() => {}).then(() => (frame.isDone = true));
      begun.push(frame);
    }
    await Promise.race([...begun.slice(0, 1).map(({ settled }) => settled), new Promise((next) => setTimeout(next, LOOK_EVERY))]);
    if (begun[0]?.isDone) {
      const { canvas, time, found } = begun.shift();
      yield { canvas, time, found: await found };
    }
  }
}

async function judgeFrames(source) {
  const tracks = new Tracks();
  const moments = []; // when the last two seconds' frames were judged, two frames at least
  let drawn = 0, frame = 0;
  for await (const { canvas, time, found } of judged(source)) {
    if (running !== source) return;
    const faces = tracks.follow(found.faces, time);
    show(canvas, found, faces, true);
    table.add(source.name, faces, { frame: frame++, time });
    const now = performance.now();
    moments.push(now);
    while (moments.length > 2 && now - moments[0] > 2000) moments.shift();
    if (moments.length > 1) $("rate").textContent = `${((1000 * (moments.length - 1)) / (now - moments[0])).toFixed(1)} frames/s`;
    if (source.isSeekable) $("position").value = time / source.element.duration;
    if (now - drawn > TABLE_EVERY) {
      drawn = now;
      drawTable();
    }
  }
  if (running === source) say(`That was ${source.title}.`); // and was not stopped meanwhile
}

function stop() {
  if (!running) return;
  running.close();
  running = null;
  $("playing").hidden = true;
  $("rate").textContent = "";
  drawTable();
}

function download() {
  const address = URL.createObjectURL(new Blob([table.csv()], { type: "text/csv" }));
  Object.assign(document.createElement("a"), { href: address, download: "faces.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function open(files) {
  const all = [...files];
  const video = all.find(({ type }) => type.startsWith("video/"));
  if (video) play(() => openVideo(video));
  else if (all.length) judgePhotographs(all);
}

function connect() {
  $("photos").addEventListener("change", async ({ target }) => {
    await judgePhotographs([...target.files]);
    target.value = ""; // the same file can be chosen again
  });
  $("video").addEventListener("change", ({ target: { files } }) => files.length && play(() => openVideo(files[0])));
  $("video").addEventListener("click", ({ target }) => (target.value = ""));
  $("camera").addEventListener("click", () => play(openCamera));
  $("pause").addEventListener("click", () => {
    const { element } = running;
    element.paused ? element.play() : element.pause();
    $("pause").textContent = element.paused ? "Go on" : "Pause";
  });
  $("stop").addEventListener("click", () => {
    say("Stopped.");
    stop();
  });
  $("position").addEventListener("input", ({ target }) => {
    running.element.currentTime = target.value * running.element.duration;
  });
  $("download").addEventListener("click", download);
  $("clear").addEventListener("click", () => {
    table.clear();
    drawTable();
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("stage").classList.add("over");
  });
  addEventListener("dragleave", () => $("stage").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("stage").classList.remove("over");
    open(event.dataTransfer.files);
  });
}

async function begin() {
  document.body.classList.add("busy");
  engine = await start();
  tasks = engine.about.tasks;
  stage = new Stage($("picture"), tasks);
  cards = new Cards($("cards"), tasks);
  table = new Table(tasks);
  $("model").textContent = `${engine.about.name}: ${tasks.map(({ outputs }) => outputs.join(", ")).join("; ")}`;
  $("model").title = $("model").textContent;
  $("where").textContent = engine.where;
  connect();
  document.body.classList.remove("busy");
  say("Ready.");
}

begin().catch((error) => say(error.message, true));
