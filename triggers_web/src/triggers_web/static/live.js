// Keeps the page's [data-live] parts as the server would render them now.
"use strict";

const SECONDS_BETWEEN = 1;
const MOST_OF_THE_TIME = 10; // after a slow answer, wait this many times as long as it took

const state = document.getElementById("live");
const pause = document.getElementById("pause");
let isPaused = false;
let shown = "";

function tell(text, kind) {
  if (state.textContent !== text) {
    state.textContent = text;
    state.className = `live ${kind}`;
  }
}

// Changes as little as it can, so that what is scrolled, selected or focused stays so.
function update(current, fresh) {
  if (current.isEqualNode(fresh)) return;
  if (current.nodeName !== fresh.nodeName) {
    current.replaceWith(document.adoptNode(fresh));
  } else if (current.nodeType !== Node.ELEMENT_NODE) {
    current.nodeValue = fresh.nodeValue;
  } else {
    for (const { name } of [...current.attributes]) {
      if (!fresh.hasAttribute(name)) current.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) current.setAttribute(name, value);
    const before = [...current.childNodes];
    const after = [...fresh.childNodes];
    if (before.length === after.length) {
      before.forEach((child, index) => update(child, after[index]));
    } else {
      replaceChildren(current, after);
    }
  }
}

function replaceChildren(parent, children) {
  const address = parent.contains(document.activeElement)
    ? document.activeElement.getAttribute("href")
    : null;
  parent.replaceChildren(...children);
  if (address === null) return;
  const links = [...parent.querySelectorAll("a[href]")];
  const again = links.find((link) => link.getAttribute("href") === address);
  if (again) again.focus({ preventScroll: true });
}

async function look() {
  const answer = await fetch(location.href, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.statusText);
  const text = await answer.text();
  if (text === shown) return;
  shown = text;
  const page = new DOMParser().parseFromString(text, "text/html");
  for (const current of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(current.id);
    if (fresh) update(current, fresh);
  }
}

async function keepLooking() {
  const began = performance.now();
  if (!isPaused && !document.hidden) {
    try {
      await look();
      tell("live", "on");
    } catch {
      tell("connection lost, trying again", "off");
    }
  }
  const took = performance.now() - began;
  setTimeout(keepLooking, Math.max(SECONDS_BETWEEN * 1000, took * MOST_OF_THE_TIME));
}

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.textContent = isPaused ? "Go on" : "Pause";
  tell(isPaused ? "paused" : "live", isPaused ? "off" : "on");
});

state.hidden = pause.hidden = false;
tell("live", "on");
keepLooking();
