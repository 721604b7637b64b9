// Keeps the sections of the page up to date. The server makes their HTML; without this script the
// page is loaded again every few seconds instead.
"use strict";

const live = document.getElementById("live");

// Changes what is there into what is to be there, element by element: what has the focus, what was
// typed and a button that is just being pressed stay.
function patch(old, made) {
  if (old.nodeName !== made.nodeName || old.id !== made.id) {
    old.replaceWith(made);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== made.data) old.data = made.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!made.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of made.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  patchChildren(old, made);
}

function patchChildren(old, made) {
  const before = [...old.childNodes], after = [...made.childNodes];
  before.slice(after.length).forEach((each) => each.remove());
  after.forEach((each, at) => {
    if (at < before.length) patch(before[at], each);
    else old.append(each);
  });
}

function show(name, html) {
  const made = document.createElement("template");
  made.innerHTML = html;
  patchChildren(document.getElementById(name), made.content);
}

function state(on, text) {
  live.dataset.state = on ? "on" : "off";
  live.textContent = text;
}

function follow() {
  const events = new EventSource(document.querySelector("main").dataset.events);
  events.addEventListener("open", () => state(true, "live"));
  events.addEventListener("error", () => {
    state(false, "connecting …");
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  });
  events.addEventListener("sections", (event) => {
    for (const [name, html] of Object.entries(JSON.parse(event.data))) show(name, html);
  });
}

follow();
