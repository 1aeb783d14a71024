"use strict";

// What a person can do about a refusal, by the reason that the server tells.
const advice = {
  space: "Delete files that are no longer needed, then try again.",
  inodes: "Delete files that are no longer needed, then try again.",
  quota: "Delete files of yours that are no longer needed, then try again.",
  too_large: "Trying again will not help. Send a smaller file, or split it.",
  exceeds_capacity: "Trying again will not help: it is larger than the whole disk can take. Send a smaller file.",
  exceeds_quota: "Trying again will not help: it is larger than your whole quota. Send a smaller file, or ask for more.",
  read_only: "Nothing can be written to the disk now. Please tell whoever runs this server.",
  unmeasured: "Please try again in a moment.",
  unknown_tenant: "Enter your name above, then try again.",
};

const atOnce = 3;
const waiting = [];
let sending = 0;

const byId = (id) => document.getElementById(id);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1023.95 && unit < units.length - 1; unit++) bytes /= 1024;
  return unit ? `${bytes.toFixed(1)} ${units[unit]}` : `${bytes} B`;
}

function address(name) {
  return `files/${encodeURIComponent(name)}`;
}

// ---- whose files they are, where the server asks for that

const tenantHeader = document.body.dataset.tenantHeader;

/// A header is bytes, so a name goes out in UTF-8.
function tenant() {
  const bytes = new TextEncoder().encode(byId("tenant").value.trim());
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

function mine() {
  return tenantHeader && tenant() ? { [tenantHeader]: tenant() } : {};
}

function ask(path, options = {}) {
  return fetch(path, { ...options, headers: mine() });
}

async function quota() {
  if (!tenantHeader) return;
  const place = byId("quota");
  const answer = tenant() ? await ask("quota").catch(() => {}) : undefined;
  const figures = answer?.ok ? await answer.json() : undefined;
  place.textContent = figures ? quotaWords(figures) : "";
}

function quotaWords({ used, limit, available }) {
  if (limit === null) return `${size(used)} stored`;
  return `${size(used)} of ${size(limit)} stored, ${size(available)} left`;
}

// ---- uploads

function take(files) {
  for (const file of files) {
    const item = make("li");
    const row = make("div", "row");
    row.append(make("span", "name", file.name), make("span", "size", size(file.size)));
    item.append(row);
    byId("uploads").prepend(item);
    byId("uploads-section").hidden = false;
    enqueue(file, item);
  }
}

function enqueue(file, item) {
  item.className = "";
  item.querySelectorAll(":scope > :not(:first-child)").forEach((old) => old.remove());
  const bar = make("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", `upload of ${file.name}`);
  const said = make("p", "said", "Waiting …");
  item.append(bar, said);
  waiting.push({ file, item, bar, said });
  next();
}

function next() {
  while (sending < atOnce && waiting.length) send(waiting.shift());
}

function send({ file, item, bar, said }) {
  sending += 1;
  said.textContent = "0 %";
  const request = new XMLHttpRequest();
  request.upload.addEventListener("progress", (event) => {
    const part = event.total ? event.loaded / event.total : 1;
    bar.value = part;
    said.textContent = part < 1 ? `${Math.floor(part * 100)} %` : "Storing …";
  });
  request.addEventListener("loadend", () => {
    sending -= 1;
    bar.remove();
    if (request.status === 201 || request.status === 204) {
      item.className = "stored";
      said.textContent = request.status === 201 ? "Stored." : "Stored in place of the former one.";
    } else {
      refused(file, item, said, request);
    }
    look();
    next();
  });
  request.open("PUT", address(file.name));
  request.setRequestHeader("Accept", "application/problem+json");
  for (const [name, value] of Object.entries(mine())) request.setRequestHeader(name, value);
  request.send(file);
}

function refused(file, item, said, request) {
  item.className = "refused";
  const { words, todo, again } = explain(request);
  said.textContent = words;
  const actions = make("div", "row");
  if (again) actions.append(button("Try again", () => enqueue(file, item)));
  actions.append(button("Dismiss", () => {
    item.remove();
    byId("uploads-section").hidden = !byId("uploads").children.length;
  }));
  item.append(make("p", "advice", todo), actions);
}

function explain(request) {
  if (!request.status) {
    return {
      words: "Not stored: the connection broke off before the server answered.",
      todo: "Check that you are online and whether there is room, then try again.",
      again: true,
    };
  }
  let problem = {};
  try {
    problem = JSON.parse(request.responseText);
  } catch {
    // Not a refusal but something else, told in plain text.
  }
  if (!problem.reason) {
    const words = request.responseText.trim() || `status ${request.status}`;
    return { words: `Not stored: ${words}.`, todo: "Change that, then try again.", again: true };
  }
  let todo = advice[problem.reason] ?? "Please try again later.";
  const seconds = request.getResponseHeader("Retry-After");
  if (seconds) todo += ` The server suggests to wait ${seconds} seconds.`;
  return { words: `Not stored: ${problem.detail}.`, todo, again: request.status !== 413 };
}

function button(text, action) {
  const element = make("button", "", text);
  element.type = "button";
  element.addEventListener("click", action);
  return element;
}

// ---- what is stored, and how much room there is

async function look() {
  quota();
  const isAnybody = !tenantHeader || tenant();
  const [files, ready] = await Promise.allSettled([
    isAnybody ? ask("files").then((answer) => answer.json()) : [],
    fetch("readyz").then((answer) => answer.text()),
  ]);
  if (files.status === "fulfilled") list(files.value);
  if (ready.status === "fulfilled") room(ready.value.trim());
}

function list(files) {
  byId("nothing").hidden = files.length > 0;
  byId("count").textContent = files.length || "";
  byId("stored").replaceChildren(...files.map((file) => {
    const item = make("li", "row");
    const name = make("span", "name");
    const link = make("a", "", file.name);
    link.href = address(file.name);
    link.download = file.name;
    if (tenantHeader) link.addEventListener("click", (event) => {
      event.preventDefault();
      download(file.name);
    });
    name.append(link);
    const remove = button("Delete", async () => {
      remove.disabled = true;
      await ask(address(file.name), { method: "DELETE" }).catch(() => {});
      look();
    });
    remove.setAttribute("aria-label", `Delete ${file.name}`);
    item.append(name, make("span", "size", size(file.size)), remove);
    return item;
  }));
}

/// A link alone would not say whose file it is.
async function download(name) {
  const answer = await ask(address(name)).catch(() => {});
  if (!answer?.ok) return look();
  const link = make("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function room(word) {
  const words = {
    near: "The disk is nearly full. Please delete what is no longer needed.",
    full: "The disk is full: nothing is accepted until something is deleted.",
  };
  const place = byId("room");
  place.hidden = !(word in words);
  place.className = `room ${word}`;
  place.textContent = words[word] ?? "";
}

byId("pick").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
if (tenantHeader) {
  byId("who").hidden = false;
  byId("tenant").addEventListener("change", look);
}
look();
setInterval(() => document.hidden || look(), 5000);
