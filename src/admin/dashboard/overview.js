// The first view: figures, what needs attention, and the way from listener to server.

import { band, count, h, millis, percent, rate, setClass, setText, spark, when } from "./draw.js";
import { attention, model, stateOf, whyFailed } from "./model.js";

const SIGN = { bad: "▲", warn: "◆", note: "○", good: "●" };
const WORD = { bad: "problem", warn: "warning", note: "note" };

/** So many of a kind are drawn on the way; the others are in their own view. */
const MOST = 40;
/** So many servers have a sign of their own. */
const SIGNS = 24;

function tile(label, chart) {
  const [value, note] = [h("strong"), h("span.quiet")];
  const root = h("li.tile", {}, h("span.label", {}, label), value, note, chart.root);
  return { root, value, note, chart };
}

export function overview() {
  const tiles = {
    rate: tile("Requests", spark("rate", 240, 40)),
    errors: tile("Failed", spark("errors", 240, 40)),
    latency: tile("Time", band(240, 40)),
    flight: tile("In flight", spark("flight", 240, 40)),
    open: tile("Connections", spark("open", 240, 40)),
    workers: tile("Workers", spark("busy", 240, 40)),
  };
  const problems = h("ul.problems");
  const way = flow();
  const reasons = h("tbody");
  const noReasons = h("p.empty", {}, "No request failed in the last 5 minutes.");
  const reasonTable = h("table", {}, h("caption.hidden", {}, "Errors by reason"),
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Reason"), h("th.num", { scope: "col" }, "1 min"), h("th.num", { scope: "col" }, "5 min"), h("td"))), reasons);
  const recent = h("ul.recent");
  const busy = new Float32Array(60).fill(NaN);
  const root = h("div", {},
    h("h1.hidden", {}, "Overview"),
    h("ul.tiles", { "aria-label": "Figures" }, Object.values(tiles).map((it) => it.root)),
    h("section", { "aria-labelledby": "h-attention" }, h("h2", { id: "h-attention" }, "Needs attention"), problems),
    h("section", { "aria-labelledby": "h-way" }, h("h2", { id: "h-way" }, "From listener to server"), way.root),
    h("div.pair", {},
      h("section", { "aria-labelledby": "h-reasons" }, h("h2", { id: "h-reasons" }, "Errors by reason"), noReasons, reasonTable),
      h("section", { "aria-labelledby": "h-recent" }, h("h2", { id: "h-recent" }, "Recent errors"), recent)));

  function figures() {
    const { second, minute, history } = model.total;
    setText(tiles.rate.value, `${rate(second[0])} /s`);
    setText(tiles.rate.note, `${rate(minute[0])} /s over a minute`);
    tiles.rate.chart.draw(history.rate);
    setText(tiles.errors.value, percent(minute[1]));
    setText(tiles.errors.note, "of the last minute");
    setClass(tiles.errors.root, `tile ${minute[1] >= 0.05 ? "bad" : minute[1] >= 0.01 ? "warn" : ""}`);
    tiles.errors.chart.draw(history.errors, 1);
    setText(tiles.latency.value, `p50 ${millis(minute[2])}`);
    setText(tiles.latency.note, `p90 ${millis(minute[3])} · p99 ${millis(minute[4])}`);
    tiles.latency.chart.draw(history);
    setText(tiles.flight.value, count(model.inFlight.at(-1)));
    let retries = 0;
    for (const it of model.upstreams.values()) retries += it.retries ?? 0;
    setText(tiles.flight.note, `${count(retries)} retries since the start`);
    tiles.flight.chart.draw(model.inFlight, 4);
    const { open, max } = model.rest.connections ?? {};
    setText(tiles.open.value, count(open));
    setText(tiles.open.note, max ? `of ${count(max)} at most` : "open");
    tiles.open.chart.draw(model.open, 4);
    const workers = model.rest.workers ?? [];
    const mean = workers.length ? workers.reduce((sum, it) => sum + (it.busy ?? 0), 0) / workers.length : NaN;
    busy.copyWithin(0, 1);
    busy[59] = mean;
    setText(tiles.workers.value, `${percent(mean)} busy`);
    const lag = Math.max(...workers.map((it) => it.lag_p99_ms ?? NaN));
    setText(tiles.workers.note, workers.length ? `${count(workers.length)}, lag p99 ${millis(lag)}` : "no figures");
    tiles.workers.chart.draw(busy, 1);
  }

  function errors() {
    const { "1m": minute = {}, "5m": five = {} } = model.rest.errors ?? {};
    const all = Object.entries(five).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
    noReasons.hidden = all.length > 0;
    reasonTable.hidden = all.length === 0;
    const most = all[0]?.[1] ?? 1;
    while (reasons.childElementCount > all.length) reasons.lastChild.remove();
    all.forEach(([reason, n], index) => {
      const row = reasons.children[index] ?? reasons.appendChild(h("tr", {}, h("th", { scope: "row" }), h("td.num"), h("td.num"), h("td.bar", {}, h("progress", { max: "100", "aria-hidden": "true" }))));
      setText(row.children[0], reason);
      setText(row.children[1], count(minute[reason] ?? 0));
      setText(row.children[2], count(n));
      row.children[3].firstChild.value = Math.round((n / most) * 100);
    });
  }

  let drawnErrors = null;
  function recentErrors() {
    if (drawnErrors === model.errors) return;
    drawnErrors = model.errors;
    const last = model.errors.slice(0, 6);
    recent.replaceChildren(...(last.length
      ? last.map((it) => h("li", {}, h("span.quiet", {}, when(it.time)), " ", h("strong", {}, String(it.status)), ` ${it.method} ${it.host}${it.path} `, h("span.reason", {}, whyFailed(it)), it.server ? h("span.quiet", {}, `${it.reason && it.status < 500 ? " by" : ""} ${it.server}`) : null))
      : [h("li.empty", {}, "None since the start.")]));
  }

  return {
    root,
    update() {
      figures();
      const found = attention();
      const wanted = found.map((it) => it.tone + it.text).join("\n");
      if (problems.dataset.drawn !== wanted) {
        problems.dataset.drawn = wanted;
        problems.replaceChildren(...(found.length
          ? found.slice(0, 12).map((it) => h(`li.${it.tone}`, {}, h("span.sign", {}, `${SIGN[it.tone]} ${WORD[it.tone]}`), " ", h("a", { href: it.where }, it.text)))
          : [h("li.good", {}, h("span.sign", {}, `${SIGN.good} all well`), " Every server gets requests, and nothing is about to end.")]));
      }
      way.update();
      errors();
      recentErrors();
    },
    resized: way.wires,
  };
}

/** Four columns of boxes, and lines between them. */
function flow() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "wires");
  svg.setAttribute("aria-hidden", "true");
  const columns = ["Listeners", "Sites", "Routes", "Upstreams and servers"].map((title) => {
    const list = h("ul");
    return { list, root: h("div.column", {}, h("h3", {}, title), list) };
  });
  const root = h("div.flow", {}, svg, columns.map((it) => it.root));
  let drawn = null;
  let boxes = new Map();
  let edges = [];

  function box(key, column, content) {
    const element = h("li.box", { tabindex: "-1" }, content);
    column.list.append(element);
    boxes.set(key, { element });
    element.addEventListener("pointerenter", () => light(key, true));
    element.addEventListener("pointerleave", () => light(key, false));
    return boxes.get(key);
  }

  function more(column, hidden, where, what) {
    if (hidden > 0) column.list.append(h("li.more", {}, h("a", { href: where }, `and ${count(hidden)} more ${what}`)));
  }

  /** Anew, when the config has changed. */
  function build(topology) {
    for (const it of columns) it.list.replaceChildren();
    [boxes, edges] = [new Map(), []];
    const [listeners, sites, routes, upstreams] = columns;
    for (const it of topology.listeners.slice(0, MOST)) {
      const tls = it.tls ? "TLS" : "no TLS";
      const made = box(`l ${it.name}`, listeners, [h("strong", {}, it.name), h("code", {}, it.address), h("span.quiet", {}, tls), h("span.figure")]);
      made.listener = it.name;
    }
    more(listeners, topology.listeners.length - MOST, "#overview", "listeners");
    let left = MOST;
    let all = 0;
    for (const site of topology.sites.slice(0, MOST)) {
      const hosts = site.hosts.length ? site.hosts.slice(0, 3).join(", ") + (site.hosts.length > 3 ? ` and ${site.hosts.length - 3} more` : "") : "every other host";
      box(`s ${site.name}`, sites, [h("strong", {}, site.name), h("span.hosts", {}, hosts),
        h("span.hidden", {}, `from listeners ${site.listeners.join(", ")}`)]);
      for (const it of site.listeners) edges.push([`l ${it}`, `s ${site.name}`]);
      all += site.routes.length;
      for (const route of site.routes.slice(0, left)) {
        const does = route.upstream ? null : h("span.quiet", {}, `${route.action} ${route.says ?? ""}`);
        const made = box(`r ${route.name}`, routes, [h("strong", {}, route.name),
          h("code", {}, `${route.methods.length ? `${route.methods.join(" ")} ` : ""}${route.path}`), does,
          route.cache ? h("span.quiet", {}, `cache ${route.cache}`) : null,
          h("span.figure"), h("span.hidden", {}, `of site ${site.name}${route.upstream ? `, to upstream ${route.upstream}` : ""}`)]);
        made.route = route.name;
        edges.push([`s ${site.name}`, `r ${route.name}`]);
        if (route.upstream) edges.push([`r ${route.name}`, `u ${route.upstream}`]);
      }
      left = Math.max(0, left - site.routes.length);
    }
    more(sites, topology.sites.length - MOST, "#routes", "sites");
    more(routes, all - MOST, "#routes", "routes");
    for (const it of topology.upstreams.slice(0, MOST)) {
      const made = box(`u ${it.name}`, upstreams, [
        h("a", { href: `#servers?find=${encodeURIComponent(it.name)}` }, h("strong", {}, it.name)), h("span.quiet", {}, it.strategy.replaceAll("_", " ")),
        h("span.figure"), h("span.servers"), h("span.signs", { "aria-hidden": "true" })]);
      made.upstream = it.name;
    }
    more(upstreams, topology.upstreams.length - MOST, "#servers", "upstreams");
    svg.replaceChildren(...edges.map((edge) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      edge.path = path;
      return path;
    }));
    requestAnimationFrame(wires);
  }

  /** Draws the lines between the boxes as they lie now. */
  function wires() {
    const at = root.getBoundingClientRect();
    const places = new Map();
    for (const [key, { element }] of boxes) places.set(key, element.getBoundingClientRect());
    for (const { 0: from, 1: to, path } of edges) {
      const [a, b] = [places.get(from), places.get(to)];
      if (!a || !b || b.left < a.right) {
        path.setAttribute("d", "");
        continue;
      }
      const [x1, y1] = [a.right - at.left, a.top + a.height / 2 - at.top];
      const [x2, y2] = [b.left - at.left, b.top + b.height / 2 - at.top];
      const bend = (x2 - x1) / 2;
      path.setAttribute("d", `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`);
    }
  }

  /** The whole way through a box: what leads to it and what it leads to. */
  function light(key, on) {
    const walk = (side, other) => {
      const seen = new Set([key]);
      for (const it of seen) for (const edge of edges) if (edge[side] === it) { seen.add(edge[other]); edge.path.classList.toggle("on", on); }
    };
    walk(0, 1);
    walk(1, 0);
  }

  function figures(made) {
    const figure = made.element.querySelector(".figure");
    if (made.listener !== undefined) {
      const open = model.rest.connections?.listeners?.[made.listener];
      setText(figure, open === undefined ? "" : `${count(open)} open`);
    }
    const of = made.route !== undefined ? model.routes.get(made.route) : model.upstreams.get(made.upstream);
    if (of) {
      setText(figure, `${rate(of.second[0])} /s · ${percent(of.minute[1])} failed · p99 ${millis(of.minute[4])}`);
      setClass(figure, `figure${of.minute[1] >= 0.05 ? " bad" : of.minute[1] >= 0.01 ? " warn" : ""}`);
    }
  }

  function servers(made, all) {
    const states = new Map();
    for (const it of all) {
      const { word } = stateOf(it);
      states.set(word, (states.get(word) ?? 0) + 1);
    }
    setText(made.element.querySelector(".servers"), all.length ? `${count(all.length)} server${all.length > 1 ? "s" : ""}: ${[...states].map(([word, n]) => `${count(n)} ${word}`).join(", ")}` : "no servers");
    const signs = made.element.querySelector(".signs");
    signs.hidden = all.length > SIGNS;
    if (signs.hidden) return;
    while (signs.childElementCount > all.length) signs.lastChild.remove();
    all.forEach((it, index) => {
      const sign = signs.children[index] ?? signs.appendChild(h("i"));
      const state = stateOf(it);
      setText(sign, state.sign);
      setClass(sign, state.tone);
      if (sign.title !== `${it.address}: ${state.word}`) sign.title = `${it.address}: ${state.word}`;
    });
  }

  return {
    root,
    wires,
    update() {
      if (model.topology && drawn !== model.topology) {
        drawn = model.topology;
        build(drawn);
      }
      const byUpstream = new Map();
      for (const it of model.servers.values()) {
        if (!byUpstream.has(it.upstream)) byUpstream.set(it.upstream, []);
        byUpstream.get(it.upstream).push(it);
      }
      for (const made of boxes.values()) {
        figures(made);
        if (made.upstream !== undefined) servers(made, byUpstream.get(made.upstream) ?? []);
      }
    },
  };
}

