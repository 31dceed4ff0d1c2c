// What is known of the daemon: rows as they come by events, and the last minute of each.

import { bytes, count, duration } from "./draw.js";

/** So many seconds are drawn. */
export const SECONDS = 60;

const NONE = [0, 0, NaN, NaN, NaN];

/** One window: `[rate, error rate, p50, p90, p99]`. */
const windowOf = (row) => (Array.isArray(row) ? row.map((it) => it ?? NaN) : NONE);

class History {
  constructor() {
    this.rate = new Float32Array(SECONDS).fill(NaN);
    this.errors = new Float32Array(SECONDS).fill(NaN);
    this.low = new Float32Array(SECONDS).fill(NaN);
    this.mid = new Float32Array(SECONDS).fill(NaN);
    this.high = new Float32Array(SECONDS).fill(NaN);
  }

  add([rate, errors, low, mid, high]) {
    push(this.rate, rate);
    push(this.errors, rate * errors);
    push(this.low, low);
    push(this.mid, mid);
    push(this.high, high);
  }
}

function push(values, value) {
  values.copyWithin(0, 1);
  values[SECONDS - 1] = value;
}

export const model = {
  head: {},
  topology: null,
  whoami: { role: "none" },
  errors: [],
  reloads: [],
  cacheList: [],
  total: { second: NONE, minute: NONE, five: NONE, history: new History() },
  routes: new Map(),
  upstreams: new Map(),
  servers: new Map(),
  workers: [],
  rest: {},
  inFlight: new Float32Array(SECONDS).fill(NaN),
  open: new Float32Array(SECONDS).fill(NaN),

  get mayWrite() {
    return this.whoami.role === "write";
  },

  /** Takes one event in. */
  take(event) {
    const { rows, gone = [], whole, ...head } = event;
    this.head = head;
    if (whole) {
      const known = new Set(Object.keys(rows));
      for (const [kind, things] of [["route", this.routes], ["upstream", this.upstreams], ["server", this.servers]]) {
        for (const name of things.keys()) if (!known.has(`${kind} ${name}`)) things.delete(name);
      }
      this.rest = {};
    }
    for (const key of gone) this.forget(key);
    for (const [key, row] of Object.entries(rows)) this.set(key, row);
    this.total.history.add(this.total.second);
    for (const things of [this.routes, this.upstreams, this.servers]) {
      for (const it of things.values()) it.history.add(it.second);
    }
    let inFlight = 0;
    for (const it of this.upstreams.values()) inFlight += it.inFlight;
    push(this.inFlight, inFlight);
    push(this.open, this.rest.connections?.open ?? 0);
  },

  forget(key) {
    const [kind, name] = split(key);
    const things = { route: this.routes, upstream: this.upstreams, server: this.servers }[kind];
    if (things && name) things.delete(name);
    else delete this.rest[key];
  },

  set(key, row) {
    const [kind, name] = split(key);
    if (key === "total") {
      const [second, minute, five] = row.map(windowOf);
      Object.assign(this.total, { second, minute, five });
    } else if (kind === "route" && name) {
      const it = thing(this.routes, name, () => ({ name }));
      [it.second, it.minute] = row.map(windowOf);
    } else if (kind === "upstream" && name) {
      const it = thing(this.upstreams, name, () => ({ name }));
      [it.inFlight, it.retries] = row;
      [it.second, it.minute] = row.slice(2).map(windowOf);
    } else if (kind === "server" && name) {
      const it = thing(this.servers, name, () => {
        const [upstream, address] = split(name);
        return { key: name, upstream, address };
      });
      [it.state, it.reason, it.inFlight, it.maxConns, it.weight, it.backup, it.drained] = row;
      [it.second, it.minute] = row.slice(7).map(windowOf);
    } else {
      this.rest[key] = row;
    }
  },

  serversOf(upstream) {
    return [...this.servers.values()].filter((it) => it.upstream === upstream);
  },
};

function thing(things, name, make) {
  let it = things.get(name);
  if (!it) {
    it = { ...make(), second: NONE, minute: NONE, history: new History() };
    things.set(name, it);
  }
  return it;
}

/** At the first space: names in the config may have none, addresses neither. */
function split(key) {
  const at = key.indexOf(" ");
  return at < 0 ? [key, ""] : [key.slice(0, at), key.slice(at + 1)];
}

// ---- words ----

/** What a server's state is called, and its sign: nothing is told by colour alone. */
export function stateOf(server) {
  const known = {
    up: ["up", "●", "good"], full: ["full", "◉", "warn"], probing: ["probing", "◐", "warn"],
    ejected: ["ejected", "▲", "bad"], checking: ["checking", "◌", "warn"], failed: ["failed", "▲", "bad"],
    unresolved: ["unresolved", "?", "bad"], down: ["down", "□", "off"], drained: ["drained", "▽", "off"],
    draining: ["draining", "▽", "warn"],
  };
  let word = server.state ?? "unknown";
  if (server.drained) word = server.inFlight > 0 ? "draining" : "drained";
  const [text, sign, tone] = known[word] ?? [word, "?", "warn"];
  return { word: text, sign, tone };
}

export const getsRequests = (server) => !server.drained && ["up", "full"].includes(server.state);

/** How many days are left, in words with a tone. */
export function daysLeft(expires, now = Date.now()) {
  const days = (Date.parse(expires) - now) / 86_400_000;
  if (Number.isNaN(days)) return { text: "unknown", tone: "warn", days: NaN };
  if (days < 0) return { text: "has expired", tone: "bad", days };
  const count = days < 2 ? `${Math.floor(days * 24)} hours` : `${Math.floor(days)} days`;
  if (days < 3) return { text: `${count} left: renew now`, tone: "bad", days };
  if (days < 21) return { text: `${count} left: renew soon`, tone: "warn", days };
  return { text: `${count} left`, tone: "good", days };
}

/** What needs attention, the worst first. */
export function attention() {
  const found = [];
  const add = (tone, text, where) => found.push({ tone, text, where });
  if (model.head.phase === "draining") add("warn", "sheave is draining: it stops soon", "#process");
  for (const upstream of model.topology?.upstreams ?? []) {
    const servers = model.serversOf(upstream.name);
    const out = servers.filter((it) => !getsRequests(it));
    if (!servers.length || !out.length) continue;
    const named = out.slice(0, 3).map((it) => {
      const { word } = stateOf(it);
      return `${it.address} is ${word}${it.reason ? ` (${it.reason})` : ""}`;
    });
    if (out.length > 3) named.push(`and ${out.length - 3} more`);
    const wanted = out.every((it) => it.drained || it.state === "down");
    const tone = out.length === servers.length ? "bad" : wanted ? "note" : "warn";
    add(tone, `${upstream.name}: ${out.length} of ${servers.length} servers ${out.length === 1 ? "gets" : "get"} no requests: ${named.join(", ")}`,
      `#servers?find=${encodeURIComponent(upstream.name)}`);
  }
  for (const [name, check] of Object.entries(model.rest.health?.checks ?? {})) {
    // These are told above and below.
    if (name.startsWith("upstream.") || name === "leak_watch") continue;
    const { status, ...more } = check;
    const told = Object.entries(more).map(([key, value]) => `${key.replaceAll("_", " ")} ${plain(value)}`).join(", ");
    add("bad", `${name.replaceAll("_", " ")} is ${status}${told ? `: ${told}` : ""}`, name === "certificates" ? "#certificates" : "#process");
  }
  for (const { file, expires, listener } of certificates()) {
    const { tone, text } = daysLeft(expires);
    if (tone !== "good") add(tone, `certificate ${file} of ${listener}: ${text}`, "#certificates");
  }
  const leak = model.rest.leak_watch;
  for (const it of leak?.suspects ?? []) add("warn", `a leak? ${suspicion(it)}`, "#process");
  const [rate, errors] = model.total.minute;
  if (rate > 0 && errors >= 0.01) add(errors >= 0.05 ? "bad" : "warn", `${(errors * 100).toFixed(1)} % of the requests of the last minute failed`, "#errors");
  const order = ["bad", "warn", "note"];
  return found.sort((a, b) => order.indexOf(a.tone) - order.indexOf(b.tone));
}

export function certificates() {
  return (model.topology?.listeners ?? []).flatMap((listener) =>
    (listener.tls?.certificates ?? []).map((it) => ({ ...it, listener: listener.name })));
}

/** Why a request failed, in short. */
export function whyFailed({ reason, status }) {
  if (!reason) return "answered by the server";
  return status < 500 ? `${reason}, then answered` : reason;
}

/** What grows at equal load. */
export function suspicion({ what, unit, per_minute: rate, amount, for_s: seconds }) {
  const shown = unit === "bytes" ? bytes : count;
  return `${what} grows by ${shown(rate)} each minute at equal load, to ${shown(amount)}; seen for ${duration(seconds)}`;
}

/** A value of JSON in plain words. */
export function plain(value) {
  if (value === null || value === undefined) return "–";
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (typeof value === "object") return Object.entries(value).map(([key, it]) => `${key.replaceAll("_", " ")} ${plain(it)}`).join(", ");
  return String(value);
}
