// The views with tables: servers, routes, errors, caches, certificates, reloads, the process.

import { Table, band, bytes, count, duration, h, millis, percent, rate, setAttribute, setClass, setText, spark, when } from "./draw.js";
import { certificates, daysLeft, getsRequests, model, plain, stateOf, suspicion, whyFailed } from "./model.js";
import { drain, purge, reload, say, showServer } from "./actions.js";

const number = (id, label, value, text, more = {}) =>
  ({ id, label, num: true, sort: value, text: (row) => text(value(row)), ...more });

/** A column with a chart; `draw(chart, row)`. */
function chart(label, make, draw) {
  const charts = new WeakMap();
  return {
    id: label, label, hide: "wide",
    make: (_, cell) => {
      if (!charts.has(cell)) charts.set(cell, make());
      return charts.get(cell).root;
    },
    update: (cell, row) => draw(charts.get(cell), row),
  };
}

const traffic = [
  number("rate", "Req/s", (it) => it.second[0], rate),
  number("failed", "Failed", (it) => it.minute[1], percent, { hide: "small" }),
  number("p50", "p50", (it) => it.minute[2], millis, { hide: "small" }),
  number("p90", "p90", (it) => it.minute[3], millis, { hide: "mid" }),
  number("p99", "p99", (it) => it.minute[4], millis),
];

const charts = () => [
  chart("Requests", () => spark("rate"), (it, row) => it.draw(row.history.rate)),
  chart("Latency", () => band(), (it, row) => it.draw(row.history)),
];

const stateCell = {
  id: "state", label: "State", sort: (it) => (getsRequests(it) ? "0" : "1") + stateOf(it).word,
  make: () => h("span"),
  update: (cell, row) => {
    const { word, sign, tone } = stateOf(row);
    setText(cell.firstChild, `${sign} ${word}`);
    setClass(cell.firstChild, `state ${tone}`);
    if (row.reason) setAttribute(cell, "title", row.reason);
    else cell.removeAttribute("title");
  },
};

const writes = {
  id: "do", label: "Change", hide: "small",
  make: (row) => h("button", { type: "button", onclick: () => drain(row) }),
  update: (cell, row) => {
    setText(cell.firstChild, row.drained ? "Undrain" : "Drain");
    setAttribute(cell.firstChild, "aria-label", `${row.drained ? "Undrain" : "Drain"} ${row.address}`);
  },
};

/** `title` is the view's, `parts` what is in it; `update` is called once a second while it is shown. */
function view(title, parts, update) {
  return { root: h("div", {}, h("h1", {}, title), parts), update };
}

export function servers() {
  let table = null;
  const place = h("div");
  let wrote = null;
  const build = () => {
    wrote = model.mayWrite;
    const columns = [
      { id: "server", label: "Server", head: true, sort: (it) => it.address,
        make: (row) => h("button.link", { type: "button", onclick: () => showServer(row) }, row.address) },
      { id: "upstream", label: "Upstream", hide: "mid", sort: (it) => it.upstream, text: (it) => it.upstream },
      stateCell, ...traffic,
      number("flight", "In flight", (it) => it.inFlight, count, { hide: "mid" }),
      number("weight", "Weight", (it) => it.weight, count, { hide: "mid" }),
      ...charts(), ...(wrote ? [writes] : []),
    ];
    const wanted = table?.wanted.value;
    table = new Table({
      caption: "Servers", columns, empty: "The config has no upstream.", order: { id: "state", down: true },
      find: { label: "Find by address, upstream, state", text: (it) => `${it.upstream} ${it.address} ${stateOf(it).word} ${it.reason ?? ""} ${it.backup ? "backup" : ""}` },
    });
    if (wanted) table.wanted.value = wanted;
    place.replaceChildren(table.root);
  };
  build();
  return {
    ...view("Servers", [h("p.quiet", {}, "Rates are of the last second; failed and times to the response's head of the last minute. Choose a server for its charts."), place], () => {
      if (wrote !== model.mayWrite) build();
      table.update([...model.servers.values()]);
    }),
    find(text) {
      table.wanted.value = text;
      table.page = 0;
    },
  };
}

export function routes() {
  const known = () => {
    const facts = new Map();
    for (const site of model.topology?.sites ?? []) for (const it of site.routes) facts.set(it.name, { ...it, site: site.name });
    return facts;
  };
  const rows = new Map();
  let from = null;
  const table = new Table({
    caption: "Routes", empty: "The config has no route.", order: { id: "rate", down: true },
    columns: [
      { id: "route", label: "Route", head: true, sort: (it) => it.name, text: (it) => it.name },
      { id: "site", label: "Site", hide: "mid", sort: (it) => it.site ?? "", text: (it) => it.site ?? "" },
      { id: "path", label: "Path", hide: "small", sort: (it) => it.path ?? "", make: () => h("code"), update: (cell, it) => setText(cell.firstChild, `${it.methods?.length ? `${it.methods.join(" ")} ` : ""}${it.path ?? ""}`) },
      number("line", "Line", (it) => it.line ?? NaN, count, { hide: "wide" }),
      { id: "to", label: "Does", hide: "mid", sort: (it) => it.does ?? "", text: (it) => it.does ?? "" },
      ...traffic, ...charts(),
    ],
    find: { label: "Find by name, site, path, upstream", text: (it) => `${it.name} ${it.site} ${it.path} ${it.does}` },
  });
  return view("Routes", [h("p.quiet", {}, "Rates are of the last second; failed (status 500 and above) and times of the last minute."), table.root], () => {
    if (from !== model.topology) {
      from = model.topology;
      rows.clear();
      for (const [name, it] of known()) {
        rows.set(name, { ...it, does: it.upstream ? `→ ${it.upstream}` : `${it.action} ${it.says ?? ""}` });
      }
    }
    const idle = { second: [0, 0, NaN, NaN, NaN], minute: [0, 0, NaN, NaN, NaN], history: { rate: [0, 0], low: [NaN], mid: [NaN], high: [NaN] } };
    for (const [name, row] of rows) Object.assign(row, model.routes.get(name) ?? idle);
    table.update([...rows.values()]);
  });
}

export function errors() {
  const table = new Table({
    caption: "Requests that failed", empty: "No request has failed since the start.", order: { id: "time", down: true },
    columns: [
      { id: "time", label: "Time", sort: (it) => it.number, text: (it) => when(it.time) },
      number("status", "Status", (it) => it.status, String),
      { id: "reason", label: "Reason", sort: (it) => it.reason ?? "", make: (it) => [h("span.reason", {}, whyFailed(it)), it.detail ? h("small", {}, it.detail) : null].filter(Boolean) },
      { id: "request", label: "Request", hide: "small", sort: (it) => it.path, make: (it) => h("code", {}, `${it.method} ${it.host}${it.path}`) },
      { id: "route", label: "Route", hide: "mid", sort: (it) => it.route ?? "", text: (it) => it.route ?? "–" },
      { id: "server", label: "Server", hide: "small", sort: (it) => it.server ?? "", text: (it) => it.server ?? "–" },
      number("took", "Took", (it) => it.duration_ms, millis, { hide: "mid" }),
      { id: "id", label: "Request id", make: (it) => [copied(it.request_id), it.trace_id ? h("small", {}, "trace ", copied(it.trace_id)) : null].filter(Boolean) },
    ],
    find: { label: "Find by id, path, reason, server", text: (it) => [it.request_id, it.trace_id, it.method, it.host + it.path, it.route, it.server, it.reason, it.detail, it.status].join(" ") },
  });
  const missed = h("p.quiet");
  return view("Errors", [h("p.quiet", {}, "The last 200 requests that failed: status 500 and above, and those that a server failed although another one answered. The access log has all."), missed, table.root], () => {
    setText(missed, model.missed ? `${count(model.missed)} more were not noted, because too many failed at once.` : "");
    table.update(model.errors);
  });
}

function copied(text) {
  return h("button.link.id", {
    type: "button", title: `${text}: copy`,
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        say(`Copied ${text}`);
      } catch {
        say(`Not copied: ${text}`, "bad");
      }
    },
  }, text);
}

export function caches() {
  const table = new Table({
    caption: "Caches", empty: "The config has no cache.",
    columns: [
      { id: "name", label: "Cache", head: true, text: (it) => it.name },
      { id: "tier", label: "Tier", text: (it) => it.tier + (it.state ? ` (${it.state})` : "") },
      number("hit", "Hits", (it) => it.share, percent),
      number("hits", "Hit", (it) => it.hits, count, { hide: "mid" }),
      number("misses", "Missed", (it) => it.misses, count, { hide: "mid" }),
      number("stale", "Stale", (it) => it.stale, count, { hide: "wide" }),
      number("coalesced", "Coalesced", (it) => it.coalesced, count, { hide: "wide" }),
      number("objects", "Objects", (it) => it.objects, count, { hide: "small" }),
      number("bytes", "Size", (it) => it.bytes, bytes),
      number("capacity", "At most", (it) => it.capacity, bytes, { hide: "small" }),
      number("evictions", "Evicted", (it) => it.evictions, count, { hide: "wide" }),
      number("purged", "Purged", (it) => it.purged, count, { hide: "wide" }),
    ],
  });
  const kind = h("select", { id: "purge-kind" }, ["url", "prefix", "host", "tag"].map((it) => h("option", { value: it }, it)));
  const value = h("input", { type: "text", id: "purge-value", placeholder: "https://example.com/page", spellcheck: "false" });
  const soft = h("input", { type: "checkbox", id: "purge-soft" });
  const hints = { url: "https://example.com/page", prefix: "https://example.com/dir/", host: "example.com", tag: "name" };
  kind.addEventListener("change", () => { value.placeholder = hints[kind.value]; });
  const form = h("form.controls", {
    onsubmit: (event) => {
      event.preventDefault();
      if (value.value.trim()) purge(kind.value, value.value.trim(), soft.checked);
      else value.focus();
    },
  },
  h("label", { for: "purge-kind" }, "Purge"), kind, h("label.hidden", { for: "purge-value" }, "What"), value,
  h("span", {}, soft, " ", h("label", { for: "purge-soft" }, "mark stale only")), h("button", { type: "submit" }, "Purge …"));
  return view("Caches", [table.root, form], () => {
    form.hidden = !model.mayWrite || !model.cacheList.length;
    table.update(model.cacheList.flatMap((it) => [it, ...(it.tiers ?? []).map((tier) => ({ name: it.name, ...tier, misses: tier.misses ?? tier.miss, hits: tier.hits ?? tier.hit }))])
      .map((it) => {
        const answered = (it.hits ?? 0) + (it.stale ?? 0) + (it.validated ?? 0) + (it.coalesced ?? 0);
        const all = answered + (it.misses ?? 0);
        return { ...it, share: all ? answered / all : NaN };
      }));
  });
}

export function certificateView() {
  const table = new Table({
    caption: "Certificates", empty: "No listener has TLS.", order: { id: "left", down: false },
    columns: [
      { id: "names", label: "For", head: true, sort: (it) => it.names?.[0] ?? "", text: (it) => (it.names ?? []).join(", ") || "–" },
      { id: "listener", label: "Listener", sort: (it) => it.listener, text: (it) => it.listener },
      { id: "left", label: "Left", sort: (it) => Date.parse(it.expires), make: () => h("span"),
        update: (cell, it) => {
          const { text, tone } = daysLeft(it.expires);
          setText(cell.firstChild, `${{ good: "●", warn: "◆", bad: "▲" }[tone]} ${text}`);
          setClass(cell.firstChild, `state ${tone}`);
        } },
      { id: "expires", label: "Expires", hide: "small", sort: (it) => it.expires, text: (it) => it.expires?.replace("T", " ").replace("Z", " UTC") ?? "–" },
      { id: "file", label: "File", hide: "mid", sort: (it) => it.file, make: (it) => h("code", {}, it.file) },
    ],
  });
  let all = [];
  let from = null;
  return view("Certificates", [table.root], () => {
    if (from !== model.topology) [from, all] = [model.topology, certificates()];
    table.update(all);
  });
}

const SAME = {
  "POST /servers": "The config is the same: somebody has set a server's weight.",
  other: "The config is the same; another file may differ, such as a certificate.",
};
const HOW = { added: "+", removed: "−", changed: "~", moved: "↕" };

export function reloads() {
  const list = h("ol.reloads");
  const now = h("button", { type: "button", onclick: reload }, "Reload …");
  let drawn = null;
  return view("Reloads", [h("p.controls", {}, now), list], () => {
    now.hidden = !model.mayWrite;
    if (drawn === model.reloads) return;
    drawn = model.reloads;
    list.replaceChildren(...drawn.map((it) => {
      const well = it.outcome === "success";
      const title = well
        ? `${it.cause === "start" ? "started" : "reloaded"}: generation ${it.generation}`
        : "refused: the config before it stays in use";
      const changes = (it.changes ?? []).map(({ change, kind, of, name, place, keys }) => h("li", {},
        h("code", {}, HOW[change] ?? "~"), ` ${change} ${kind || "settings"} `, h("strong", {}, [of, name].filter(Boolean).join(" ")),
        h("span.quiet", {}, ` ${place}`),
        change === "changed" ? keys.map((it) => h("small", {}, h("code", {}, `${it.key}: ${it.from ?? "–"} → ${it.to ?? "–"}`))) : null));
      const hidden = (it.changed ?? 0) - changes.length;
      if (hidden > 0) changes.push(h("li.quiet", {}, `and ${count(hidden)} more`));
      return h("li", {},
        h("p", {}, h(`span.state.${well ? "good" : "bad"}`, {}, `${well ? "●" : "▲"} ${title}`), h("span.quiet", {}, ` ${when(it.time)}, by ${it.cause}`)),
        it.text ? h("pre", { tabindex: "0" }, it.text) : null,
        changes.length ? h("ul.changes", {}, changes) : (well && it.cause !== "start" ? h("p.quiet", {}, SAME[it.cause] ?? SAME.other) : null));
    }));
  });
}

export function processView() {
  const workers = new Table({
    caption: "Workers", empty: "No figures of workers.",
    columns: [
      { id: "worker", label: "Worker", head: true, text: (it) => String(it.worker) },
      { id: "bar", label: "Busy", make: () => h("meter", { min: "0", max: "1", low: "0.7", high: "0.9", optimum: "0", "aria-hidden": "true" }), update: (cell, it) => { cell.firstChild.value = it.busy ?? 0; }, hide: "small" },
      number("busy", "Busy", (it) => it.busy, percent),
      number("lag", "Lag p99", (it) => it.lag_p99_ms, millis),
      number("max", "Lag max", (it) => it.lag_max_ms, millis, { hide: "small" }),
      number("connections", "Connections", (it) => it.connections, count),
      number("requests", "Requests", (it) => it.requests, count, { hide: "small" }),
      number("queue", "Queue", (it) => it.queue, count, { hide: "small" }),
    ],
  });
  const lists = ["process", "pools", "queues", "connections", "leak_watch"].map((key) => {
    const list = h("dl.figures");
    const title = { process: "Process", pools: "Connections to servers", queues: "Queues", connections: "Connections of clients", leak_watch: "Leak watch" }[key];
    return { key, list, root: h("section", {}, h("h2", {}, title), list) };
  });
  const byKey = new Map();
  return view("Process", [h("section", {}, h("h2", {}, "Workers"), workers.root), h("div.cards", {}, lists.map((it) => it.root))], () => {
    // Rows stay the same objects, so that they keep their places.
    const rows = (model.rest.workers ?? []).map((it) => {
      const row = byKey.get(it.worker) ?? {};
      byKey.set(it.worker, row);
      return Object.assign(row, it);
    });
    workers.update(rows);
    for (const { key, list, root } of lists) {
      const value = model.rest[key];
      root.hidden = value === undefined || value === null;
      if (!root.hidden) figures(list, key === "leak_watch" ? leaks(value) : flat(value, "", key === "queues" ? "_bytes" : ""));
    }
  });
}

function leaks({ samples, over_s: seconds, suspects = [] }) {
  const seen = [["samples", samples, ""], ["over", duration(seconds), ""]];
  return suspects.length ? [...suspects.map((it) => [it.what, suspicion(it), ""]), ...seen] : [["suspects", "none", ""], ...seen];
}

/** Names and values of an object, also of those within it. `unit` is that of all of them. */
function flat(value, before = "", unit = "") {
  return Object.entries(value).flatMap(([key, it]) => {
    const name = `${before}${key.replaceAll("_", " ")}`;
    return it && typeof it === "object" && !Array.isArray(it) && Object.keys(it).length ? flat(it, `${name}, `, unit) : [[name, it, key + unit]];
  });
}

function figures(list, entries) {
  while (list.childElementCount > entries.length) list.lastChild.remove();
  entries.forEach(([name, value, key], index) => {
    const row = list.children[index] ?? list.appendChild(h("div", {}, h("dt"), h("dd")));
    setText(row.firstChild, name.replace(/ (bytes|ms|seconds)\b/, ""));
    setText(row.lastChild, figure(key, value));
  });
}

function figure(key, value) {
  if (typeof value !== "number") return plain(value);
  if (/bytes|memory|rss|resident|committed|heap/.test(key)) return bytes(value);
  if (/ratio|share|cpu$|busy/.test(key) && value <= 1) return percent(value);
  if (/_ms$/.test(key)) return millis(value);
  if (/seconds$|uptime/.test(key)) return duration(value);
  return Number.isInteger(value) ? count(value) : rate(value);
}
