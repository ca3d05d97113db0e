// The page: which picture is open, what is chosen in it, and every button and key.

import { get, send, upload } from "./api.js";
import { counted, element, ObjectTable, showCounts, showPictures } from "./lists.js";
import { Pointer } from "./pointer.js";
import { View, withPath } from "./view.js";

const POLL_MS = 600;
const UPLOADS = 2;
const byId = (id) => document.getElementById(id);

let project = null;
let picture = null; // what the server says of the open one
const objects = new Map(); // by number, of the open one
const chosen = new Set();
let score = 0;
let polling = null;
let isTraining = false;
let isGoing = false; // to the next picture
let work = Promise.resolve(); // corrections go one after the other
const sending = { total: 0, sent: 0, failed: [] };

const view = new View(byId("canvas"));
const table = new ObjectTable(choose);
const desk = {
  tool: "select",
  radius: () => Number(byId("radius").value),
  choose: (one, isAdded) => choose(one ? one.number : null, isAdded),
  hover,
  correct,
  stroke(points, erases) {
    const number = chosen.size === 1 ? [...chosen][0] : null;
    correct("brush", { points, radius: desk.radius(), number, erases });
  },
  cut(points) {
    const numbers = chosen.size ? [...chosen] : crossed(points);
    if (numbers.length === 1) correct("split", { number: numbers[0], points });
    else alertOf("choose the one object to cut first");
  },
};
const pointer = new Pointer(view, desk);

const isCounted = (one) => one.changed !== null || one.score === null || one.score > score;
const colorOf = (label) => project.colors[label % project.colors.length];
const colorOfObject = (one) => colorOf(project.classes.length > 1 ? one.label : one.number);

async function start() {
  project = await get("/api/project");
  byId("weights").textContent = `${project.weights}; saved in the folder ${project.folder}`;
  byId("user").value = localStorage.getItem("user") ?? project.user;
  const names = project.classes.map((name, label) => element("option", name, { value: label }));
  if (names.length > 1) names.unshift(element("option", "as the model says", { value: "" }));
  byId("label").replaceChildren(...names);
  const own = element("option", "this data set (COCO, who changed what)", { value: "" });
  const formats = Object.entries(project.formats).map(([name, files]) => element("option", `${name}: ${files}`, { value: name }));
  byId("format").replaceChildren(own, ...formats);
  byId("score").min = project.floor;
  byId("score").value = score = project.score;
  showScore();
  refreshed();
  const first = project.pictures.find((one) => one.state === "done");
  if (first) await open((await get("/api/next")).id ?? first.id);
  poll();
  follow(get("/api/training"));
}

function refreshed() {
  const { pictures } = project;
  showPictures(pictures, picture?.id, open);
  const waiting = pictures.filter((one) => one.state === "waiting").length;
  const done = pictures.length - waiting;
  const rest = sending.total - sending.sent;
  const progress = byId("progress");
  progress.hidden = !waiting && !rest;
  progress.max = pictures.length + rest || 1;
  progress.value = done;
  const failed = sending.failed.map((sentence) => `not taken: ${sentence}`);
  const parts = [rest ? `${rest} to send` : "", waiting ? `${waiting} waiting` : "", ...failed];
  byId("sending").textContent = parts.filter(Boolean).join("; ");
  const num = pictures.filter((one) => one.checked).length;
  byId("training").textContent = `${num} of ${pictures.length} pictures are checked. Training fine-tunes the model on them, and compares it before and after on a fifth that is held back.`;
  byId("train").disabled = num < 2 || isTraining;
  byId("command").textContent = project.train;
  for (const id of ["check", "skip"]) byId(id).disabled = !picture;
  return waiting;
}

async function refresh() {
  project = { ...project, ...(await get("/api/project")) };
  if (!picture) {
    const first = project.pictures.find((one) => one.state === "done");
    if (first) await open(first.id);
  }
  return refreshed();
}

// Ask until nothing waits.
function poll() {
  if (polling) return;
  polling = setTimeout(async () => {
    polling = null;
    try {
      if ((await refresh()) || sending.sent < sending.total) poll();
    } catch (error) {
      alertOf(error.message);
      poll();
    }
  }, POLL_MS);
}

// Follow a training run until it ends.
async function follow(asked) {
  try {
    const { state, lines } = await asked;
    isTraining = state === "running";
    byId("stop").hidden = !isTraining;
    const log = byId("log");
    log.hidden = state === "none";
    log.textContent = [...lines, isTraining ? "" : `training: ${state}`].join("\n");
    log.scrollTop = log.scrollHeight;
    if (isTraining) setTimeout(() => follow(get("/api/training")), 4 * POLL_MS);
  } catch (error) {
    alertOf(error.message);
    if (isTraining) setTimeout(() => follow(get("/api/training")), 4 * POLL_MS);
  }
  refreshed();
}

async function sendFiles(files) {
  const waiting = [...files];
  await ready;
  if (sending.sent === sending.total) Object.assign(sending, { total: 0, sent: 0, failed: [] });
  sending.total += waiting.length;
  refreshed();
  const one = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      try {
        await upload(file);
      } catch (error) {
        sending.failed.push(`${file.name}: ${error.message}`);
      }
      sending.sent += 1;
      poll();
    }
  };
  await Promise.all(Array.from({ length: UPLOADS }, one));
  await refresh();
}

async function open(id) {
  await work; // what was done to the last one
  const [told, image] = await Promise.all([get(`/api/pictures/${id}`), loaded(`/api/pictures/${id}/image`)]);
  picture = told;
  objects.clear();
  chosen.clear();
  for (const one of told.objects) objects.set(one.number, withPath(one));
  pointer.cancel();
  byId("empty").hidden = true;
  alertOf("");
  view.open(image, { width: told.width, height: told.height });
  steps(told);
  show();
  say(`${told.name}: ${counted(shown().length)}`);
  refreshed();
}

async function loaded(path) {
  const image = new Image();
  image.src = path;
  await image.decode();
  return image;
}

function shown() {
  return [...objects.values()].filter(isCounted);
}

// Everything that depends on the objects, the score or what is chosen.
function show() {
  const counting = shown();
  for (const number of chosen) if (!objects.has(number) || !isCounted(objects.get(number))) chosen.delete(number);
  Object.assign(view.scene, { objects: counting, chosen, hovered: null, color: colorOfObject });
  view.draw();
  showCounts(counting, project.classes, colorOf);
  table.show(objects.values(), isCounted, project.classes, chosen);
  const name = picture ? `Picture ${picture.name}: ${counted(counting.length)}` : "No picture yet";
  byId("canvas").setAttribute("aria-label", name);
  byId("remove").disabled = !chosen.size;
  byId("merge").disabled = chosen.size < 2;
}

function showScore() {
  byId("score-shown").textContent = score.toFixed(2);
}

function steps({ can_undo, can_redo }) {
  byId("undo").disabled = !can_undo;
  byId("redo").disabled = !can_redo;
}

function choose(number, isAdded = false) {
  if (!isAdded) chosen.clear();
  if (number !== null) {
    if (chosen.has(number)) chosen.delete(number);
    else chosen.add(number);
    table.scrollTo(number);
  }
  show();
  const one = chosen.size === 1 ? objects.get([...chosen][0]) : null;
  say(one ? described(one) : chosen.size ? `${counted(chosen.size)} chosen` : "");
}

function described(one) {
  const sure = one.score === null ? "" : `, score ${one.score.toFixed(2)}`;
  const by = one.changed ? `, ${one.changed.what} by ${one.changed.by}` : "";
  return `Object ${one.number}: ${project.classes[one.label]}${sure}, ${one.area} px${by}`;
}

function hover(one, event) {
  if (view.scene.hovered !== one) {
    view.scene.hovered = one;
    view.draw();
  }
  const tip = byId("tip");
  tip.hidden = !one;
  if (one) {
    const box = byId("frame").getBoundingClientRect();
    tip.textContent = described(one);
    tip.style.left = `${Math.max(0, Math.min(event.clientX - box.left + 12, box.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(0, event.clientY - box.top - 32)}px`;
  }
}

// One correction after the other; what comes back is what there is now.
function correct(what, fields) {
  if (!picture) return;
  const label = byId("label").value;
  const isNew = what === "add-polygon" || (what === "brush" && fields.number === null);
  if (isNew && label === "") {
    alertOf("choose the class of the new object first: in the list, or by its number key");
    return;
  }
  const needs = what === "add-polygon" || what === "brush" || what === "relabel";
  const labelled = needs ? { label: Number(label) } : what === "add-box" && label !== "" ? { label: Number(label) } : {};
  ask(`/api/pictures/${picture.id}/edits`, { what, ...labelled, ...fields });
}

function ask(path, value) {
  const id = picture.id;
  work = work.then(async () => {
    try {
      const done = await send(path, { ...value, by: byId("user").value });
      if (picture.id !== id) return;
      for (const number of done.removed) objects.delete(number);
      for (const one of done.objects) objects.set(one.number, withPath(one));
      chosen.clear();
      if (done.objects.length === 1) chosen.add(done.objects[0].number);
      steps(done);
      alertOf("");
      show();
      say(`saved; ${counted(shown().length)}`);
      project.pictures = project.pictures.map((one) => (one.id === id ? done.picture : one));
      refreshed();
    } catch (error) {
      alertOf(error.message);
    }
  });
  return work;
}

// Objects that a line goes through.
function crossed(points) {
  const hit = new Set();
  points.forEach(([x, y], i) => {
    const [x0, y0] = points[Math.max(0, i - 1)];
    const steps = Math.max(1, Math.ceil(Math.hypot(x - x0, y - y0)));
    for (let k = 0; k <= steps; k += 1) {
      const one = view.under([x0 + ((x - x0) * k) / steps, y0 + ((y - y0) * k) / steps]);
      if (one) hit.add(one.number);
    }
  });
  return [...hit];
}

async function goNext(isChecked) {
  if (!picture || isGoing) return; // a second press is not for a picture that nobody has seen
  const { id } = picture;
  isGoing = true;
  try {
    await work;
    if (isChecked) await send(`/api/pictures/${id}/checked`, { checked: true, by: byId("user").value });
    const next = (await get(`/api/next?after=${id}`)).id;
    await refresh();
    if (next === null) say("every picture is checked");
    else if (next !== id) await open(next);
  } catch (error) {
    alertOf(error.message);
  } finally {
    isGoing = false;
  }
}

function setTool(name) {
  desk.tool = name;
  pointer.cancel();
  for (const button of document.querySelectorAll("[data-tool]")) {
    button.setAttribute("aria-pressed", button.dataset.tool === name);
  }
}

const remove = () => chosen.size && correct("remove", { numbers: [...chosen] });
const merge = () => chosen.size > 1 && correct("merge", { numbers: [...chosen] });
const undo = () => picture && ask(`/api/pictures/${picture.id}/undo`, {});
const redo = () => picture && ask(`/api/pictures/${picture.id}/redo`, {});

function relabel(label) {
  byId("label").value = label;
  if (chosen.size) correct("relabel", { numbers: [...chosen] });
}

// Along the objects by number.
function step(by) {
  const numbers = shown().map((one) => one.number).sort((a, b) => a - b);
  if (!numbers.length) return;
  const at = chosen.size === 1 ? numbers.indexOf([...chosen][0]) : by > 0 ? -1 : 0;
  choose(numbers[(at + by + numbers.length) % numbers.length]);
}

const KEYS = {
  v: () => setTool("select"),
  b: () => setTool("box"),
  p: () => setTool("polygon"),
  r: () => setTool("brush"),
  e: () => setTool("erase"),
  x: () => setTool("cut"),
  m: merge,
  delete: remove,
  backspace: remove,
  n: () => goNext(false),
  c: () => goNext(true),
  "+": () => view.zoom(1.25),
  "=": () => view.zoom(1.25),
  "-": () => view.zoom(0.8),
  0: () => view.fit(),
  enter: () => pointer.finish(),
  escape: () => pointer.cancel() || choose(null),
};
const ARROWS = { arrowright: 1, arrowdown: 1, arrowleft: -1, arrowup: -1 };

function pressed(event) {
  const key = event.key.toLowerCase();
  const isTyping = event.target.matches("input:not([type=range]), select, textarea");
  if ((event.ctrlKey || event.metaKey) && !isTyping) {
    if (key === "z") event.shiftKey ? redo() : undo();
    else if (key === "y") redo();
    else return;
    event.preventDefault();
    return;
  }
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const isOnCanvas = event.target === view.canvas;
  if (key === " " && isOnCanvas) {
    pointer.isSpace = true;
  } else if (key in ARROWS && isOnCanvas) {
    step(ARROWS[key]);
  } else if (key === "enter" && !isOnCanvas) {
    return; // it presses the button that has the focus
  } else if (/^[1-9]$/.test(key) && Number(key) <= project.classes.length) {
    relabel(Number(key) - 1);
  } else if (key in KEYS) {
    KEYS[key]();
  } else {
    return;
  }
  event.preventDefault();
}

function say(sentence) {
  byId("status").textContent = sentence;
}

function alertOf(sentence) {
  byId("alert").textContent = sentence;
}

for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => setTool(button.dataset.tool);
const BUTTONS = {
  remove,
  merge,
  undo,
  redo,
  check: () => goNext(true),
  train: () => follow(send("/api/training", {})),
  stop: () => follow(send("/api/training", {}, "DELETE")),
  skip: () => goNext(false),
  larger: () => view.zoom(1.25),
  smaller: () => view.zoom(0.8),
  fit: () => view.fit(),
};
for (const [id, action] of Object.entries(BUTTONS)) byId(id).onclick = () => action();
byId("label").onchange = () => byId("label").value !== "" && relabel(byId("label").value);
byId("user").onchange = () => localStorage.setItem("user", byId("user").value);
byId("files").onchange = (event) => sendFiles(event.target.files).then(() => (event.target.value = ""));
byId("format").onchange = () => {
  const name = byId("format").value;
  byId("download").href = name ? `/api/export/${encodeURIComponent(name)}` : "/api/dataset";
};
byId("score").oninput = () => {
  score = Number(byId("score").value);
  showScore();
  if (picture) show();
};
byId("score").onchange = async () => {
  try {
    await send("/api/score", { score }, "PUT");
    await refresh();
  } catch (error) {
    alertOf(error.message);
  }
};
document.addEventListener("keydown", pressed);
document.addEventListener("keyup", (event) => event.key === " " && (pointer.isSpace = false));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  sendFiles(event.dataTransfer.files);
});
const ready = start();
ready.catch((error) => alertOf(error.message));
