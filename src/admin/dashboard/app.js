// The page: which view is shown, what is asked when, keys, colours.

import { ask, follow, Refused } from "./feed.js";
import { duration, h, setAttribute, setClass, setText } from "./draw.js";
import { model } from "./model.js";
import { overview } from "./overview.js";
import * as views from "./views.js";
import { askForToken, say, showKeys, updateDetail, whenToken } from "./actions.js";

const VIEWS = [
  ["overview", "Overview", overview], ["servers", "Servers", views.servers], ["routes", "Routes", views.routes],
  ["errors", "Errors", views.errors], ["caches", "Caches", views.caches], ["certificates", "Certificates", views.certificateView],
  ["reloads", "Reloads", views.reloads], ["process", "Process", views.processView],
];

const byId = (id) => document.getElementById(id);
const made = new Map();
let shown = null;
let paused = false;
let stream = null;

// ---- views ----

function show() {
  const [name, query] = location.hash.slice(1).split("?");
  const entry = VIEWS.find((it) => it[0] === name) ?? VIEWS[0];
  const moved = shown !== entry[0];
  shown = entry[0];
  if (!made.has(shown)) made.set(shown, entry[2]());
  const view = made.get(shown);
  if (moved) byId("main").replaceChildren(view.root);
  const find = new URLSearchParams(query ?? "").get("find");
  if (find !== null) view.find?.(find);
  for (const link of byId("tabs").querySelectorAll("a")) {
    if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${entry[1]} – sheave`;
  if (moved) look();
  draw();
  if (moved) view.resized?.();
}

/** Draws what is known, if anybody can see it. */
function draw() {
  if (document.hidden) return;
  header();
  made.get(shown)?.update();
  updateDetail();
}

/** How long an event takes until it is on the screen, for the browser's own tools. */
function measure(start) {
  requestAnimationFrame(() => setTimeout(() => {
    if (performance.getEntriesByName("sheave-event").length > 100) performance.clearMeasures("sheave-event");
    performance.measure("sheave-event", { start, end: performance.now() });
  }));
}

function header() {
  const { version, uptime, generation, phase } = model.head;
  setText(byId("version"), version ?? "");
  setText(byId("uptime"), duration(uptime));
  setText(byId("generation"), generation === undefined ? "–" : `generation ${generation}`);
  setText(byId("role"), { write: "read and write", read: "read" }[model.whoami.role] ?? "nothing yet");
  const health = model.rest.health;
  const well = health?.status === "ok" && phase === "running";
  const [text, tone] = !health ? ["connecting …", ""] : phase === "draining" ? ["◆ draining", "warn"]
    : !health.serving ? ["▲ not serving", "bad"] : well ? ["● ok", "good"] : ["◆ degraded", "warn"];
  setText(byId("health"), text);
  setClass(byId("health"), `badge ${tone}`);
}

// ---- what is asked beside the events ----

const asked = { generation: null, errors: null, reloads: null, caches: 0 };

async function get(path, take) {
  try {
    take(await ask(path));
    draw();
    return true;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401 || error.status === 403) askForToken("The daemon shows its figures to holders of a token.");
    return false;
  }
}

/** Asks again for what has changed, as the events tell. */
function look() {
  const { generation, errors_count: errors, reloads_count: reloads } = model.head;
  if (generation !== undefined && asked.generation !== generation) {
    asked.generation = generation;
    get("/topology", (told) => { model.topology = told; }).then((well) => { if (!well) asked.generation = null; });
  }
  if (errors !== undefined && asked.errors !== errors && ["overview", "errors"].includes(shown)) {
    asked.errors = errors;
    const known = model.errors[0]?.number ?? 0;
    const after = known <= errors ? known : 0;
    get(`/errors?after=${after}`, (told) => {
      model.errors = [...told.errors, ...(after ? model.errors : [])].slice(0, 200);
      model.missed = told.missed;
    });
  }
  if (reloads !== undefined && asked.reloads !== reloads && shown === "reloads") {
    asked.reloads = reloads;
    get("/reloads", (told) => { model.reloads = told.reloads; });
  }
  if (shown === "caches" && Date.now() - asked.caches > 2000) {
    asked.caches = Date.now();
    get("/cache", (told) => { model.cacheList = told.caches; });
  }
}

function listen() {
  stream = follow({
    event(text) {
      const began = performance.now();
      const event = JSON.parse(text);
      if (event.whole) [asked.generation, asked.errors, asked.reloads] = [null, null, null];
      model.take(event);
      link("good", "● live");
      look();
      if (paused || document.hidden) return;
      draw();
      measure(began);
    },
    state: (word, text) => link("bad", `▲ ${text}`),
    refused(status) {
      if (status === 401 || status === 403) askForToken("The daemon shows its figures to holders of a token.");
      else say(`No events: status ${status}`, "bad");
    },
  });
}

function link(tone, text) {
  if (paused && tone === "good") [tone, text] = ["warn", "◆ paused"];
  setText(byId("link"), text);
  setClass(byId("link"), `badge ${tone}`);
}

async function whoami() {
  await get("/whoami", (told) => { model.whoami = told; });
}

// ---- colours and keys ----

const THEMES = [["", "Auto"], ["light", "Light"], ["dark", "Dark"]];

function theme(wanted) {
  const [value, label] = THEMES.find((it) => it[0] === wanted) ?? THEMES[0];
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
  localStorage.setItem("sheave-theme", value);
  setText(byId("theme"), label);
  setAttribute(byId("theme"), "aria-label", `${label}: colours`);
}

function nextTheme() {
  const at = THEMES.findIndex((it) => it[0] === (document.documentElement.dataset.theme ?? ""));
  theme(THEMES[(at + 1) % THEMES.length][0]);
}

function pause() {
  paused = !paused;
  byId("pause").setAttribute("aria-pressed", String(paused));
  setText(byId("pause"), paused ? "Go on" : "Pause");
  link("good", "● live");
  if (!paused) draw();
}

const KEYS = [
  ...VIEWS.map(([, label], index) => [String(index + 1), label]),
  ["/", "find in the table"], ["p", "pause, go on"], ["t", "colours: automatic, light, dark"], ["?", "these keys"], ["Esc", "close a dialog"],
];

const keysAreOn = () => localStorage.getItem("sheave-keys") !== "off";

function keys() {
  showKeys(KEYS, keysAreOn(), (on) => localStorage.setItem("sheave-keys", on ? "on" : "off"));
}

function press(event) {
  const isTyping = event.target.closest?.("input:not([type=checkbox]), select, textarea");
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping || byId("dialog").open || !keysAreOn()) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view) location.hash = view[0];
  else if (event.key === "/") byId("main").querySelector("input[type=search]")?.focus();
  else if (event.key === "p") pause();
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") keys();
  else return;
  event.preventDefault();
}

// ---- begin ----

byId("tabs").append(...VIEWS.map(([name, label]) => h("li", {}, h("a", { href: `#${name}` }, label))));
theme(localStorage.getItem("sheave-theme") ?? "");
byId("theme").addEventListener("click", nextTheme);
byId("pause").addEventListener("click", pause);
byId("keys").addEventListener("click", keys);
document.addEventListener("keydown", press);
document.addEventListener("visibilitychange", draw);
addEventListener("hashchange", show);
addEventListener("resize", () => made.get(shown)?.resized?.());
// The skip link must not become a view.
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); byId("main").focus(); });
whenToken(async () => { await whoami(); stream.restart(); });
show();
await whoami();
listen();
