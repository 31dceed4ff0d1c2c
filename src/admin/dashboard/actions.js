// What changes something, and what asks before it does. The daemon checks the role again.

import { ask, Refused, token } from "./feed.js";
import { band, count, h, millis, percent, rate, setText, spark } from "./draw.js";
import { getsRequests, model, stateOf } from "./model.js";

const dialog = () => document.getElementById("dialog");

/** Tells what has happened, also to readers of the screen. */
export function say(text, tone = "") {
  setText(document.getElementById("said"), text);
  const note = h(`p.toast${tone ? `.${tone}` : ""}`, {}, text);
  document.querySelector(".toast")?.remove();
  document.body.append(note);
  setTimeout(() => note.remove(), 6000);
}

let shown = null;

/** Opens the dialog; the focus returns to where it was when it closes. */
function open(title, content, buttons, onclose) {
  const it = dialog();
  if (it.open) it.close();
  it.replaceChildren(h("h2", { id: "dialog-title" }, title), ...[content].flat(), h("div.buttons", {}, buttons));
  shown = { onclose };
  it.onclose = () => {
    const ended = shown;
    shown = null;
    ended?.onclose?.();
  };
  it.onclick = (event) => { if (event.target === it) it.close(); };
  it.showModal();
}

const button = (text, onclick, kind = "") => h(`button${kind ? `.${kind}` : ""}`, { type: "button", onclick }, text);
const close = (text = "Close") => button(text, () => dialog().close());

/** Asks before something that hurts. */
function confirm(title, text, word, act) {
  open(title, h("p", {}, text), [
    button(word, async () => {
      dialog().close();
      await act();
    }, "danger"),
    close("Cancel"),
  ]);
}

async function tried(act, done) {
  try {
    say(done(await act()), "good");
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return askForToken("The daemon wants a token for this.");
    say(error.message, "bad");
  }
}

const change = (server, body) => ask("/servers", { upstream: server.upstream, server: server.address, ...body });

/** What the last server of its upstream means for clients. */
function consequence(server) {
  const others = model.serversOf(server.upstream).filter((it) => it !== server && getsRequests(it));
  if (others.length) {
    return `New requests go to the other ${count(others.length)} server${others.length > 1 ? "s" : ""} of ${server.upstream}.`;
  }
  return `It is the last server of ${server.upstream} that gets requests: clients will get errors.`;
}

export function drain(server) {
  if (server.drained) {
    return tried(() => change(server, { drain: false }), () => `${server.address} gets requests again`);
  }
  const running = server.inFlight ? ` ${count(server.inFlight)} under way may end.` : "";
  confirm(`Drain ${server.address}?`, `It gets no new requests until you undo it.${running} ${consequence(server)}`, "Drain", () =>
    tried(() => change(server, { drain: true }), () => `${server.address} gets no new requests`));
}

export function setWeight(server, weight) {
  const act = () => tried(() => change(server, { weight }), () =>
    weight === null ? `${server.address} has the weight of the config` : `${server.address} has weight ${weight}`);
  if (weight !== 0) return act();
  confirm(`Weight 0 for ${server.address}?`, `It gets no requests. ${consequence(server)}`, "Set to 0", act);
}

export function reload() {
  confirm("Load the config again?", "The config and its files are read and checked. A mistake changes nothing.", "Reload", () =>
    tried(() => ask("/reload", {}), (told) => `Reloaded: generation ${told.generation}`));
}

export function purge(kind, value, soft) {
  const text = soft
    ? "What matches is marked stale: it is checked at its server before it is used again."
    : "What matches is removed. Requests for it go to the servers until it is stored again.";
  confirm(`Purge ${kind} ${value}?`, text, soft ? "Mark stale" : "Purge", () =>
    tried(() => ask("/purge", { [kind]: value, ...(soft ? { soft: true } : {}) }), (told) => `Purged ${count(told.purged)} or more`));
}

// ---- one server ----

/** All that is known of a server, live while it is open. Returns what updates it. */
let detail = null;

export function updateDetail() {
  detail?.();
}

export function showServer(server) {
  const state = h("p");
  const rateChart = spark("rate", 480, 64);
  const bandChart = band(480, 96);
  const figures = h("tbody");
  const values = ["requests/s", "failed", "p50", "p90", "p99"].map((label) => {
    const cells = [h("td.num"), h("td.num")];
    figures.append(h("tr", {}, h("th", { scope: "row" }, label), cells));
    return cells;
  });
  const facts = h("p.quiet");
  const drainButton = button("Drain", () => drain(server));
  const weight = h("input", { type: "number", min: "0", max: "1000", value: String(server.weight ?? 1), "aria-label": `Weight of ${server.address}` });
  const controls = model.mayWrite
    ? h("div.controls", {}, drainButton,
      h("span", {}, weight, " ", button("Set weight", () => setWeight(server, Number(weight.value))), " ", button("As in the config", () => setWeight(server, null))))
    : null;
  detail = () => {
    const it = stateOf(server);
    state.className = `state ${it.tone}`;
    setText(state, `${it.sign} ${it.word}${server.reason ? `: ${server.reason}` : ""}`);
    rateChart.draw(server.history.rate);
    bandChart.draw(server.history);
    [server.second, server.minute].forEach((window, column) => {
      [rate(window[0]), percent(window[1]), millis(window[2]), millis(window[3]), millis(window[4])].forEach((text, row) =>
        setText(values[row][column], text));
    });
    const limit = server.maxConns ? ` of ${count(server.maxConns)}` : "";
    setText(facts, `${count(server.inFlight)}${limit} in flight, weight ${server.weight}${server.backup ? ", a backup" : ""}`);
    setText(drainButton, server.drained ? "Undrain" : "Drain");
  };
  open(`${server.address} of ${server.upstream}`, [
    state, facts,
    h("h3", {}, "Requests per second, the last minute"), rateChart.root,
    h("h3", {}, "Time to the response's head: p50 to p99, with p90"), bandChart.root,
    h("table", {}, h("caption.hidden", {}, "Figures"), h("thead", {}, h("tr", {}, h("td"), h("th.num", { scope: "col" }, "last second"), h("th.num", { scope: "col" }, "last minute"))), figures),
    controls,
  ], [close()], () => { detail = null; });
  detail();
}

// ---- token, keys ----

let onToken = () => {};
export const whenToken = (act) => { onToken = act; };

export function askForToken(why) {
  if (dialog().open && document.getElementById("token")) return;
  const input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false" });
  const use = () => {
    token.keep(input.value.trim());
    dialog().close();
    onToken();
  };
  input.addEventListener("keydown", (event) => { if (event.key === "Enter") use(); });
  open("Token", [
    h("p", {}, why),
    h("p", {}, h("label", { for: "token" }, "Token of the admin address "), input),
    h("p.quiet", {}, "It is kept until this tab is closed, and sent to this address only."),
  ], [button("Use it", use), button("Forget it", () => { input.value = ""; use(); }), close("Cancel")]);
  input.focus();
}

export function showKeys(keys, isOn, toggle) {
  const box = h("input", { type: "checkbox", id: "keys-on", onchange: (event) => toggle(event.target.checked) });
  box.checked = isOn;
  open("Keys", [
    h("table", {}, h("caption.hidden", {}, "Keys"), h("tbody", {}, keys.map(([key, text]) =>
      h("tr", {}, h("th", { scope: "row" }, h("kbd", {}, key)), h("td", {}, text))))),
    h("p", {}, box, " ", h("label", { for: "keys-on" }, "Single keys act")),
  ], [close()]);
}
