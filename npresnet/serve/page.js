"use strict";
// Sends the photo to /predict and /cam of this server, and shows what comes back as text and pictures, never as HTML.

const facts = JSON.parse(document.getElementById("facts").textContent);
const [drop, file, status_, result, stage, photo, heat, toggle, show, seen, note, classes] = [
  "drop", "file", "status", "result", "stage", "photo", "heat", "toggle", "show", "seen", "note", "classes",
].map((id) => document.getElementById(id));
const NO_CLASSIFIER = `This network has no classifier, so there are no labels; its embeddings are the output of /v2/models/${facts.name}/infer.`;
let chosen = null;  // the photo that is shown; an answer for an earlier one is dropped
let asked = 0;      // counts the maps that were asked for

function say(text, isError) {
  status_.textContent = text;
  status_.classList.toggle("error", Boolean(isError));
}

async function send(address, blob) {
  let answer;
  try {
    const headers = { "Content-Type": "application/octet-stream", "Accept": "application/json" };
    answer = await fetch(address, { method: "POST", headers, body: blob });
  } catch (error) {
    throw new Error("The server does not answer; is it still running?");
  }
  const text = await answer.text();
  let content;
  try {
    content = JSON.parse(text);
  } catch (error) {
    throw new Error(`The answer was not understood (status ${answer.status}).`);
  }
  if (!answer.ok) throw new Error(content.error || `Status ${answer.status}`);
  return content;
}

function percent(score) {
  return score === null ? "not a number" : `${(100 * score).toFixed(score >= 0.9995 || score < 0.0005 ? 2 : 1)} %`;
}

function row(candidate, blob) {
  const item = document.createElement("li"), button = document.createElement("button");
  const label = document.createElement("span"), score = document.createElement("span");
  const bar = document.createElement("span"), fill = document.createElement("i");
  label.className = "label";
  label.textContent = candidate.label;
  score.textContent = percent(candidate.score);
  bar.className = "bar";
  fill.style.width = `${100 * (candidate.score || 0)}%`;
  bar.append(fill);
  button.type = "button";
  button.dataset.index = candidate.index;
  button.disabled = Boolean(facts.cam);
  button.append(label, score, bar);
  button.addEventListener("click", () => look(candidate, blob));
  item.append(button);
  return item;
}

async function look(candidate, blob) {
  if (facts.cam) return;
  const turn = ++asked;
  for (const button of classes.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.dataset.index === String(candidate.index)));
  }
  try {
    const map = await send(`cam?index=${candidate.index}`, blob);
    if (blob !== chosen || turn !== asked) return;
    const [left, top, right, bottom] = map.box;
    heat.style.left = `${100 * left}%`;
    heat.style.top = `${100 * top}%`;
    heat.style.width = `${100 * (right - left)}%`;
    heat.style.height = `${100 * (bottom - top)}%`;
    heat.src = map.heat;
    seen.textContent = map.label;
    toggle.hidden = false;
    heat.hidden = !show.checked;
  } catch (error) {
    if (blob === chosen) note.textContent = error.message;
  }
}

// The first of some files, for the page shows one photo; what else came is told.
function takeFirst(files) {
  if (!files.length) return say("That was not a file. Choose, drop or paste a photo.", true);
  take(files[0], files.length > 1 ? `; the first of ${files.length} files` : "");
}

async function take(blob, others = "") {
  if (!blob) return;
  chosen = blob;
  asked += 1;
  heat.hidden = toggle.hidden = true;
  note.textContent = facts.cam ? `There is no map for this network: ${facts.cam}` : "";
  classes.replaceChildren();
  URL.revokeObjectURL(photo.src);
  stage.hidden = false;
  photo.src = URL.createObjectURL(blob);
  if (!facts.predicts) return say(NO_CLASSIFIER, true);
  result.hidden = false;
  say("Computing …");
  const began = performance.now();
  try {
    const record = await send("predict?top=5", blob);
    if (blob !== chosen) return;
    classes.replaceChildren(...record.top.map((candidate) => row(candidate, blob)));
    say(`${record.label}, ${percent(record.score)}, in ${Math.round(performance.now() - began)} ms${others}`);
    await look(record.top[0], blob);
  } catch (error) {
    if (blob !== chosen) return;
    result.hidden = true;
    say(error.message, true);
  }
}

stage.classList.toggle("as-stored", !facts.exif);
photo.addEventListener("error", () => { stage.hidden = true; note.textContent = "This browser cannot show the picture."; });
show.addEventListener("change", () => { heat.hidden = !show.checked; });
file.addEventListener("change", () => take(file.files[0]));
document.addEventListener("paste", (event) => takeFirst(event.clipboardData.files));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
}
document.addEventListener("drop", (event) => takeFirst(event.dataTransfer.files));
if (!facts.predicts) say(NO_CLASSIFIER, true);
